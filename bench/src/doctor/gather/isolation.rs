//! Whether what one client leaves in its session is there for the next one.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};

use super::super::facts::{Isolation, StateFacts};
use crate::conninfo::{Conninfo, with_sources};

/// So many clients look for what another one left; a pool that hands its connections out in turn
/// gives them as many different ones.
const LOOKERS: usize = 5;
/// All of it takes no longer; a client that waits for a pool that is full is left behind.
const PATIENCE: Duration = Duration::from_secs(20);
/// What was left is taken away by whoever is given that server connection, tried so often.
const CLEANINGS_MAX: usize = 50;

/// State that a session can have. The statements are sent in the simple protocol, each in a
/// transaction of its own, so that every pool mode takes them.
struct State {
    /// For people.
    what: &'static str,
    /// Leaves something.
    leave: &'static str,
    /// Whether it is there: true or false.
    look: &'static str,
    /// Takes it away.
    clean: &'static str,
}

const STATES: [State; 4] = [
    State {
        what: "SET",
        leave: "SET poolbench.isolation = 'left'",
        look: "coalesce(current_setting('poolbench.isolation', true), '') = 'left'",
        clean: "SET poolbench.isolation = ''",
    },
    State {
        what: "temporary tables",
        leave: "CREATE TEMPORARY TABLE poolbench_isolation ()",
        look: "to_regclass('pg_temp.poolbench_isolation') IS NOT NULL",
        clean: "DROP TABLE pg_temp.poolbench_isolation",
    },
    State {
        what: "advisory locks",
        // "pool" and "iso" in ASCII.
        leave: "SELECT pg_try_advisory_lock(1886351212, 6910831)",
        look: "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted \
               AND pid = pg_backend_pid() AND classid = 1886351212 AND objid = 6910831)",
        clean: "SELECT pg_advisory_unlock(1886351212, 6910831)",
    },
    State {
        what: "prepared names",
        leave: "PREPARE poolbench_isolation AS SELECT 1",
        look: "EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'poolbench_isolation')",
        clean: "DEALLOCATE poolbench_isolation",
    },
];

/// Tries it on a target; a pooler in session mode gives no client another's server connection
/// before that one has gone. The error says why it could not be tried.
pub(super) fn probe(conninfo: &str, pool_mode: Option<&str>) -> Result<Isolation, String> {
    let is_exclusive = pool_mode == Some("session");
    let conninfo = Conninfo::parse(conninfo).map_err(|error| error.to_string())?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let states = STATES.iter().map(|state| state.probe(&conninfo, is_exclusive));
        // Nobody waits any more where this fails.
        let _ = sender.send(states.collect::<Result<Vec<_>, _>>());
    });
    let silence = || format!("its pool had no connection for one more client in {PATIENCE:?}");
    let states = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(silence()))?;
    Ok(Isolation { states })
}

impl State {
    fn probe(&self, conninfo: &Conninfo, is_exclusive: bool) -> Result<StateFacts, String> {
        let mut leaver = conninfo.clone().connect()?;
        let before = self.look(&mut leaver)?;
        if let Err(error) = leaver.simple_query(self.leave) {
            return Ok(StateFacts {
                what: self.what,
                is_broken: false,
                is_shared: false,
                problem: Some(with_sources(&error)),
            });
        }
        let after = self.look(&mut leaver)?;
        let lent = [before.0, after.0];
        let (mut is_broken, mut is_shared) = (false, false);
        let mut look = |client: &mut Client| -> Result<(), String> {
            let (backend, is_there) = self.look(client)?;
            is_shared |= lent.contains(&backend);
            is_broken |= is_there;
            Ok(())
        };
        if !is_exclusive {
            for _ in 0..LOOKERS {
                look(&mut conninfo.clone().connect()?)?;
            }
        }
        drop(leaver);
        let mut last = conninfo.clone().connect()?;
        look(&mut last)?;
        if is_broken {
            self.clean(&mut last)?;
        }
        Ok(StateFacts { what: self.what, is_broken, is_shared, problem: None })
    }

    /// The backend that answered, and whether the state is there.
    fn look(&self, client: &mut Client) -> Result<(i32, bool), String> {
        let answer = client.simple_query(&format!("SELECT pg_backend_pid(), {}", self.look));
        let answer = answer.map_err(|error| with_sources(&error))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)? == "t")),
            _ => None,
        });
        row.ok_or_else(|| "it answered a SELECT without a row".into())
    }

    /// Until it is found no more.
    fn clean(&self, client: &mut Client) -> Result<(), String> {
        for _ in 0..CLEANINGS_MAX {
            if !self.look(client)?.1 {
                return Ok(());
            }
            // It may come to another server connection, where there is nothing to take away.
            let _ = client.simple_query(self.clean);
        }
        Ok(())
    }
}
