//! Logging in to a server that may not be there yet, without ever being stuck in it.

use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use postgres::Client;

use super::conninfo::Conninfo;

/// Tries to log in, again and again, on a thread of its own: what listens on the port may be another
/// program that says nothing, and the client would wait for it for ever.
#[derive(Debug)]
pub(crate) struct Login<'a> {
    conninfo: &'a Conninfo,
    pending: Option<Receiver<Result<Client, String>>>,
}

impl<'a> Login<'a> {
    /// Tries nothing yet.
    pub(crate) fn new(conninfo: &'a Conninfo) -> Self {
        Self { conninfo, pending: None }
    }

    /// The client if the last try was good, the reason if it was bad, and none while it goes on. The
    /// passwords are of this stack alone, so only its own servers let us in.
    pub(crate) fn poll(&mut self) -> Result<Option<Client>, String> {
        let receiver = self.pending.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel();
            let conninfo = self.conninfo.clone();
            thread::spawn(move || {
                // Nobody waits any more where this fails.
                let _ = sender.send(conninfo.connect());
            });
            receiver
        });
        let result = match receiver.try_recv() {
            Err(TryRecvError::Empty) => return Ok(None),
            Err(TryRecvError::Disconnected) => Err("the login broke off".into()),
            Ok(result) => result,
        };
        self.pending = None;
        result.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::{Duration, Instant};

    use super::*;

    /// Polls until it is decided, or for so long.
    fn outcome(port: u16, patience: Duration) -> Result<Option<Client>, String> {
        let conninfo = Conninfo {
            port,
            dbname: "nova",
            user: "nova",
            application_name: None,
            passfile: "/".into(),
            password: "x".into(),
            root: None,
        };
        let mut login = Login::new(&conninfo);
        let started = Instant::now();
        loop {
            match login.poll() {
                Ok(None) if started.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(5));
                }
                decided => return decided,
            }
        }
    }

    #[test]
    fn silence_is_not_waited_for_and_refusal_is_told() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = silent.local_addr().unwrap().port();
        assert!(matches!(outcome(port, Duration::from_millis(100)), Ok(None)));
        drop(silent);
        let refusal = outcome(port, Duration::from_secs(60)).err().unwrap();
        assert!(refusal.contains("refused"), "{refusal}");
    }
}
