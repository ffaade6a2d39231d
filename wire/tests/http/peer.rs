//! A scripted server: its bytes, cut in every way, against a session.

use bytes::BytesMut;
use wire::http::{self, Expect};
use wire::{Class, Code, Operation, Outcome, Piece, Progress, Request, Session, Template, Values};

/// An event, whether another request may follow it, and the peer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) progress: Progress,
    pub(crate) reusable: bool,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) server_timing: http::ServerTiming,
}

/// What the server says, after how many requests, and whether it closes then.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    requests: usize,
    path: Option<&'static str>,
    bytes: Vec<u8>,
    closes: bool,
}

/// The value of the one hole of each request.
pub(crate) const ASKED_FOR: &str = "5";

/// A server that answers one request with these bytes.
pub(crate) fn server(bytes: impl Into<Vec<u8>>) -> Conversation {
    Conversation { requests: 1, path: None, bytes: bytes.into(), closes: false }
}

impl Conversation {
    /// It is asked so many times: each time that a response leaves the connection usable.
    pub(crate) fn asked(self, requests: usize) -> Self {
        Self { requests, ..self }
    }

    /// The replies must carry [`ASKED_FOR`] at `path`.
    pub(crate) fn expecting(self, path: &'static str) -> Self {
        Self { path: Some(path), ..self }
    }

    /// It closes the connection behind its bytes.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// How many bytes the server says.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Plays it on a new connection of `session`, the bytes cut at `cuts` (in order).
    pub(crate) fn play(&self, session: &mut Session, cuts: &[usize]) -> Vec<Event> {
        let operation = operation(self.path);
        let mut values = Values::new();
        values.push_text(ASKED_FOR);
        let mut out = BytesMut::new();
        let mut asked = 0;
        let mut events = Vec::new();
        assert_eq!(session.open(&mut out), Progress::Ready);
        let ask = |session: &mut Session, asked: &mut usize| {
            if *asked < self.requests && session.is_reusable() {
                session.request(&operation, &values, &mut BytesMut::new());
                *asked += 1;
            }
        };
        ask(session, &mut asked);
        let mut from = 0;
        for to in cuts.iter().copied().chain([self.bytes.len()]) {
            let mut input = &self.bytes[from..to];
            from = to;
            loop {
                let progress = session.receive(&mut input, &mut out);
                if progress == Progress::NeedMore {
                    assert!(input.is_empty(), "NeedMore takes everything");
                    break;
                }
                events.push(event(session, progress));
                ask(session, &mut asked);
            }
        }
        if self.closes {
            let progress = session.end_of_stream();
            events.push(event(session, progress));
        }
        assert!(out.is_empty(), "there is no handshake");
        events
    }

    /// Plays it whole, cut at each place, and cut at every place; all must come out the same.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut used = session();
        let whole = self.play(&mut session(), &[]);
        for cut in 0..=self.bytes.len() {
            assert_eq!(self.play(&mut used, &[cut]), whole, "cut at {cut}");
            assert_eq!(self.play(&mut used, &[cut, cut]), whole, "nothing received at {cut}");
        }
        let everywhere: Vec<usize> = (0..self.bytes.len()).collect();
        assert_eq!(self.play(&mut used, &everywhere), whole, "one byte at a time");
        whole
    }

    /// The events without the words.
    pub(crate) fn progress(&self) -> Vec<Progress> {
        self.events().into_iter().map(|event| event.progress).collect()
    }

    /// The outcome of the one request, and whether another may follow.
    pub(crate) fn outcome(&self) -> (Outcome, bool) {
        match self.events()[..] {
            [Event { progress: Progress::Response(outcome), reusable, .. }] => (outcome, reusable),
            ref events => panic!("one response, not {events:?}"),
        }
    }

    /// The outcome of the one request, behind which the connection stays usable.
    pub(crate) fn outcome_reusable(&self) -> Outcome {
        let (outcome, reusable) = self.outcome();
        assert!(reusable, "{outcome:?}");
        outcome
    }

    /// The code and the message of the one request's failure.
    pub(crate) fn words(&self) -> (Code, String) {
        let event = self.events().remove(0);
        (event.code, event.message)
    }
}

/// A reply with [`ASKED_FOR`] at `data.user.id`.
pub(crate) const OK: &str = r#"{"data":{"user":{"id":"5"}}}"#;

pub(crate) fn outcomes(outcomes: &[Outcome]) -> Vec<Progress> {
    outcomes.iter().copied().map(Progress::Response).collect()
}

pub(crate) fn session() -> Session {
    Session::Http(http::Session::new())
}

fn event(session: &Session, progress: Progress) -> Event {
    let failure = session.failure();
    let message = match progress {
        Progress::Response(_) => failure.message.clone(),
        // Unasked bytes are shown as far as they came at first, which the cut decides.
        _ => String::new(),
    };
    let server_timing = session.server_timing();
    Event { progress, reusable: session.is_reusable(), code: failure.code, message, server_timing }
}

/// An operation whose body is the value of its one hole.
pub(crate) fn operation(path: Option<&str>) -> Operation {
    let template = Template::new(vec![Piece::Hole(0)]);
    let mut request = http::Request::new("/graphql", "localhost", template).unwrap();
    if let Some(path) = path {
        request = request.with_expect(Expect::parse(path, 0).unwrap());
    }
    Operation {
        name: "test".into(),
        idempotent: true,
        request: Request::Http(request),
        checks: Vec::new(),
    }
}

pub(crate) fn failed(class: Class) -> Outcome {
    Outcome::Failed(class)
}

/// A response with these header lines (each with its line break) and this body.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// 200 with this JSON.
pub(crate) fn json(body: &str) -> Vec<u8> {
    response("200 OK", "Content-Type: application/json; charset=utf-8\r\n", body)
}

/// The verdict on this JSON as a 200's body.
pub(crate) fn verdict(body: &str) -> Outcome {
    server(json(body)).outcome_reusable()
}

/// The chunked coding of `body` in chunks of `bytes`.
pub(crate) fn chunked(body: &[u8], bytes: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in body.chunks(bytes) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

/// 200 with this coded body.
pub(crate) fn chunked_response(coded: &[u8]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend_from_slice(coded);
    bytes
}
