//! Closed loops: what a request costs each client.

use super::{Bench, Entry, Interrupted, Section};
use crate::client::{Client, Load, Protocol, Report, Target};
use crate::server::{Nginx, PgBouncer, Postgres, pgbouncer, postgres::DATABASE};
use crate::spread::Spread;
use crate::verdict::Goal;
use crate::work::{self, Ratio, Route};

const COLUMNS: &[&str] = &["requests/s", "CPU us a request", "ours / theirs"];

/// Requests a second where ours can't say.
const RATE_UNKNOWN: f64 = 10_000.0;

/// On nginx.
pub(crate) fn http(bench: &Bench<'_>, work: &work::Http) -> Result<Section, Interrupted> {
    let title = format!("HTTP, POST of 150 B, reply of {} B, nginx", work.reply_bytes);
    let mut section = Section { title, columns: COLUMNS, entries: Vec::new(), goals: Vec::new() };
    let server = Nginx::start(work.reply_bytes, bench.folder, bench.cores);
    let target = server.as_ref().map(|nginx| Target::Http { port: nginx.port });
    for &connections in &work.connections {
        let cell = Cell { name: connections_name(connections), connections };
        let target = target.as_ref().map_err(|why| *why);
        compare(bench, &mut section, &cell, target, &work.peers, &work.goals)?;
    }
    Ok(section)
}

/// On Postgres and through PgBouncer.
pub(crate) fn postgres(
    bench: &Bench<'_>,
    work: &[work::Postgres],
) -> Result<Vec<Section>, Interrupted> {
    let postgres = Postgres::start(bench.folder, bench.cores);
    let pgbouncer = postgres
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|postgres| PgBouncer::start(postgres, bench.folder, bench.cores));
    let mut sections = Vec::new();
    for work in work {
        let title = format!("Postgres, {}", work.script);
        let (entries, goals) = (Vec::new(), Vec::new());
        let mut section = Section { title, columns: COLUMNS, entries, goals };
        for &route in &work.routes {
            for &protocol in &work.protocols {
                let (port, database, way) = match (route, protocol) {
                    (Route::Direct, _) => (postgres.as_ref().map(|it| it.port), DATABASE, ""),
                    (Route::PgBouncer, Protocol::Prepared) => (
                        pgbouncer.as_ref().map(|it| it.port),
                        pgbouncer::BY_SESSION,
                        "PgBouncer by session, ",
                    ),
                    (Route::PgBouncer, _) => {
                        (pgbouncer.as_ref().map(|it| it.port), DATABASE, "PgBouncer, ")
                    }
                };
                let script = work.script;
                let target = port.map(|port| Target::Postgres { port, database, script, protocol });
                for &connections in &work.connections {
                    let name = format!("{way}{protocol}, {}", connections_name(connections));
                    let cell = Cell { name, connections };
                    let target = target.as_ref().map_err(|why| *why);
                    compare(bench, &mut section, &cell, target, &work.peers, &work.goals)?;
                }
            }
        }
        sections.push(section);
    }
    Ok(sections)
}

fn connections_name(connections: u32) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

struct Cell {
    name: String,
    connections: u32,
}

/// Ours and every peer on one target; without a target, rows that say why.
fn compare(
    bench: &Bench<'_>,
    section: &mut Section,
    cell: &Cell,
    target: Result<&Target, &String>,
    peers: &[Client],
    goals: &[Ratio],
) -> Result<(), Interrupted> {
    bench.say(&format!("{}: {}", section.title, cell.name));
    let clients: Vec<&Client> = std::iter::once(bench.ours).chain(peers).collect();
    let reports = match target {
        Ok(target) => measure(bench, cell, target, &clients)?,
        Err(why) => clients.iter().map(|_| Err(why.clone())).collect(),
    };
    let ours = &reports[0];
    for (client, reports) in clients.iter().zip(&reports) {
        section.entries.push(match reports {
            Err(why) => Entry::failed(&cell.name, client.name(), why),
            Ok(reports) => {
                let pick = |pick: fn(&Report) -> f64| Spread::new(reports.iter().map(pick));
                let ratio = ours.as_ref().ok().and_then(|ours| ratio(ours, reports));
                let is_ours = *client == bench.ours;
                let ratio = ratio.filter(|_| !is_ours);
                let figures = vec![pick(|report| report.rate), pick(|report| report.cpu_us), ratio];
                let (cell, client) = (cell.name.clone(), client.name().to_owned());
                Entry { cell, client, figures, note: None }
            }
        });
    }
    let here = goals.iter().filter(|goal| goal.connections.contains(&cell.connections));
    for goal in here {
        let theirs = clients.iter().position(|client| client.name() == goal.peer);
        let theirs = theirs.map_or_else(|| Err("not run".to_owned()), |at| reports[at].clone());
        let measured = match (ours, theirs) {
            (Err(why), _) => Err(format!("{}: {why}", bench.ours.name())),
            (_, Err(why)) => Err(why),
            (Ok(ours), Ok(theirs)) => ratio(ours, &theirs).ok_or_else(|| "no rounds".into()),
        };
        let what = format!("{}: {}: CPU of ours / {}", section.title, cell.name, goal.peer);
        section.goals.push(Goal { what, at_most: goal.ratio, measured });
    }
    Ok(())
}

/// Round by round, so that both sides of a ratio were measured next to one another.
fn ratio(ours: &[Report], theirs: &[Report]) -> Option<Spread> {
    Spread::new(ours.iter().zip(theirs).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us))
}

fn measure(
    bench: &Bench<'_>,
    cell: &Cell,
    target: &Target,
    clients: &[&Client],
) -> Result<Vec<Result<Vec<Report>, String>>, Interrupted> {
    bench.check()?;
    let seconds = bench.rounds.seconds;
    let mut load = Load { target, connections: cell.connections, rate: None, seconds, requests: 0 };
    // An uncounted run warms the server, and says how many requests fill the time.
    let rate = bench.run(bench.ours, &load).map_or(RATE_UNKNOWN, |report| report.rate);
    load.requests = (rate * seconds) as u64;
    bench.rounds(bench.rounds.rounds, clients, |client| bench.run(client, &load))
}
