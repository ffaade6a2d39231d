//! A console, or a server, that answers by a script.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a console says to a command.
#[derive(Clone)]
pub(super) enum Answer {
    Rows(&'static [&'static [&'static str]]),
    /// The same as psql -A writes it: cells with bars between them, a row in each line.
    Psql(&'static str),
    /// Rows for each statement of the query.
    Tables(&'static [&'static [&'static [&'static str]]]),
    /// One cell.
    Version(&'static str),
    /// A message of the console's own; the connection stays.
    Refusal,
    /// The same with this SQLSTATE.
    RefusalOf(&'static str),
    /// The connection ends.
    Close,
    /// The connection ends, and nobody listens any more.
    Gone,
    /// Nothing, ever.
    Silence,
}

/// A console that answers each command with the next of its answers, the last one for ever.
pub(super) struct Console {
    pub(super) conninfo: String,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
}

/// By how a command begins.
pub(super) type Script = Vec<(&'static str, Vec<Answer>)>;

impl Console {
    pub(super) fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks is made anew.
                if let Ok(ControlFlow::Break(())) = serve(stream, &script, &heard) {
                    return;
                }
            }
        });
        let conninfo = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable");
        Self { conninfo, asked }
    }

    /// How often it was asked what begins so.
    pub(super) fn count(&self, command: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(command)).count()
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn refusal(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0C{code}\0Munknown command\0\0").as_bytes())
}

/// Columns, then a row each; NULL is written as such.
fn table(rows: &[&[&str]]) -> Vec<u8> {
    let count = |cells: &[&str]| (cells.len() as u16).to_be_bytes();
    let mut bytes = Vec::new();
    for (number, cells) in rows.iter().enumerate() {
        let mut body = count(cells).to_vec();
        for cell in *cells {
            if number == 0 {
                // No table, and the type text.
                body.extend([cell.as_bytes(), b"\0", &[0; 6], &25_u32.to_be_bytes()].concat());
                body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
            } else if *cell == "NULL" {
                body.extend((-1_i32).to_be_bytes());
            } else {
                body.extend((cell.len() as u32).to_be_bytes());
                body.extend(cell.as_bytes());
            }
        }
        bytes.extend(message(if number == 0 { b'T' } else { b'D' }, &body));
    }
    bytes.extend(message(b'C', b"SHOW\0"));
    bytes
}

fn serve(
    mut stream: TcpStream,
    script: &Script,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<ControlFlow<()>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut hello = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut hello)?;
    let ready = message(b'Z', b"I");
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat())?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if head[0] != b'Q' {
            return Ok(ControlFlow::Continue(()));
        }
        let command = String::from_utf8_lossy(&body[..length - 1]).into_owned();
        let scripted = script.iter().find(|(begins, _)| command.starts_with(begins));
        let begins = scripted.map_or(command.as_str(), |(begins, _)| begins);
        let earlier = {
            let mut heard = heard.lock().unwrap();
            heard.push(command.clone());
            heard.iter().filter(|other| other.starts_with(begins)).count() - 1
        };
        let answer = scripted.and_then(|(_, all)| all.get(earlier.min(all.len() - 1)));
        let bytes = match answer.unwrap_or(&Answer::Refusal) {
            Answer::Rows(rows) => table(rows),
            Answer::Tables(tables) => tables.iter().flat_map(|rows| table(rows)).collect(),
            Answer::Psql(text) => {
                let rows: Vec<Vec<_>> =
                    text.lines().map(|line| line.split('|').collect()).collect();
                table(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
            Answer::Version(version) => table(&[&["version"], &[version]]),
            Answer::Refusal => refusal("08P01"),
            Answer::RefusalOf(code) => refusal(code),
            Answer::Close => return Ok(ControlFlow::Continue(())),
            Answer::Gone => return Ok(ControlFlow::Break(())),
            Answer::Silence => continue,
        };
        stream.write_all(&[bytes, ready.clone()].concat())?;
    }
}
