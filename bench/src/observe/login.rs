//! Logging in to what is observed, within a time limit.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};

use crate::conninfo::{Conninfo, with_sources};

/// How long a server may take to let us in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, or why there is none. Takes no longer than the limit, whatever the server does.
pub(super) fn login(conninfo: &Conninfo) -> Result<Client, String> {
    login_within(conninfo, LOGIN_TIMEOUT)
}

/// The client's own `connect_timeout` ends when the kernel has accepted the connection; one that
/// then says nothing is waited for on a thread, which is left behind.
fn login_within(conninfo: &Conninfo, limit: Duration) -> Result<Client, String> {
    let (sender, receiver) = mpsc::channel();
    let mut config = conninfo.config().clone();
    config.connect_timeout(limit);
    thread::spawn(move || {
        // Nobody waits any more where this fails.
        let _ = sender.send(config.connect(NoTls));
    });
    match receiver.recv_timeout(limit) {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(with_sources(&error)),
        Err(_) => {
            Err(format!("it accepts connections and says nothing for {} s", limit.as_secs_f64()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn conninfo(listener: &TcpListener) -> Conninfo {
        let port = listener.local_addr().unwrap().port();
        Conninfo::parse(&format!("host=127.0.0.1 port={port} user=nova dbname=nova")).unwrap()
    }

    #[test]
    fn a_silent_listener_is_an_error_and_no_hang() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = login_within(&conninfo(&listener), Duration::from_millis(50)).err().unwrap();
        assert!(error.contains("says nothing for 0.05 s"), "{error}");
    }

    #[test]
    fn a_closed_port_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let conninfo = conninfo(&listener);
        drop(listener);
        let error = login(&conninfo).err().unwrap();
        assert!(error.contains("refused"), "{error}");
    }
}
