//! Logging in, with an end to the patience.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::Client;

use super::ObserveError;
use crate::conninfo::Conninfo;

const PATIENCE: Duration = Duration::from_secs(10);

/// Logs in to `what`, at `conninfo`; `remedy` is for the reader where that fails. The client's own
/// time limit ends with the TCP connection, so what listens there and says nothing would hold it for
/// ever: it waits on a thread of its own, which is left behind then.
pub(super) fn login(
    what: &'static str,
    conninfo: &str,
    remedy: &'static str,
) -> Result<(Client, String), ObserveError> {
    login_within(PATIENCE, what, conninfo, remedy)
}

fn login_within(
    patience: Duration,
    what: &'static str,
    conninfo: &str,
    remedy: &'static str,
) -> Result<(Client, String), ObserveError> {
    let conninfo =
        Conninfo::parse(conninfo).map_err(|error| ObserveError::Conninfo { what, error })?;
    let place = conninfo.place();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Nobody waits any more where this fails.
        let _ = sender.send(conninfo.connect());
    });
    let silence = || format!("it took the connection and said nothing for {patience:?}");
    match receiver.recv_timeout(patience).unwrap_or_else(|_| Err(silence())) {
        Ok(client) => Ok((client, place)),
        Err(problem) => Err(ObserveError::Connect { what, place, problem, remedy }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_server_that_says_nothing_is_an_error_and_no_hang() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = silent.local_addr().unwrap().port();
        let conninfo = format!("host=127.0.0.1 port={port} user=u password=p dbname=d");
        let patience = Duration::from_millis(100);
        let error = login_within(patience, "the console", &conninfo, "ask it").err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "the console at 127.0.0.1:{port} does not answer: it took the connection and said \
                 nothing for 100ms; ask it"
            )
        );
    }
}
