//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use super::error::StackError;

/// How often a server is given another port after another program was quicker.
const TRIES: usize = 5;

/// Calls `start` with a free port, and with another one if that was taken meanwhile.
pub(crate) fn on_free_port<T>(
    mut start: impl FnMut(u16) -> Result<T, StackError>,
) -> Result<T, StackError> {
    let mut tries = 1;
    loop {
        match start(free_port()?) {
            Err(StackError::PortTaken { .. }) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// A port that nobody listens on. The listener is closed again, so the port is likely, not certain,
/// to be free when a server binds it.
fn free_port() -> Result<u16, StackError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(StackError::file("bind", "127.0.0.1:0".as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(port: u16) -> StackError {
        StackError::PortTaken { name: "it", port }
    }

    #[test]
    fn the_port_can_be_bound() {
        let port = on_free_port(Ok).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_clash_gets_another_try_and_tries_end() {
        let mut calls = 0;
        let port = on_free_port(|port| {
            calls += 1;
            if calls < 3 { Err(taken(port)) } else { Ok(port) }
        });
        assert!(port.is_ok());
        assert_eq!(calls, 3);

        let mut calls = 0;
        let result = on_free_port::<()>(|port| {
            calls += 1;
            Err(taken(port))
        });
        assert!(matches!(result, Err(StackError::PortTaken { .. })));
        assert_eq!(calls, TRIES);
    }

    #[test]
    fn other_errors_are_not_tried_again() {
        let mut calls = 0;
        let result = on_free_port::<()>(|_| {
            calls += 1;
            Err(StackError::Interrupted)
        });
        assert!(matches!(result, Err(StackError::Interrupted)));
        assert_eq!(calls, 1);
    }
}
