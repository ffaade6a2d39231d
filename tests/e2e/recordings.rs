//! What real servers sent, as our own protocol code and as postgres-protocol read it.

use bytes::BytesMut;
use poolbench_tests::Stack;
use poolbench_tests::relay::{Recorded, Relay};
use poolbench_tests::session::{Client, Exchange, Place, batch, session, statement};
use postgres_protocol::message::backend::Message;
use serde_json::json;
use wire::postgres::{Pipeline, Protocol};
use wire::{Class, Counts, Operation, Outcome, Progress, Session, Values};

const NOTICES: &str = "DO $$ BEGIN FOR i IN 1..300 LOOP RAISE NOTICE '% %', i, repeat('n', 2 * i); \
                       END LOOP; END $$";

/// One of everything that a server can say to a client of ours.
fn operations(protocol: Protocol, target: &str) -> Vec<Operation> {
    let texts = [
        "SELECT 1",
        "SELECT NULL, g, repeat('r', g) FROM generate_series(1, 2000) g",
        "",
        "SELEC 1",
        "SELECT 1 / 0",
        "SELECT repeat('long', 100000)",
        "SET application_name = 'recorded'",
        "LISTEN recorded",
        "NOTIFY recorded, 'to ourselves'",
        "COPY (SELECT g, repeat('c', g) FROM generate_series(1, 1000) g) TO STDOUT",
        "COPY (SELECT 'binary', 2) TO STDOUT (FORMAT binary)",
        "COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT",
        NOTICES,
    ];
    let transaction = ["BEGIN", "SELECT generate_series(1, 3)", NOTICES, "COMMIT"];
    let failing = ["BEGIN", "SELECT 1 / 0", "SELECT 2", "COMMIT"];
    let copying = ["SELECT 1", "COPY (SELECT 1) TO STDOUT", "SELECT 2"];
    let pipelines = [Pipeline::Off, Pipeline::SyncEach, Pipeline::SyncOnce];
    // PgBouncer 1.18 loses replies to what comes while it copies.
    let copies = |pipeline| target == "postgres" || pipeline != Pipeline::SyncEach;
    let batches = pipelines.into_iter().flat_map(|pipeline| {
        let copying = if copies(pipeline) { &copying[..] } else { &["SELECT 1", "SELECT 2"] };
        [&transaction[..], &failing, copying, &["BEGIN", "SELECT 1"]]
            .map(|sql| batch(sql, protocol, pipeline))
    });
    texts.map(|sql| statement(sql, protocol)).into_iter().chain(batches).collect()
}

#[test]
fn both_read_the_same_message_by_message() {
    let stack = Stack::small(&[]);
    for target in ["postgres", "pooler"] {
        for protocol in [Protocol::Simple, Protocol::Extended] {
            let place = stack.place(target);
            let mut client = Client::open(&place).unwrap_or_else(|failed| panic!("{failed:?}"));
            for operation in operations(protocol, target) {
                let _ = client.request(&operation);
            }
            let failed = client.exchanges.iter().filter(|exchange| exchange.result.is_err());
            // Four statements, four batches of which one is open and one fails, in three ways each.
            assert_eq!(failed.count(), 3 + 3 * 2, "{target} {protocol:?}");
            client.exchanges.iter().for_each(assert_agreed);
            assert_cuts_change_nothing(&client.exchanges);
        }
    }
}

/// A prepared name is one connection's own: each has its own client, as each is prepared at login.
#[test]
fn prepared_statements_are_read_alike_too() {
    let stack = Stack::small(&[]);
    for operation in operations(Protocol::Prepared, "postgres") {
        // What can't be parsed can't be prepared.
        let Ok(mut client) = Client::open_for(&stack.place("postgres"), &operation) else {
            continue;
        };
        let _ = client.request(&operation);
        client.exchanges.iter().for_each(assert_agreed);
    }
}

