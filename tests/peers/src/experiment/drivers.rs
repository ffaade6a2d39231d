//! Our drivers against one another.

use super::closed::{COLUMNS, Cell, Servers, compare, connections_name};
use super::{Bench, Interrupted, Section};
use crate::client::{Protocol, Script, Target};
use crate::server::Nginx;
use crate::work::{self, Route, Server};

const ABOUT: &str = "Closed loops on nginx and on Postgres as in the tables above, with prepared \
    statements. Ours is the driver that is chosen by itself: io_uring directly, where the kernel \
    allows it.";

/// As in the smaller reply of the HTTP table.
const REPLY_BYTES: usize = 120;

/// On nginx and on Postgres.
pub(crate) fn drivers(bench: &Bench<'_>, work: &[work::Drivers]) -> Result<Section, Interrupted> {
    let mut section = Section::new("Drivers".into(), ABOUT, COLUMNS);
    let nginx = Nginx::start(REPLY_BYTES, bench.folder, bench.cores);
    let servers = Servers::start(bench);
    for work in work {
        let (name, target) = match work.server {
            Server::Http => {
                let target = nginx.as_ref().map(|nginx| Target::Http { port: nginx.port });
                ("HTTP", target.map_err(Clone::clone))
            }
            Server::Postgres => {
                let way = servers.target(Route::Direct, Protocol::Prepared, Script::SelectOne);
                ("Postgres, prepared", way.1)
            }
        };
        for &connections in &work.connections {
            let name = format!("{name}, {}", connections_name(connections));
            let cell = Cell { name, connections, reconnect: false };
            compare(bench, &mut section, &cell, &target, &work.others, &[])?;
        }
    }
    Ok(section)
}
