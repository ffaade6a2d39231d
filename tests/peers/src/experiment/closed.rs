//! Closed loops: what a request costs each client.

use super::{Bench, Entry, Interrupted, Section};
use crate::client::{Client, Load, Protocol, Report, Script, Target};
use crate::server::pgbouncer::BY_SESSION;
use crate::server::postgres::{DATABASE, USER};
use crate::server::{Nginx, PgBouncer, Postgres};
use crate::spread::Spread;
use crate::verdict::{Goal, Missing};
use crate::work::{self, Ratio, Route};

pub(super) const COLUMNS: &[&str] = &["requests/s", "CPU us a request", "ours / theirs"];

const HTTP_ABOUT: &str = "Closed loops on nginx with one worker: a POST of 150 B, GraphQL on both \
    sides. ab speaks HTTP/1.0 with keep-alive. Only poolbench looks into the replies.";

const POSTGRES_ABOUT: &str = "Closed loops on a private Postgres, straight or through PgBouncer, \
    which pools by transaction; by session for prepared statements, since before 1.21 it can't \
    otherwise.";

const WARM_UP_SECONDS: f64 = 0.2;

/// Requests a second where ours can't say.
const RATE_UNKNOWN: f64 = 10_000.0;

/// On nginx.
pub(crate) fn http(bench: &Bench<'_>, work: &work::Http) -> Result<Section, Interrupted> {
    let title = format!("HTTP, reply of {} B", work.reply_bytes);
    let mut section = Section::new(title, HTTP_ABOUT, COLUMNS);
    let server = Nginx::start(work.reply_bytes, bench.folder, bench.cores);
    let target = server.as_ref().map(|nginx| Target::Http { port: nginx.port });
    let target = target.map_err(Clone::clone);
    for &connections in &work.connections {
        let cell = Cell { name: connections_name(connections), connections, reconnect: false };
        compare(bench, &mut section, &cell, &target, &work.peers, &work.goals)?;
    }
    Ok(section)
}

/// On Postgres and through PgBouncer.
pub(crate) fn postgres(
    bench: &Bench<'_>,
    work: &[work::Postgres],
) -> Result<Vec<Section>, Interrupted> {
    let servers = Servers::start(bench);
    let mut sections: Vec<Section> = Vec::new();
    for work in work {
        let bench = &bench.with(work.ours.as_ref().unwrap_or(bench.ours));
        let mut title = format!("Postgres, {}", work.script);
        if work.ours.is_some() {
            title += &format!(", {}", bench.ours.name());
        }
        let mut section = Section::new(title, POSTGRES_ABOUT, COLUMNS);
        for &route in &work.routes {
            for &protocol in &work.protocols {
                let (way, target) = servers.target(route, protocol, work.script);
                for &connections in &work.connections {
                    let name = format!("{way}{protocol}, {}", connections_name(connections));
                    let cell = Cell { name, connections, reconnect: false };
                    compare(bench, &mut section, &cell, &target, &work.peers, &work.goals)?;
                }
            }
        }
        // What one client's protocols have goals for goes into one table with the others.
        match sections.iter_mut().find(|other| other.title == section.title) {
            Some(same) => same.append(section),
            None => sections.push(section),
        }
    }
    Ok(sections)
}

/// As far as they could be started.
pub(super) struct Servers {
    // Dropped in this order.
    pgbouncer: Result<PgBouncer, String>,
    postgres: Result<Postgres, String>,
}

impl Servers {
    pub(super) fn start(bench: &Bench<'_>) -> Self {
        let postgres = Postgres::start(bench.folder, bench.cores);
        let pgbouncer = postgres
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|postgres| PgBouncer::start(postgres, bench.folder, bench.cores));
        Self { pgbouncer, postgres }
    }

    /// The way's name and where it leads.
    pub(super) fn target(
        &self,
        route: Route,
        protocol: Protocol,
        script: Script,
    ) -> (&'static str, Result<Target, String>) {
        let postgres = self.postgres.as_ref().map(|server| server.port);
        let pgbouncer = self.pgbouncer.as_ref().map(|server| server.port);
        let (way, port, database) = match (route, protocol) {
            (Route::Direct, _) => ("", postgres, DATABASE),
            (Route::PgBouncer, Protocol::Prepared) => {
                ("PgBouncer by session, ", pgbouncer, BY_SESSION)
            }
            (Route::PgBouncer, _) => ("PgBouncer, ", pgbouncer, DATABASE),
        };
        let user = USER;
        let target = port.map(|port| Target::Postgres { port, user, database, script, protocol });
        (way, target.map_err(Clone::clone))
    }
}

