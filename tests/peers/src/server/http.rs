//! HTTP/1.1 as far as a load generator needs it: any request, one reply.

use super::own::{Malformed, Protocol};

/// Answers every request with the same reply.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    reply: Vec<u8>,
}

impl Http {
    /// With `body` as JSON.
    pub(crate) fn new(body: &str) -> Self {
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { reply: reply.into_bytes() }
    }
}

impl Protocol for Http {
    fn receive(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut requests = 0;
        let mut at = 0;
        while let Some(length) = request_length(&input[at..])?
            && input.len() - at >= length
        {
            at += length;
            requests += 1;
            output.extend_from_slice(&self.reply);
        }
        input.drain(..at);
        Ok(requests)
    }
}

/// Head and body together; `None` where the head has not come whole.
fn request_length(input: &[u8]) -> Result<Option<usize>, Malformed> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(input).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let mut headers = request.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(Some(0), |header| {
        std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse::<usize>().ok())
    });
    // Nobody here sends more.
    let body = body.filter(|&length| length <= 1 << 20).ok_or(Malformed)?;
    Ok(Some(head + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{ }";

    #[test]
    fn each_request_has_its_reply_however_it_was_cut() {
        let mut http = Http::new("{}");
        let (mut input, mut output, mut replies) = (Vec::new(), Vec::new(), 0);
        let three = REQUEST.repeat(3);
        for byte in three.bytes() {
            input.push(byte);
            replies += http.receive(&mut input, &mut output).unwrap();
        }
        assert_eq!((replies, input.len()), (3, 0));
        assert!(output.starts_with(b"HTTP/1.1 200 OK\r\n") && output.ends_with(b"\r\n\r\n{}"));

        let mut input = three.into_bytes();
        assert_eq!(http.receive(&mut input, &mut Vec::new()), Ok(3));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for input in ["\0\0\0", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
            let received = Http::new("{}").receive(&mut input.into(), &mut Vec::new());
            assert_eq!(received, Err(Malformed));
        }
    }
}
