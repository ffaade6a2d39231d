//! A relay in front of a server that records what passes, and can stand still.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What passed on one connection.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What the client sent.
    pub client: Vec<u8>,
    /// What the server sent.
    pub server: Vec<u8>,
}

type Recordings = Arc<Mutex<Vec<Recorded>>>;

/// Whether nothing passes, and who waits for that to change.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

/// Listens on a free port of 127.0.0.1 and passes on to another, until the test ends.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    recordings: Recordings,
    gate: Arc<Gate>,
}

impl Relay {
    /// In front of whoever listens on `port` of 127.0.0.1.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("it is bound").port();
        let recordings = Recordings::default();
        let gate = Arc::new(Gate::default());
        let (theirs, passage) = (Arc::clone(&recordings), Arc::clone(&gate));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
                let mut all = locked(&theirs);
                all.push(Recorded::default());
                let number = all.len() - 1;
                pass(&client, &server, number, (&theirs, &passage), |one| &mut one.client);
                pass(&server, &client, number, (&theirs, &passage), |one| &mut one.server);
            }
        });
        Self { port: own, recordings, gate }
    }

    /// From now on nothing passes, and no connection ends, as with a server that is stopped.
    pub fn stand_still(&self) {
        *locked(&self.gate.is_shut) = true;
    }

    /// What was held back passes, and what comes.
    pub fn go_on(&self) {
        *locked(&self.gate.is_shut) = false;
        self.gate.changed.notify_all();
    }

    /// The connections so far, in the order in which they were opened.
    pub fn recordings(&self) -> Vec<Recorded> {
        locked(&self.recordings).clone()
    }
}

impl Gate {
    fn wait(&self) {
        let open = self.changed.wait_while(locked(&self.is_shut), |is_shut| *is_shut);
        drop(open.unwrap_or_else(PoisonError::into_inner));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes bytes on in one direction; they are on the record before they are there.
fn pass(
    from: &TcpStream,
    to: &TcpStream,
    number: usize,
    (recordings, gate): (&Recordings, &Arc<Gate>),
    side: fn(&mut Recorded) -> &mut Vec<u8>,
) {
    let (mut from, mut to) = [from, to].map(|stream| stream.try_clone().expect("a socket")).into();
    let (recordings, gate) = (Arc::clone(recordings), Arc::clone(gate));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            side(&mut locked(&recordings)[number]).extend(&buffer[..count]);
            gate.wait();
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
