//! What one core of ours can do at most.

use super::{Bench, Entry, Interrupted, Section, null_server};
use crate::client::{Load, Report};
use crate::server::Holds;
use crate::spread::Spread;
use crate::work::{self, Server};

const COLUMNS: &[&str] = &["requests/s", "CPU us a request", "requests/s of a whole core"];

const ABOUT: &str = "Closed loops of ours on null servers of our own. The server may be what holds \
    the rate: the last column is what a core does that does nothing else.";

/// Ours on null servers.
pub(crate) fn ceiling(bench: &Bench<'_>, work: &[work::Ceiling]) -> Result<Section, Interrupted> {
    let mut section = Section::new("Ceiling".into(), ABOUT, COLUMNS);
    for work in work {
        let server = match work.server {
            Server::Http => "HTTP",
            Server::Postgres => "Postgres, SELECT 1, prepared",
        };
        for &connections in &work.connections {
            let cell = format!("{server}, {connections} connections");
            bench.say(&format!("{}: {cell}", section.title));
            let rounds = bench.rounds(bench.rounds.rounds, &[bench.ours], |client| {
                let (_server, target) = null_server(work.server, Holds::default(), bench.cores)?;
                let seconds = bench.rounds.http_seconds;
                let load = Load {
                    target: &target,
                    connections,
                    reconnect: false,
                    rate: None,
                    seconds,
                    requests: 0,
                };
                bench.run(client, &load)
            })?;
            section.entries.push(match &rounds[0] {
                Err(why) => Entry::failed(&cell, bench.ours.name(), why),
                Ok(reports) => entry(cell, bench.ours.name(), reports),
            });
        }
    }
    Ok(section)
}

/// The server may be what holds the rate; a core that did nothing else would do one second's worth
/// of requests.
fn entry(cell: String, client: &str, reports: &[Report]) -> Entry {
    let spread = |pick: fn(&Report) -> f64| Spread::new(reports.iter().map(pick));
    let whole = spread(|report| 1e6 / report.cpu_us);
    let figures = vec![spread(|report| report.rate), spread(|report| report.cpu_us), whole];
    Entry { cell, client: client.to_owned(), figures, note: None }
}
