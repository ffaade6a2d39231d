//! Every class of failure, provoked on a real Postgres and a real PgBouncer.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolbench_tests::Stack;
use poolbench_tests::session::{Client, Failed, Place, session, statement};
use postgres_protocol::message::backend::Message;
use wire::postgres::Protocol;
use wire::{Class, Operation, Outcome, Progress, Session, Values};

/// The table: what is provoked, the class it falls into, the server's code, a part of its words, and
/// whether the connection goes on. PgBouncer 1.18 says 08P01 to everything.
const EXPECTED: &[(&str, Class, &str, &str, bool)] = &[
    ("syntax error", Class::Sql, "42601", "syntax error", true),
    ("serialization failure", Class::Retryable, "40001", "could not serialize access", true),
    ("deadlock", Class::Retryable, "40P01", "deadlock detected", true),
    ("statement_timeout", Class::Sql, "57014", "statement timeout", true),
    ("lock_timeout", Class::Retryable, "55P03", "lock timeout", true),
    ("backend terminated", Class::Unavailable, "57P01", "administrator command", false),
    ("wrong password", Class::Auth, "28P01", "password authentication failed", false),
    ("no such database", Class::Unavailable, "3D000", "does not exist", false),
    ("too many connections", Class::Capacity, "53300", "too many connections for role", false),
    ("pooler: too many connections", Class::Capacity, "08P01", "too many connections", false),
    ("pooler: wrong password", Class::Auth, "08P01", "SASL authentication failed", false),
    ("pooler: no such database", Class::Unavailable, "08P01", "no such database", false),
    (
        "pooler: unknown startup parameter",
        Class::PoolingIncompatible,
        "08P01",
        "unsupported startup parameter: search_path",
        false,
    ),
    ("pooler: max_client_conn", Class::Capacity, "08P01", "(max_client_conn)", false),
    ("pooler: query_wait_timeout", Class::WaitTimeout, "08P01", "query_wait_timeout", false),
    ("pooler: query_timeout", Class::PoolerOther, "08P01", "query timeout", false),
    ("pooler: client_login_timeout", Class::WaitTimeout, "08P01", "client_login_timeout", false),
    ("pooler: PAUSE", Class::WaitTimeout, "08P01", "query_wait_timeout", false),
    ("pooler: DISABLE", Class::Unavailable, "08P01", "database \"nova\" is disabled", false),
    ("pooler: KILL", Class::Unavailable, "08P01", "database removed", false),
    (
        "pooler: transaction in statement mode",
        Class::PoolingIncompatible,
        "08P01",
        "not allowed in statement pooling mode",
        false,
    ),
    ("pooler: name taken", Class::PoolingIncompatible, "42P05", "already exists", false),
    ("pooler: name gone", Class::PoolingIncompatible, "26000", "does not exist", true),
    ("pooler: Postgres stops", Class::Unavailable, "57P01", "administrator command", false),
    ("pooler: Postgres is down", Class::Unavailable, "08P01", "(server_login_retry)", false),
    ("pooler: SHUTDOWN", Class::Disconnected, "", "closed the connection", false),
    ("pooler: after SHUTDOWN", Class::ConnectFailed, "", "refused", false),
];

/// What was found, in the order of the table.
#[derive(Default)]
struct Findings {
    checked: usize,
    clients: Vec<Client>,
}

impl Findings {
    /// The next line of the table is about `what`, and this came of it.
    fn check(&mut self, what: &str, result: Result<(), Failed>) {
        let (expected, class, code, words, is_reusable) = EXPECTED[self.checked];
        assert_eq!(what, expected);
        let failed = result.expect_err(what);
        assert_eq!((failed.class, failed.code.as_str()), (class, code), "{what}: {failed:?}");
        assert!(failed.message.contains(words), "{what}: {failed:?}");
        assert_eq!(failed.is_reusable, is_reusable, "{what}: {failed:?}");
        self.checked += 1;
    }

    /// The same; then the connection answers if it is to, else a new one does.
    fn check_client(&mut self, what: &str, mut client: Client, place: &Place) {
        let result = client.exchanges.last().expect("it asked for something").result.clone();
        self.check(what, result);
        if EXPECTED[self.checked - 1].4 {
            assert_eq!(client.sql("ROLLBACK"), Ok(()), "{what}");
        } else {
            assert_eq!(open(place).sql("SELECT 1"), Ok(()), "{what}: the next one");
        }
        self.clients.push(client);
    }
}