/// A session that waits for the reply to `operation`.
fn waiting(operation: &Operation) -> Session {
    let place = Place { port: 0, user: "u".into(), password: "p".into(), database: "d".into() };
    let mut session = session(&place, &statement("SELECT 1", Protocol::Simple));
    session.open(&mut BytesMut::new());
    let mut trusted = &b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"[..];
    while !trusted.is_empty() {
        session.receive(&mut trusted, &mut BytesMut::new());
    }
    session.request(operation, &Values::new(), &mut BytesMut::new());
    session.take_counts();
    session
}

/// The outcome that was recorded.
fn outcome(exchange: &Exchange) -> Outcome {
    match &exchange.result {
        Ok(()) => Outcome::Ok,
        Err(failed) => Outcome::Failed(failed.class),
    }
}

/// Ours gets the bytes of one of their messages at a time, and must find in it what they did.
fn assert_agreed(exchange: &Exchange) {
    let mut session = waiting(&exchange.operation);
    let mut rest = BytesMut::from(&exchange.bytes[..]);
    let mut first_error = None;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let before = rest.clone();
        let message = Message::parse(&mut rest).expect("a server speaks the protocol");
        let message = message.expect("no message is cut in a recorded session");
        let mut input = &before[..before.len() - rest.len()];
        let progress = session.receive(&mut input, &mut BytesMut::new());
        assert!(input.is_empty(), "a message ends where it does for them: {exchange:?}");
        let is_ready = matches!(message, Message::ReadyForQuery(_));
        let seen = session.take_counts().unwrap_or_default();
        let seen = (seen.notices, seen.copied_rows, seen.copied_bytes);
        let told = match &message {
            Message::NoticeResponse(_) => (1, 0, 0),
            Message::CopyData(body) if body.data()[..] == [0xff, 0xff] => (0, 0, 2),
            Message::CopyData(body) => (0, 1, body.data().len() as u64),
            _ => (0, 0, 0),
        };
        assert_eq!(seen, told, "{exchange:?}");
        match (progress, is_ready) {
            (Progress::NeedMore, _) => {}
            (Progress::Write | Progress::Response(_), true) => events.push(progress),
            other => panic!("{other:?}: {exchange:?}"),
        }
        if let Message::ErrorResponse(body) = message {
            use fallible_iterator::FallibleIterator as _;
            let field = |kind: u8| {
                let found = body.fields().find(|field| Ok(field.type_() == kind)).expect("fields");
                found.map(|field| String::from_utf8_lossy(field.value_bytes()).into_owned())
            };
            first_error.get_or_insert((field(b'C').unwrap(), field(b'M').unwrap()));
        }
    }
    assert_eq!(events.pop(), Some(Progress::Response(outcome(exchange))), "{exchange:?}");
    assert!(events.iter().all(|event| *event == Progress::Write), "{exchange:?}");
    let told = exchange.result.as_ref().err().filter(|failed| !failed.code.is_empty());
    assert_eq!(told.map(|failed| (failed.code.clone(), failed.message.clone())), first_error);
}

fn assert_cuts_change_nothing(exchanges: &[Exchange]) {
    for exchange in exchanges {
        for piece in [1, 2, 3, 5, 7, 64, 1000] {
            let mut session = waiting(&exchange.operation);
            let mut responses = Vec::new();
            for mut input in exchange.bytes.chunks(piece) {
                while !input.is_empty() {
                    match session.receive(&mut input, &mut BytesMut::new()) {
                        Progress::NeedMore | Progress::Write => {}
                        progress => responses.push(progress),
                    }
                }
            }
            assert_eq!(responses, [Progress::Response(outcome(exchange))], "{piece}: {exchange:?}");
        }
    }
}

/// What postgres-protocol finds in a whole session of the command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Query and Execute messages of the client.
    queries: u64,
    /// ReadyForQuery outside of a transaction.
    transactions: u64,
    counts: Counts,
}

