//! Connections that are opened for one request each: what each costs a client.

use super::closed::{Cell, Servers, compare, connections_name};
use super::{Bench, Interrupted, Section};
use crate::client::{Protocol, Script, Target};
use crate::server::{Nginx, postgres::SCRAM_USER};
use crate::work::{self, ChurnServer, Route};

const COLUMNS: &[&str] = &["connections/s", "CPU us a connection", "ours / theirs"];

const ABOUT: &str = "Closed loops that open a connection for each request, on the servers of the \
    tables above; SELECT 1 on Postgres. ab without -k, wrk with `Connection: close`, oha with \
    --disable-keepalive, pgbench with -C. With SCRAM most of the time is the hashing of the \
    password, on both sides.";

/// As in the smaller reply of the HTTP table.
const REPLY_BYTES: usize = 120;

/// On nginx, on Postgres and through PgBouncer.
pub(crate) fn churn(bench: &Bench<'_>, work: &[work::Churn]) -> Result<Section, Interrupted> {
    let mut section = Section::new("Connections".into(), ABOUT, COLUMNS);
    let nginx = Nginx::start(REPLY_BYTES, bench.folder, bench.cores);
    let servers = Servers::start(bench);
    for work in work {
        let route = |route| servers.target(route, Protocol::Simple, Script::SelectOne).1;
        let (name, target) = match work.server {
            ChurnServer::Http => {
                let target = nginx.as_ref().map(|nginx| Target::Http { port: nginx.port });
                ("HTTP", target.map_err(Clone::clone))
            }
            ChurnServer::Postgres => ("Postgres, trust", route(Route::Direct)),
            ChurnServer::Scram => ("Postgres, SCRAM", route(Route::Direct).map(by_scram)),
            ChurnServer::PgBouncer => ("PgBouncer, trust", route(Route::PgBouncer)),
        };
        for &connections in &work.connections {
            let name = format!("{name}, {} at once", connections_name(connections));
            let cell = Cell { name, connections, reconnect: true };
            compare(bench, &mut section, &cell, &target, &work.peers, &[])?;
        }
    }
    Ok(section)
}

/// The same with a user who proves a password.
fn by_scram(mut target: Target) -> Target {
    if let Target::Postgres { user, .. } = &mut target {
        *user = SCRAM_USER;
    }
    target
}
