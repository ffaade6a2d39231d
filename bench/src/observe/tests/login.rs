//! What does not answer is an error, and nobody is held up by it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::scripted::{Answer as Scripted, Console};
use crate::observe::session::{Answer, Session};
use crate::observe::{Login, ObserveError};

fn open(conninfo: &str) -> Result<Login<Session>, ObserveError> {
    let mut session = Session::new("the console", conninfo, "ask it")?;
    session.patience = Duration::from_millis(100);
    Login::open(async || session.open().await.map(|_| session))
}

#[test]
fn a_server_that_says_nothing_is_an_error_and_no_hang() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let conninfo = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable");
    assert_eq!(
        open(&conninfo).err().unwrap().to_string(),
        format!(
            "the console at 127.0.0.1:{port} does not answer: it said nothing for 100ms; ask it"
        )
    );
}

#[test]
fn one_that_stops_answering_is_waited_for_once() {
    let (version, silence) = (Scripted::Version("1"), Scripted::Silence);
    let console =
        Console::start(vec![("SHOW VERSION", vec![version]), ("SHOW POOLS", vec![silence])]);
    let mut login = open(&console.conninfo).unwrap();
    let mut ask = |command| login.ask(async |session| session.ask(command).await);
    assert!(matches!(ask("SHOW VERSION"), Ok(Answer::Tables(_))));
    assert!(matches!(ask("SHOW LISTS"), Ok(Answer::Refusal { .. })));
    let mut error = |command| ask(command).err().unwrap().to_string();
    assert!(error("SHOW POOLS").ends_with("no answer within 100ms"));
    assert!(error("SHOW VERSION").ends_with("it is not open"));
    assert_eq!(console.count("SHOW VERSION"), 1);
}