pub(super) fn connections_name(connections: u32) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

pub(super) struct Cell {
    pub(super) name: String,
    pub(super) connections: u32,
    /// Whether each request has a connection of its own.
    pub(super) reconnect: bool,
}

/// Ours and every peer on one target; without a target, a row that says why.
pub(super) fn compare(
    bench: &Bench<'_>,
    section: &mut Section,
    cell: &Cell,
    target: &Result<Target, String>,
    peers: &[Client],
    goals: &[Ratio],
) -> Result<(), Interrupted> {
    bench.say(&format!("{}: {}", section.title, cell.name));
    let clients: Vec<&Client> = std::iter::once(bench.ours).chain(peers).collect();
    let reports = match target {
        Ok(target) => {
            let reports = measure(bench, cell, target, &clients)?;
            let entries = clients.iter().zip(&reports);
            section.entries.extend(entries.map(|(client, own)| entry(cell, client, own, &reports)));
            reports
        }
        Err(why) => {
            bench.say(&format!("    {why}"));
            section.entries.push(Entry::failed(&cell.name, "-", why));
            clients.iter().map(|_| Err(why.clone())).collect()
        }
    };
    let here = goals.iter().filter(|goal| goal.connections.contains(&cell.connections));
    for goal in here {
        let theirs = clients.iter().position(|client| client.name() == goal.peer);
        let theirs = theirs.map_or_else(|| Err("not run".to_owned()), |at| reports[at].clone());
        let measured = match (&reports[0], theirs) {
            (Err(why), _) => Err(Missing::Ours(why.clone())),
            (_, Err(why)) => Err(Missing::Peer(why)),
            (Ok(ours), Ok(theirs)) => {
                ratio(ours, &theirs).ok_or_else(|| Missing::Ours("no round was run".into()))
            }
        };
        let what = format!("{}, {}: CPU, ours / {}", section.title, cell.name, goal.peer);
        section.goals.push(Goal { what, at_most: goal.ratio, measured });
    }
    Ok(())
}

/// A client's row; the first of `all` are ours.
fn entry(
    cell: &Cell,
    client: &Client,
    own: &Result<Vec<Report>, String>,
    all: &[Result<Vec<Report>, String>],
) -> Entry {
    let reports = match own {
        Ok(reports) => reports,
        Err(why) => return Entry::failed(&cell.name, client.name(), why),
    };
    let pick = |pick: fn(&Report) -> f64| Spread::new(reports.iter().map(pick));
    let is_ours = std::ptr::eq(own, &all[0]);
    let ours = all[0].as_ref().ok().filter(|_| !is_ours);
    let ratio = ours.and_then(|ours| ratio(ours, reports));
    let figures = vec![pick(|report| report.rate), pick(|report| report.cpu_us), ratio];
    let (cell, client) = (cell.name.clone(), client.name().to_owned());
    Entry { cell, client, figures, note: None }
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
    let seconds = match target {
        Target::Http { .. } => bench.rounds.http_seconds,
        Target::Postgres { .. } => bench.rounds.postgres_seconds,
    };
    let Cell { connections, reconnect, .. } = *cell;
    let warm_up = seconds.min(WARM_UP_SECONDS);
    let mut load =
        Load { target, connections, reconnect, rate: None, seconds: warm_up, requests: 0 };
    // An uncounted run warms the server, and says how many requests fill the time.
    let rate = bench.run(bench.ours, &load).map_or(RATE_UNKNOWN, |report| report.rate);
    (load.seconds, load.requests) = (seconds, (rate * seconds) as u64);
    bench.rounds(bench.rounds.rounds, clients, |client| bench.run(client, &load))
}
