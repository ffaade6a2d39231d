//! Postgres' protocol without a Postgres: whatever is asked, the answer is one row with 1.
//!
//! Postgres manual, 55.2 "Message Flow" and 55.7 "Message Formats".

use super::own::{Malformed, Protocol};

/// A server that lets everybody in.
#[derive(Debug, Clone, Default)]
pub(crate) struct NullPostgres {
    is_open: bool,
}

const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;
const PROTOCOL_3: i32 = 3 << 16;

/// AuthenticationOk, what drivers want to know, BackendKeyData, ReadyForQuery.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0\
    S\0\0\0\x18server_version\x0015.0\0\
    S\0\0\0\x19client_encoding\0UTF8\0\
    S\0\0\0\x23standard_conforming_strings\0on\0\
    S\0\0\0\x19integer_datetimes\0on\0\
    K\0\0\0\x0c\0\0\0\x01\0\0\0\x02\
    Z\0\0\0\x05I";
const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";
/// One column of type int4, as text.
const ROW_DESCRIPTION: &[u8] =
    b"T\0\0\0\x21\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
const ROW_AND_COMPLETE: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// No message of a load generator is longer.
const LENGTH_MAX: usize = 1 << 20;

impl Protocol for NullPostgres {
    fn receive(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut requests = 0;
        let mut at = 0;
        loop {
            // A type stands before every length but the first.
            let kind_bytes = usize::from(self.is_open);
            let rest = &input[at..];
            let Some(length) = integer(rest, kind_bytes) else { break };
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            if !(4..=LENGTH_MAX).contains(&length) {
                return Err(Malformed);
            }
            let Some(message) = rest.get(..kind_bytes + length) else { break };
            at += message.len();
            if self.is_open {
                requests += usize::from(answer(message, output)?);
            } else {
                self.open(message, output)?;
            }
        }
        input.drain(..at);
        Ok(requests)
    }
}

impl NullPostgres {
    fn open(&mut self, message: &[u8], output: &mut Vec<u8>) -> Result<(), Malformed> {
        match integer(message, 4) {
            Some(SSL_REQUEST | GSS_REQUEST) => output.push(b'N'),
            Some(PROTOCOL_3) => {
                self.is_open = true;
                output.extend_from_slice(WELCOME);
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }
}

/// Whether the client has its turn again.
fn answer(message: &[u8], output: &mut Vec<u8>) -> Result<bool, Malformed> {
    match message[0] {
        b'Q' => {
            output.extend_from_slice(ROW_DESCRIPTION);
            output.extend_from_slice(ROW_AND_COMPLETE);
            output.extend_from_slice(READY);
            return Ok(true);
        }
        b'S' => {
            output.extend_from_slice(READY);
            return Ok(true);
        }
        b'P' => output.extend_from_slice(PARSE_COMPLETE),
        b'B' => output.extend_from_slice(BIND_COMPLETE),
        b'C' => output.extend_from_slice(CLOSE_COMPLETE),
        b'D' => {
            if message.get(5) == Some(&b'S') {
                output.extend_from_slice(NO_PARAMETERS);
            }
            output.extend_from_slice(ROW_DESCRIPTION);
        }
        b'E' => output.extend_from_slice(ROW_AND_COMPLETE),
        // Flush; everything is flushed. Terminate; the client closes.
        b'H' | b'X' => {}
        _ => return Err(Malformed),
    }
    Ok(false)
}

fn integer(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type and length of each message.
    fn kinds(mut output: &[u8]) -> String {
        let mut kinds = String::new();
        while let Some(length) = integer(output, 1) {
            kinds.push(output[0].into());
            output = &output[1 + length as usize..];
        }
        assert!(output.is_empty());
        kinds
    }

    fn message(kind: &[u8], content: &[u8]) -> Vec<u8> {
        [kind, &(content.len() as i32 + 4).to_be_bytes(), content].concat()
    }

    #[test]
    fn it_lets_in_and_answers_simple_and_extended_queries() {
        let mut server = NullPostgres::default();
        let mut output = Vec::new();
        let startup = message(b"", &[&PROTOCOL_3.to_be_bytes()[..], b"user\0bench\0\0"].concat());
        assert_eq!(server.receive(&mut startup.clone(), &mut output), Ok(0));
        assert_eq!(kinds(&output), "RSSSSKZ");

        output.clear();
        let query = message(b"Q", b"SELECT 1\0");
        assert_eq!(server.receive(&mut query.clone(), &mut output), Ok(1));
        assert_eq!(kinds(&output), "TDCZ");

        output.clear();
        let parts: [(&[u8], &[u8]); 5] = [
            (b"P", b"\0SELECT 1\0\0\0"),
            (b"B", b"\0\0\0\0\0\0\0\0"),
            (b"D", b"P\0"),
            (b"E", b"\0\0\0\0\0"),
            (b"S", b""),
        ];
        let extended = parts.map(|(kind, content)| message(kind, content)).concat();
        let (mut input, mut requests) = (Vec::new(), 0);
        for byte in extended {
            input.push(byte);
            requests += server.receive(&mut input, &mut output).unwrap();
        }
        assert_eq!((requests, kinds(&output).as_str()), (1, "12TDCZ"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b"GET / HTTP/1.1"[..], b"\0\0\0\x03\0\0\0\0", b"\0\0\0\x08\0\0\0\0"] {
            let received = NullPostgres::default().receive(&mut bytes.into(), &mut Vec::new());
            assert_eq!(received, Err(Malformed));
        }
    }
}
