//! One connection driven by hand: our own protocol code on a blocking socket, with a record of what
//! the server sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use wire::postgres::{Batch, Login, Pipeline, Protocol, Statement};
use wire::{Class, Operation, Outcome, Progress, Request, Session, Values, postgres};

/// Who logs in, and where.
#[derive(Clone, Debug)]
pub struct Place {
    /// On 127.0.0.1.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database.
    pub database: String,
}

/// A failure as our protocol code tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its class.
    pub class: Class,
    /// The peer's code; empty where there is none.
    pub code: String,
    /// The peer's words.
    pub message: String,
    /// Whether the connection can be used any further.
    pub is_reusable: bool,
}

/// What the server sent in answer to one request, and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was asked.
    pub operation: Operation,
    /// The server's bytes.
    pub bytes: Vec<u8>,
    /// The outcome.
    pub result: Result<(), Failed>,
}

/// Nothing in these tests takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Client {
    stream: TcpStream,
    session: Session,
    /// What was sent last.
    operation: Operation,
    /// The server's bytes during login.
    pub greeting: Vec<u8>,
    /// Every request since.
    pub exchanges: Vec<Exchange>,
}

/// A statement without parameters.
pub fn statement(sql: &str, protocol: Protocol) -> Operation {
    Operation {
        name: "statement".into(),
        idempotent: true,
        request: Request::Postgres(Statement::new(sql, &[], protocol, "statement").expect("SQL")),
        checks: Vec::new(),
    }
}

/// Statements without parameters that are one request.
pub fn batch(sql: &[&str], protocol: Protocol, pipeline: Pipeline) -> Operation {
    let one = |(number, sql): (usize, &&str)| {
        Statement::new(sql, &[], protocol, &format!("batch.{number}")).expect("SQL")
    };
    let statements = sql.iter().enumerate().map(one).collect();
    let request = Request::PostgresBatch(Batch::new(statements, pipeline).into());
    Operation { request, ..statement("", protocol) }
}

/// A session that will log in as a client of `place` does and prepare what `operation` needs.
pub fn session(place: &Place, operation: &Operation) -> Session {
    let Place { user, database, password, .. } = place;
    let login =
        Login::new(user, database, "poolbench", Some(password.as_bytes())).expect("no zero byte");
    Session::Postgres(postgres::Session::new(Arc::new(login), operation.request.statements()))
}

impl Client {
    /// Logs in.
    pub fn open(place: &Place) -> Result<Self, Failed> {
        Self::open_for(place, &statement("SELECT 1", Protocol::Simple))
    }

    /// Logs in and prepares `operation` if it is to be prepared.
    pub fn open_for(place: &Place, operation: &Operation) -> Result<Self, Failed> {
        Self::open_with(place, operation, |hello| hello)
    }

    /// Logs in with a StartupMessage that `change` has had in hand.
    pub fn open_with(
        place: &Place,
        operation: &Operation,
        change: impl FnOnce(BytesMut) -> BytesMut,
    ) -> Result<Self, Failed> {
        let mut session = session(place, operation);
        let stream = TcpStream::connect(("127.0.0.1", place.port)).map_err(|error| Failed {
            class: Class::ConnectFailed,
            code: String::new(),
            message: error.to_string(),
            is_reusable: false,
        })?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let mut hello = BytesMut::new();
        session.open(&mut hello);
        let operation = operation.clone();
        let (greeting, exchanges) = (Vec::new(), Vec::new());
        let mut client = Self { stream, session, operation, greeting, exchanges };
        client.write(&change(hello));
        client.answer_to_login()?;
        Ok(client)
    }

    /// Sends a statement as one Query message and waits for what comes of it.
    pub fn sql(&mut self, sql: &str) -> Result<(), Failed> {
        self.send(&statement(sql, Protocol::Simple));
        self.answer()
    }

    /// Sends `operation` and waits for what comes of it.
    pub fn request(&mut self, operation: &Operation) -> Result<(), Failed> {
        self.send(operation);
        self.answer()
    }

    /// Sends `operation`.
    pub fn send(&mut self, operation: &Operation) {
        let mut out = BytesMut::new();
        self.session.request(operation, &Values::new(), &mut out);
        self.operation = operation.clone();
        self.write(&out);
    }

    /// Waits for what comes of the operation that was sent.
    pub fn answer(&mut self) -> Result<(), Failed> {
        let (bytes, progress) = self.read();
        let Progress::Response(outcome) = progress else { panic!("{progress:?}") };
        let result = self.result(outcome);
        let operation = self.operation.clone();
        self.exchanges.push(Exchange { operation, bytes, result: result.clone() });
        result
    }

    fn answer_to_login(&mut self) -> Result<(), Failed> {
        let (bytes, progress) = self.read();
        self.greeting = bytes;
        match progress {
            Progress::Ready => Ok(()),
            Progress::Refused(outcome) => self.result(outcome),
            other => panic!("{other:?}"),
        }
    }

    /// The server's bytes up to the end of a login or of a request.
    fn read(&mut self) -> (Vec<u8>, Progress) {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("no answer to {:?}: {error}", self.operation),
            };
            if count == 0 {
                return (bytes, self.session.end_of_stream());
            }
            bytes.extend(&buffer[..count]);
            let mut input = &buffer[..count];
            let mut out = BytesMut::new();
            while !input.is_empty() {
                match self.session.receive(&mut input, &mut out) {
                    Progress::NeedMore => {}
                    Progress::Write => self.write(&out.split()),
                    progress => return (bytes, progress),
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        // A server that is gone shows when its answer is read.
        let _ = self.stream.write_all(bytes);
    }

    fn result(&self, outcome: Outcome) -> Result<(), Failed> {
        let Outcome::Failed(class) = outcome else { return Ok(()) };
        let failure = self.session.failure();
        Err(Failed {
            class,
            code: failure.code.to_string().replace("SQLSTATE ", ""),
            message: failure.message.clone(),
            is_reusable: self.session.is_reusable(),
        })
    }
}