impl Found {
    fn add(&mut self, recorded: &Recorded) {
        // A StartupMessage has no type byte.
        let length = |bytes: &[u8]| u32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize;
        let mut client = &recorded.client[length(&recorded.client)..];
        while let Some((kind, rest)) = client.split_first() {
            self.queries += u64::from(matches!(kind, b'Q' | b'E'));
            client = &rest[length(rest)..];
        }
        let mut server = BytesMut::from(&recorded.server[..]);
        // The first one is the login's.
        let mut logins = 1;
        while let Some(message) = Message::parse(&mut server).expect("the protocol") {
            match message {
                Message::ReadyForQuery(body) if body.status() == b'I' && logins > 0 => logins -= 1,
                Message::ReadyForQuery(body) => {
                    self.transactions += u64::from(body.status() == b'I')
                }
                Message::ErrorResponse(_) => self.counts.failed += 1,
                Message::NoticeResponse(_) => self.counts.notices += 1,
                Message::CopyData(body) => {
                    self.counts.copied_rows += 1;
                    self.counts.copied_bytes += body.data().len() as u64;
                }
                _ => {}
            }
        }
        assert!(server.is_empty(), "no message is cut");
    }
}

#[test]
fn a_run_counts_what_passes_on_the_wire() {
    let stack = Stack::small(&[]);
    for target in ["postgres", "pooler"] {
        // PgBouncer 1.18 loses replies to what comes while it copies.
        let pipelines = ["off", "sync-once", "sync-each"];
        let safe = if target == "pooler" { 2 } else { 3 };
        for pipeline in &pipelines[..safe] {
            let Place { port, .. } = stack.place(target);
            let relay = Relay::start(port);
            let conninfo = stack.relayed(target, &relay);
            let text = format!(
                r#"
name = "recorded"
[targets.a]
conninfo = "{conninfo}"
[[operations]]
name = "noisy"
variables = {{ id = {{ uniform = [1, 100] }} }}
sql = ["SELECT $1", "{NOTICES}", "COPY (SELECT generate_series(1, 10)) TO STDOUT"]
params = ["id:int8"]
expect = {{ id = "data.id" }}
transaction = true
pipeline = "{pipeline}"
[[operations]]
name = "failing"
sql = ["SELECT 1", "SELECT 1 / 0", "SELECT 2"]
transaction = true
pipeline = "{pipeline}"
[load]
executor = "shared-iterations"
vus = 2
iterations = 40
"#
            );
            let file = stack.home.write("recorded.toml", &text);
            let ended = stack.home.run(&["run", &file, "--warm-up", "0s", "--json", "-"]);
            assert_eq!(ended.code, 0, "{ended:?}");
            let arm = &ended.json()["arms"][0];
            let mut found = Found::default();
            relay.recordings().iter().for_each(|recorded| found.add(recorded));
            let queries = &arm["queries"];
            let what = format!("{target} {pipeline}: {arm}");
            assert_eq!(queries["sent"], found.queries, "{what}");
            assert_eq!(queries["transactions"], found.transactions, "{what}");
            assert_eq!(queries["failed"], found.counts.failed, "{what}");
            assert_eq!(arm["notices"], found.counts.notices, "{what}");
            let Counts { copied_rows, copied_bytes, .. } = found.counts;
            let copied = json!({ "rows": copied_rows, "bytes": copied_bytes });
            assert_eq!(arm["copied"], copied, "{what}");
            assert!(found.counts.failed > 0 && copied_rows > 0, "{what}");
        }
    }
}

/// Each client's own text under the same name, on the one server connection that they share.
#[test]
fn three_clients_with_one_name_get_their_own_answers_or_the_pooler_is_named() {
    let stack = Stack::small(&["--pool-size", "1"]);
    let place = &stack.place("pooler");
    let mut refused = 0;
    let mut clients = Vec::new();
    for number in ["111", "222", "333"] {
        let own = statement(&format!("SELECT {number}"), Protocol::Prepared);
        match Client::open_for(place, &own) {
            Ok(client) => clients.push((client, own, number)),
            Err(failed) => {
                assert_eq!(failed.class, Class::PoolingIncompatible, "{failed:?}");
                refused += 1;
            }
        }
    }
    assert!(refused + clients.len() == 3 && !clients.is_empty());
    for _ in 0..3 {
        for (client, own, number) in &mut clients {
            client.request(own).unwrap_or_else(|failed| panic!("{failed:?}"));
            let bytes = &client.exchanges.last().unwrap().bytes;
            assert!(bytes.windows(3).any(|at| at == number.as_bytes()), "its own answer");
        }
    }
}
