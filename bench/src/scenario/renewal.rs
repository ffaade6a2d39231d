//! A new token in good time before the old one expires, while a run goes on.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use wire::Operation;

use super::{Scenario, auth};

/// After a login that failed, the next one is tried so much later.
const RETRY: Duration = Duration::from_secs(5);

/// Logs in again and again on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// Dropping it ends the thread.
    _running: Sender<()>,
}

impl Renewal {
    /// Renews `token`, which the gateways among the targets share: `gateways` has their numbers and
    /// names. Each new token comes as operations that `replace` puts in the old ones' place.
    /// `None` where nothing is to be renewed: no login, or a token that does not expire.
    pub(crate) fn start(
        scenario: &Scenario,
        gateways: Vec<(usize, String)>,
        token: &str,
        replace: impl Fn(usize, &Arc<[Operation]>) + Send + 'static,
    ) -> Option<Self> {
        let mut due = auth::renewal_due(scenario, token, SystemTime::now())?;
        let url = gateways.iter().find_map(|(_, name)| scenario.target(name).ok()?.url.clone())?;
        let scenario = scenario.clone();
        let (running, ended) = channel();
        let renew = move || {
            loop {
                let wait = due.duration_since(SystemTime::now()).unwrap_or_default();
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                // What can't be renewed shows as the gateway's own refusals.
                let now = SystemTime::now();
                let Ok(Some(token)) = auth::token(&scenario, &url) else {
                    due = now + RETRY;
                    continue;
                };
                for (number, name) in &gateways {
                    if let Ok(operations) = scenario.gateway_operations(name, &token) {
                        replace(*number, &operations.into());
                    }
                }
                match auth::renewal_due(&scenario, &token, now) {
                    Some(next) => due = next,
                    None => return,
                }
            }
        };
        std::thread::Builder::new().name("renewal".into()).spawn(renew).ok()?;
        Some(Self { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::scenario::tests::unsigned_token;

    /// A gateway that gives token after token, each good for `lifetime_s`.
    fn serve(lifetime_s: u64) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    match line.trim().to_ascii_lowercase().strip_prefix("content-length: ") {
                        Some(bytes) => length = bytes.parse().unwrap(),
                        None if line.trim().is_empty() => break,
                        None => {}
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let body = format!("{{\"data\":{{\"login\":\"{}\"}}}}", unsigned_token(lifetime_s));
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length";
                write!(&stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
            }
        });
        port
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_and_again() {
        let text = format!(
            "name = 'a'\n[targets.a]\nurl = 'http://127.0.0.1:{}/graphql'\n\
             [auth.login]\nquery = 'mutation {{ login }}'\ntoken = 'data.login'\n\
             [[operations]]\nname = 'a'\ngraphql = '{{ a }}'",
            serve(3)
        );
        let scenario = Scenario::parse("a.toml", &text, &|_| None).unwrap();
        let url = scenario.targets["a"].url.clone().unwrap();
        let token = auth::token(&scenario, &url).unwrap().unwrap();
        let (sender, receiver) = channel();
        let gateways = vec![(7, "a".to_owned())];
        let renewal = Renewal::start(&scenario, gateways, &token, move |number, operations| {
            let _ = sender.send((number, operations.len()));
        });
        let patience = Duration::from_secs(60);
        for _ in 0..2 {
            assert_eq!(receiver.recv_timeout(patience), Ok((7, 1)));
        }
        drop(renewal);
        while receiver.recv_timeout(patience).is_ok() {}
        assert_eq!(receiver.recv_timeout(patience), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_does_not_expire_is_left_alone() {
        let text = "name = 'a'\n[targets.a]\nurl = 'http://127.0.0.1:1/'\n[auth]\njwt = 'opaque'\n\
                    [[operations]]\nname = 'a'\ngraphql = '{ a }'";
        let scenario = Scenario::parse("a.toml", text, &|_| None).unwrap();
        let gateways = vec![(0, "a".to_owned())];
        assert!(Renewal::start(&scenario, gateways, &unsigned_token(9), |_, _| {}).is_none());
    }
}
