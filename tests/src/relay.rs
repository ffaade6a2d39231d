//! A relay in front of a server that records what passes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What passed on one connection.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What the client sent.
    pub client: Vec<u8>,
    /// What the server sent.
    pub server: Vec<u8>,
}

type Recordings = Arc<Mutex<Vec<Recorded>>>;

/// Listens on a free port of 127.0.0.1 and passes on to another, until the test ends.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    recordings: Recordings,
}

impl Relay {
    /// In front of whoever listens on `port` of 127.0.0.1.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let recordings = Recordings::default();
        let theirs = Arc::clone(&recordings);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
                let mut all = locked(&theirs);
                all.push(Recorded::default());
                let number = all.len() - 1;
                pass(&client, &server, number, &theirs, |one| &mut one.client);
                pass(&server, &client, number, &theirs, |one| &mut one.server);
            }
        });
        Self { port: own, recordings }
    }

    /// The connections so far, in the order in which they were opened.
    pub fn recordings(&self) -> Vec<Recorded> {
        locked(&self.recordings).clone()
    }
}

fn locked(recordings: &Recordings) -> MutexGuard<'_, Vec<Recorded>> {
    recordings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes bytes on in one direction; they are on the record before they are there.
fn pass(
    from: &TcpStream,
    to: &TcpStream,
    number: usize,
    recordings: &Recordings,
    side: fn(&mut Recorded) -> &mut Vec<u8>,
) {
    let (mut from, mut to) = [from, to].map(|stream| stream.try_clone().expect("a socket")).into();
    let recordings = Arc::clone(recordings);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            side(&mut locked(&recordings)[number]).extend(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