/// A pooler's console.
struct Console(postgres::Client);

impl Console {
    fn say(&mut self, command: &str) {
        self.0.simple_query(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

fn open(place: &Place) -> Client {
    Client::open(place).unwrap_or_else(|failed| panic!("{failed:?}"))
}

fn refused(place: &Place) -> Result<(), Failed> {
    Client::open(place).map(drop)
}

fn select() -> Operation {
    statement("SELECT 1", Protocol::Simple)
}

fn sleep() -> Operation {
    statement("SELECT pg_sleep(60)", Protocol::Simple)
}

fn wrong_password(place: &Place) -> Place {
    Place { password: "wrong".into(), ..place.clone() }
}

fn nowhere(place: &Place) -> Place {
    Place { database: "nowhere".into(), ..place.clone() }
}

#[test]
fn every_failure_has_its_class_its_code_and_its_words() {
    let stack = Stack::small(&["--pool-size", "1"]);
    let mut found = Findings::default();
    statements(&stack, &mut found);
    logins(&stack, &mut found);
    pooler_logins(&stack, &mut found);
    pooler_queues(&stack, &mut found);
    pooler_administration(&stack, &mut found);
    prepared_names(&stack, &mut found);
    server_down(&stack, &mut found);
    pooler_shutdown(&stack, &mut found);
    assert_eq!(found.checked, EXPECTED.len());

    assert!(found.clients.iter().map(|client| client.exchanges.len()).sum::<usize>() > 25);
    for client in &found.clients {
        assert_agrees_with_postgres_protocol(client);
        assert_cuts_change_nothing(client);
    }
}

fn statements(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("postgres");
    let mut one = open(place);
    let mut two = open(place);
    one.sql("CREATE TABLE counter (id int PRIMARY KEY, n int)").unwrap();
    one.sql("INSERT INTO counter VALUES (1, 0), (2, 0)").unwrap();
    let _ = one.sql("SELEC 1");
    found.check_client("syntax error", one, place);

    let mut one = open(place);
    one.sql("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    one.sql("SELECT * FROM counter").unwrap();
    two.sql("UPDATE counter SET n = 1 WHERE id = 1").unwrap();
    let _ = one.sql("UPDATE counter SET n = 2 WHERE id = 1");
    found.check_client("serialization failure", one, place);

    let mut one = open(place);
    for (client, id) in [(&mut one, 1), (&mut two, 2)] {
        client.sql("BEGIN").unwrap();
        client.sql(&format!("UPDATE counter SET n = 3 WHERE id = {id}")).unwrap();
    }
    // Whoever finds out gives up, and the other one goes on.
    let crossed = [(one, 2), (two, 1)].map(|(mut client, id)| {
        std::thread::spawn(move || {
            let sql = format!("UPDATE counter SET n = 4 WHERE id = {id}");
            let result = client.sql(&sql);
            if result.is_ok() {
                client.sql("ROLLBACK").unwrap();
            }
            (result.is_ok(), client)
        })
    });
    let [one, two] = crossed.map(|thread| thread.join().unwrap());
    assert_ne!(one.0, two.0, "one of the two is the victim");
    let (victim, mut other) = if one.0 { (two.1, one.1) } else { (one.1, two.1) };
    found.check_client("deadlock", victim, place);

    let mut one = open(place);
    one.sql("SET statement_timeout = '50ms'").unwrap();
    let _ = one.request(&sleep());
    found.check_client("statement_timeout", one, place);

    let mut one = open(place);
    one.sql("SET lock_timeout = '50ms'").unwrap();
    other.sql("BEGIN; UPDATE counter SET n = 5 WHERE id = 1").unwrap();
    let _ = one.sql("UPDATE counter SET n = 6 WHERE id = 1");
    found.check_client("lock_timeout", one, place);

    let backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE application_name = 'poolbench'";
    stack.connect("superuser").execute(backends, &[]).unwrap();
    let _ = other.sql("SELECT 1");
    found.check_client("backend terminated", other, place);
}

fn logins(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("postgres");
    let mut superuser = stack.connect("superuser");
    found.check("wrong password", refused(&wrong_password(place)));
    found.check("no such database", refused(&nowhere(place)));
    superuser.batch_execute("ALTER ROLE nova CONNECTION LIMIT 0").unwrap();
    found.check("too many connections", refused(place));
    // Without a server connection the pooler passes the refusal on.
    let mut console = Console(stack.connect("console"));
    console.say("RECONNECT nova");
    found.check("pooler: too many connections", refused(&stack.place("pooler")));
    superuser.batch_execute("ALTER ROLE nova CONNECTION LIMIT -1").unwrap();
    console.say("SET server_login_retry = 1");
    wait_until_it_answers(&stack.place("pooler"));
}

/// Tries until a new client's statement works. Until then every failure is of a class that says so.
fn wait_until_it_answers(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(failed) = Client::open(place).and_then(|mut client| client.sql("SELECT 1")) {
        assert!(failed.class.is_of_connection(), "{failed:?}");
        assert!(Instant::now() < deadline, "{failed:?}");
        std::thread::yield_now();
    }
}

fn pooler_logins(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    let mut console = Console(stack.connect("console"));
    found.check("pooler: wrong password", refused(&wrong_password(place)));
    found.check("pooler: no such database", refused(&nowhere(place)));
    let with_parameter = |hello: BytesMut| {
        let mut hello = [&hello[..hello.len() - 1], b"search_path\0nova\0\0"].concat();
        let length = hello.len() as u32;
        hello[..4].copy_from_slice(&length.to_be_bytes());
        BytesMut::from(&hello[..])
    };
    let result = Client::open_with(place, &select(), with_parameter).map(drop);
    found.check("pooler: unknown startup parameter", result);
    console.say("SET max_client_conn = 1");
    found.check("pooler: max_client_conn", refused(place));
    console.say("SET max_client_conn = 100");
    assert_eq!(open(place).sql("SELECT 1"), Ok(()));
}

fn pooler_queues(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    let mut console = Console(stack.connect("console"));
    console.say("SET query_wait_timeout = 1");
    let mut one = open(place);
    one.sql("BEGIN").unwrap();
    let mut two = open(place);
    let _ = two.sql("SELECT 1");
    one.sql("COMMIT").unwrap();
    found.check_client("pooler: query_wait_timeout", two, place);
    console.say("SET query_timeout = 1");
    let _ = one.request(&sleep());
    console.say("SET query_timeout = 0");
    found.check_client("pooler: query_timeout", one, place);
    console.say("SET client_login_timeout = 1");
    let result = Client::open_with(place, &select(), |_| BytesMut::new()).map(drop);
    found.check("pooler: client_login_timeout", result);
    console.say("SET client_login_timeout = 60");
}

fn pooler_administration(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    let mut console = Console(stack.connect("console"));
    let mut one = open(place);
    console.say("PAUSE nova");
    let _ = one.sql("SELECT 1");
    console.say("RESUME nova");
    found.check_client("pooler: PAUSE", one, place);

    let mut one = open(place);
    console.say("DISABLE nova");
    assert_eq!(one.sql("SELECT 1"), Ok(()), "who is in may go on");
    found.check("pooler: DISABLE", refused(place));
    console.say("ENABLE nova");

    console.say("KILL nova");
    let _ = one.sql("SELECT 1");
    console.say("RESUME nova");
    found.check_client("pooler: KILL", one, place);

    console.say("SET pool_mode = statement");
    let mut one = open(place);
    let _ = one.sql("BEGIN");
    console.say("SET pool_mode = transaction");
    found.check_client("pooler: transaction in statement mode", one, place);
}

/// Two clients on one server connection, then one client on two.
fn prepared_names(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    let mut console = Console(stack.connect("console"));
    console.say("SET default_pool_size = 2");
    console.say("RECONNECT nova");
    let named = statement("SELECT 1", Protocol::Prepared);
    let mut one = Client::open_for(place, &named).unwrap_or_else(|failed| panic!("{failed:?}"));
    found.check("pooler: name taken", Client::open_for(place, &named).map(drop));
    let mut holder = open(place);
    holder.sql("BEGIN").unwrap();
    let _ = one.request(&named);
    found.check_client("pooler: name gone", one, place);
    holder.sql("COMMIT").unwrap();
}

fn server_down(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    let mut client = open(place);
    client.send(&sleep());
    // Its request must be there before the server goes.
    let is_there = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' \
                    AND state = 'active' AND pid <> pg_backend_pid()";
    let mut superuser = stack.connect("superuser");
    while superuser.query_one(is_there, &[]).unwrap().get::<_, i64>(0) == 0 {}
    drop(superuser);
    let mut start = stack.stop("postgres", "INT");
    let result = client.answer();
    found.check("pooler: Postgres stops", result);
    // The first to come wait until the pooler knows that there is no server; then it says so.
    let result = (0..10)
        .map(|_| Client::open(place).and_then(|mut client| client.sql("SELECT 1")))
        .find(|result| {
            let failed = result.as_ref().expect_err("there is no server");
            assert!(matches!(failed.class, Class::WaitTimeout | Class::Unavailable), "{failed:?}");
            failed.message.contains("server_login_retry")
        });
    found.check("pooler: Postgres is down", result.expect("the pooler notices"));
    std::thread::spawn(move || start.status());
    wait_until_it_answers(place);
    found.clients.push(client);
}

fn pooler_shutdown(stack: &Stack, found: &mut Findings) {
    let place = &stack.place("pooler");
    // A connection that had served before would count as stale.
    let mut client = open(place);
    client.send(&sleep());
    // It ends at once, and its console with it.
    let _ = stack.connect("console").simple_query("SHUTDOWN");
    let result = client.answer();
    found.check("pooler: SHUTDOWN", result);
    found.check("pooler: after SHUTDOWN", refused(place));
    found.clients.push(client);
}

/// The first error in a reply, and whether the reply came to its end, as postgres-protocol reads it.
fn parsed(bytes: &[u8]) -> (Option<(String, String)>, bool) {
    use fallible_iterator::FallibleIterator as _;
    let mut rest = BytesMut::from(bytes);
    let mut error = None;
    let mut is_complete = false;
    while let Some(message) = Message::parse(&mut rest).expect("a server speaks the protocol") {
        match message {
            Message::ErrorResponse(body) if error.is_none() => {
                let (mut code, mut words) = (String::new(), String::new());
                let mut fields = body.fields();
                while let Some(field) = fields.next().expect("fields") {
                    let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
                    match field.type_() {
                        b'C' => code = value,
                        b'M' => words = value,
                        _ => {}
                    }
                }
                error = Some((code, words));
            }
            Message::ReadyForQuery(_) => is_complete = true,
            _ => {}
        }
    }
    assert!(rest.is_empty(), "no message is cut in a recorded session");
    (error, is_complete)
}

fn assert_agrees_with_postgres_protocol(client: &Client) {
    assert_eq!(parsed(&client.greeting), (None, true));
    for exchange in &client.exchanges {
        let (error, is_complete) = parsed(&exchange.bytes);
        match &exchange.result {
            Ok(()) => assert_eq!((error, is_complete), (None, true), "{exchange:?}"),
            Err(failed) if failed.code.is_empty() => assert_eq!(error, None, "{exchange:?}"),
            Err(failed) => {
                assert_eq!(error, Some((failed.code.clone(), failed.message.clone())));
                assert_eq!(is_complete, failed.is_reusable, "{exchange:?}");
            }
        }
    }
}

/// A recorded session, played to our own code in pieces of every kind.
fn assert_cuts_change_nothing(client: &Client) {
    let place = Place { port: 0, user: "u".into(), password: "p".into(), database: "d".into() };
    let trusted = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    for piece in [1, 2, 3, 5, 7, 64, 1000] {
        let mut session = session(&place, &select());
        session.open(&mut BytesMut::new());
        assert_eq!(play(&mut session, trusted, piece), Some(Progress::Ready));
        for exchange in &client.exchanges {
            let mut out = BytesMut::new();
            session.request(&exchange.operation, &Values::new(), &mut out);
            let progress = play(&mut session, &exchange.bytes, piece)
                .unwrap_or_else(|| session.end_of_stream());
            let outcome = exchange
                .result
                .as_ref()
                .map_or_else(|failed| Outcome::Failed(failed.class), |()| Outcome::Ok);
            assert_eq!(progress, Progress::Response(outcome), "{piece}: {exchange:?}");
        }
    }
}

/// The first event in `bytes`.
fn play(session: &mut Session, bytes: &[u8], piece: usize) -> Option<Progress> {
    bytes.chunks(piece).find_map(|mut input| {
        while !input.is_empty() {
            match session.receive(&mut input, &mut BytesMut::new()) {
                Progress::NeedMore | Progress::Write => {}
                progress => return Some(progress),
            }
        }
        None
    })
}
