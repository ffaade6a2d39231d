//! Every class of failure, provoked on a real Postgres and a real PgBouncer.

use std::net::TcpStream;

use bytes::BytesMut;
use poolbench_tests::Stack;
use poolbench_tests::session::{Client, Failed, Place, statement};
use wire::Class;
use wire::postgres::Protocol;

/// The console of a pooler.
struct Console(postgres::Client);

impl Console {
    fn say(&mut self, command: &str) {
        self.0.simple_query(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// The servers, and what was found on them.
struct Bench {
    direct: Place,
    pooler: Place,
    console: Console,
    clients: Vec<Client>,
}

impl Bench {
    /// A failure is of this class and keeps this code and these words; then the server can be used
    /// again.
    fn check(
        &mut self,
        what: &str,
        result: Result<(), Failed>,
        (class, code, words): (Class, &str, &str),
        is_reusable: bool,
    ) {
        let failed = result.expect_err(what);
        eprintln!("{what}: {failed:?}");
        assert_eq!((failed.class, failed.code.as_str()), (class, code), "{what}: {failed:?}");
        assert!(failed.message.contains(words), "{what}: {failed:?}");
        assert_eq!(failed.is_reusable, is_reusable, "{what}: {failed:?}");
    }
}

fn open(place: &Place) -> Client {
    Client::open(place).unwrap_or_else(|failed| panic!("{failed:?}"))
}

fn refused(place: &Place) -> Result<(), Failed> {
    Client::open(place).map(|_| ())
}

#[test]
fn every_failure_has_its_class_its_code_and_its_words() {
    let stack = Stack::up(&["--pool-size", "1"]);
    let mut bench = Bench {
        direct: stack.place("postgres"),
        pooler: stack.place("pooler"),
        console: Console(stack.connect("console")),
        clients: Vec::new(),
    };
    let mut superuser = stack.connect("superuser");
    let (direct, pooler) = (bench.direct.clone(), bench.pooler.clone());

    // Statements.
    let mut one = open(&direct);
    let mut two = open(&direct);
    one.sql("CREATE TABLE counter (id int PRIMARY KEY, n int)").unwrap();
    one.sql("INSERT INTO counter VALUES (1, 0), (2, 0)").unwrap();
    let syntax = one.sql("SELEC 1");
    bench.check("syntax", syntax, (Class::Sql, "42601", "syntax error"), true);
    one.sql("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    one.sql("SELECT * FROM counter").unwrap();
    two.sql("UPDATE counter SET n = 1 WHERE id = 1").unwrap();
    let serialization = one.sql("UPDATE counter SET n = 2 WHERE id = 1");
    bench.check("serialization", serialization, (Class::Retryable, "40001", "serialize"), true);
    one.sql("ROLLBACK").unwrap();

    one.sql("BEGIN").unwrap();
    two.sql("BEGIN").unwrap();
    one.sql("UPDATE counter SET n = 3 WHERE id = 1").unwrap();
    two.sql("UPDATE counter SET n = 3 WHERE id = 2").unwrap();
    one.send(&statement("UPDATE counter SET n = 4 WHERE id = 2", Protocol::Simple));
    two.send(&statement("UPDATE counter SET n = 4 WHERE id = 1", Protocol::Simple));
    // Whoever waits first finds out, and the other one goes on once it has given up.
    let (deadlock, other) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let result = one.answer();
            one.sql("ROLLBACK").unwrap();
            result
        });
        let second = scope.spawn(|| {
            let result = two.answer();
            two.sql("ROLLBACK").unwrap();
            result
        });
        let results = (first.join().unwrap(), second.join().unwrap());
        if results.0.is_err() { results } else { (results.1, results.0) }
    });
    assert_eq!(other, Ok(()));
    bench.check("deadlock", deadlock, (Class::Retryable, "40P01", "deadlock"), true);

    one.sql("SET statement_timeout = '50ms'").unwrap();
    let timeout = one.sql("SELECT pg_sleep(60)");
    bench.check("statement_timeout", timeout, (Class::Sql, "57014", "statement timeout"), true);
    one.sql("SET statement_timeout = 0; SET lock_timeout = '50ms'").unwrap();
    two.sql("BEGIN; UPDATE counter SET n = 5 WHERE id = 1").unwrap();
    let lock = one.sql("UPDATE counter SET n = 6 WHERE id = 1");
    bench.check("lock_timeout", lock, (Class::Retryable, "55P03", "lock timeout"), true);
    two.sql("ROLLBACK").unwrap();
    superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'nova' AND application_name = 'poolbench'", &[]).unwrap();
    let terminated = one.sql("SELECT 1");
    bench.check("terminated", terminated, (Class::Unavailable, "57P01", "administrator"), false);
    bench.clients.extend([one, two]);

    // Logins at Postgres.
    let wrong = |place: &Place| Place { password: "wrong".into(), ..place.clone() };
    let nowhere = |place: &Place| Place { database: "nowhere".into(), ..place.clone() };
    let result = refused(&wrong(&direct));
    bench.check("password", result, (Class::Auth, "28P01", "authentication failed"), false);
    let result = refused(&nowhere(&direct));
    bench.check("database", result, (Class::Unavailable, "3D000", "does not exist"), false);
    superuser.batch_execute("ALTER ROLE nova CONNECTION LIMIT 0").unwrap();
    let result = refused(&direct);
    bench.check("connections", result, (Class::Capacity, "53300", "too many connections"), false);
    bench.console.say("RECONNECT nova");
    bench.console.say("SET server_login_retry = 1");
    for n in 0..3 {
        let result = refused(&pooler);
        eprintln!("pooler login {n}: {result:?}");
    }
    superuser.batch_execute("ALTER ROLE nova CONNECTION LIMIT -1").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));

    // Logins at the pooler.
    let result = refused(&wrong(&pooler));
    bench.check("pooler password", result, (Class::Auth, "08P01", "authentication failed"), false);
    let result = refused(&nowhere(&pooler));
    eprintln!("{result:?}");
    let result = Client::open_with(&pooler, &statement("SELECT 1", Protocol::Simple), |hello| {
        let mut hello = hello[..hello.len() - 1].to_vec();
        hello.extend(b"search_path\0nova\0\0");
        let length = (hello.len() as u32).to_be_bytes();
        hello[..4].copy_from_slice(&length);
        BytesMut::from(&hello[..])
    });
    eprintln!("{:?}", result.map(|_| ()));
    bench.console.say("SET max_client_conn = 1");
    eprintln!("max {:?}", refused(&pooler));
    bench.console.say("SET max_client_conn = 100");
    bench.console.say("SET query_wait_timeout = 1");
    let mut one = open(&pooler);
    let mut two = open(&pooler);
    one.sql("BEGIN").unwrap();
    eprintln!("wait {:?}", two.sql("SELECT 1"));
    one.sql("COMMIT").unwrap();
    bench.console.say("SET query_timeout = 1");
    eprintln!("query_timeout {:?}", one.sql("SELECT pg_sleep(60)"));
    bench.console.say("SET query_timeout = 0");
    bench.console.say("SET client_login_timeout = 1");
    let result = Client::open_with(&pooler, &statement("SELECT 1", Protocol::Simple), |_| BytesMut::new());
    eprintln!("login timeout {:?}", result.map(|_| ()));
    bench.console.say("SET client_login_timeout = 60");
    let mut one = open(&pooler);
    bench.console.say("PAUSE nova");
    eprintln!("pause {:?}", one.sql("SELECT 1"));
    bench.console.say("RESUME nova");
    let mut one = open(&pooler);
    bench.console.say("DISABLE nova");
    eprintln!("disable {:?}", one.sql("SELECT 1"));
    eprintln!("disable {:?}", refused(&pooler));
    bench.console.say("ENABLE nova");
    let mut one = open(&pooler);
    bench.console.say("KILL nova");
    eprintln!("kill {:?}", one.sql("SELECT 1"));
    eprintln!("kill {:?}", refused(&pooler));
    bench.console.say("RESUME nova");
    bench.console.say("SET pool_mode = statement");
    let mut one = open(&pooler);
    eprintln!("statement {:?}", one.sql("BEGIN"));
    bench.console.say("SET pool_mode = transaction");
    bench.console.say("SET default_pool_size = 2");
    bench.console.say("RECONNECT nova");
    let named = statement("SELECT 1", Protocol::Prepared);
    let mut one = Client::open_for(&pooler, &named).unwrap();
    let result = Client::open_for(&pooler, &named);
    eprintln!("duplicate {:?}", result.map(|_| ()));
    let mut holder = open(&pooler);
    holder.sql("BEGIN").unwrap();
    eprintln!("gone {:?}", one.request(&named));
    eprintln!("gone again {:?}", one.request(&named));
    holder.sql("COMMIT").unwrap();
    let mut one = open(&pooler);
    let mut two = open(&pooler);
    two.send(&statement("SELECT pg_sleep(60)", Protocol::Simple));
    let mut postgres = stack.stop("postgres", "INT");
    eprintln!("down {:?}", two.answer());
    eprintln!("down {:?}", one.sql("SELECT 1"));
    for _ in 0..3 {
    eprintln!("down {:?}", refused(&pooler));
    }
    postgres.spawn().unwrap();
    for _ in 0..10 {
        let result = refused(&pooler);
        eprintln!("restart {result:?}");
        if result.is_ok() { break }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let mut one = open(&pooler);
    one.send(&statement("SELECT pg_sleep(60)", Protocol::Simple));
    let mut two = open(&pooler);
    let shutdown = bench.console.0.simple_query("SHUTDOWN");
    eprintln!("shutdown {:?}", shutdown.map(|_| ()));
    eprintln!("shutdown {:?}", one.answer());
    eprintln!("shutdown {:?}", two.sql("SELECT 1"));
    eprintln!("shutdown {:?}", refused(&pooler));
    let _ = TcpStream::connect("127.0.0.1:1");
}
