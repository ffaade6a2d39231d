//! What can run out, and how that is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use engine::Nanos;

use crate::duration::show;
use crate::observe::{ClientLimit, FullPool, GENERATOR, ProcessUse};
use crate::series::{LoadSecond, PoolerSecond, Second, ServerSecond, Spread};
use crate::validity::{LATE_SHARE_MAX, LATENESS_P50_MAX_NS};

/// Something that a load can use up. Of those that run out together the first one is the cause: a
/// pool is full because of Postgres, a backlog because of its server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    /// The workers' own time.
    Generator,
    /// The CPU time that a process can have, by its name.
    Cpu(String),
    /// That of all cores, shared by what is observed and others.
    MachineCpu,
    /// Rows, tables and the like, which one transaction has at a time, by the server.
    Locks(String),
    /// Postgres' own structures in shared memory.
    LightweightLocks(String),
    /// The server's disks.
    Io(String),
    /// Backends that Postgres may have.
    Connections(String),
    /// Server connections of a pool, by the pooler.
    Pool(String),
    /// Clients that the pooler takes.
    Clients(String),
    /// Those that it takes for one database.
    DatabaseClients(String),
    /// Files that a process may have open.
    OpenFiles(String),
    /// The queues of connections that no server on this machine has taken yet.
    Backlog,
}

/// As in the report.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator => f.write_str("generator"),
            Self::Cpu(process) => write!(f, "{process} CPU"),
            Self::MachineCpu => f.write_str("machine CPU"),
            Self::Locks(server) => write!(f, "locks in {server}"),
            Self::LightweightLocks(server) => write!(f, "lightweight locks in {server}"),
            Self::Io(server) => write!(f, "I/O of {server}"),
            Self::Connections(server) => write!(f, "max_connections of {server}"),
            Self::Pool(pooler) => write!(f, "pool of {pooler}"),
            Self::Clients(pooler) => write!(f, "max_client_conn of {pooler}"),
            Self::DatabaseClients(pooler) => write!(f, "max_db_client_connections of {pooler}"),
            Self::OpenFiles(process) => write!(f, "open files of {process}"),
            Self::Backlog => f.write_str("listen backlog"),
        }
    }
}

/// Threads that rest less are the bottleneck: clocks and looks are not exact to more, and several
/// threads never share their work evenly.
const FILLED: f64 = 0.9;
/// A thread that is ready for so much of the time, and gets a core for less than half of that, spends
/// its time waiting for one.
const STARVED: f64 = 0.7;
/// Cores with less idle time have none for anybody.
const IDLE: f64 = 0.05;
/// Where more of the active backends wait for one thing, it decides how much is done.
const WAITING: f64 = 0.5;
/// Of a number that may not be passed, this much is all of it: some is always kept for others.
const EXHAUSTED: f64 = 0.97;

impl Resource {
    /// Everything that was looked at in some second.
    pub(super) fn all(seconds: &[Second]) -> BTreeSet<Self> {
        let mut all = BTreeSet::from([Self::Generator, Self::MachineCpu, Self::Backlog]);
        for second in seconds {
            let others = second.processes.keys().filter(|name| *name != GENERATOR);
            all.extend(others.cloned().map(Self::Cpu));
            all.extend(second.processes.keys().cloned().map(Self::OpenFiles));
            for pooler in second.poolers.keys() {
                let of = [Self::Pool, Self::Clients, Self::DatabaseClients];
                all.extend(of.map(|of| of(pooler.clone())));
            }
            for server in second.servers.keys() {
                let of = [Self::Locks, Self::LightweightLocks, Self::Io, Self::Connections];
                all.extend(of.map(|of| of(server.clone())));
            }
        }
        all
    }

    /// Whether there was nothing left of it; `None` where that was not seen.
    pub(super) fn has_run_out(&self, second: &Second) -> Option<bool> {
        Some(match self {
            Self::Generator => {
                let is_at_work = second.load.busiest_worker.map(|share| share >= FILLED);
                let is_in_want =
                    generator(second).and_then(|used| Some(is_busy(used)? || is_starved(used)));
                let known = [Some(is_late(&second.load)).filter(|is| *is), is_at_work, is_in_want];
                known.into_iter().flatten().reduce(|one, other| one || other)?
            }
            Self::Cpu(name) => {
                let used = second.processes.get(name)?.as_ref()?;
                fills_what_it_may(used) || wants_cores_that_are_taken(used, second)
            }
            Self::MachineCpu => {
                let machine = second.machine.as_ref()?;
                let wanted: f64 = second.processes.values().flatten().map(wanted).sum();
                let servers = second.processes.iter().filter(|(name, _)| *name != GENERATOR);
                machine.idle < IDLE
                    && (wanted >= FILLED * machine.idle_by_core.len() as f64
                        || servers.filter_map(|(_, used)| used.as_ref()).any(is_starved))
            }
            Self::Locks(name) => waits(server(second, name)?, "Lock")?,
            Self::LightweightLocks(name) => waits(server(second, name)?, "LWLock")?,
            Self::Io(name) => waits(server(second, name)?, "IO")?,
            Self::Connections(name) => {
                let server = server(second, name)?;
                is_spent(server.connections, server.connections_max)?
            }
            Self::Pool(name) => !pooler(second, name)?.full.as_ref()?.is_empty(),
            Self::Clients(name) => {
                let pooler = pooler(second, name)?;
                is_spent(pooler.clients, pooler.clients_max)?
            }
            Self::DatabaseClients(name) => {
                pooler(second, name)?.client_limits.iter().any(takes_no_more)
            }
            Self::OpenFiles(name) => {
                let used = second.processes.get(name)?.as_ref()?;
                is_spent(used.open_files, used.open_files_max)?
            }
            Self::Backlog => second.machine.as_ref()?.network.listen_overflows? > 0,
        })
    }

    /// What was seen in the seconds in which it had run out.
    pub(super) fn evidence(&self, seconds: &[Second]) -> Vec<String> {
        match self {
            Self::Generator => generator_evidence(seconds),
            Self::Cpu(name) => cpu_evidence(name, seconds),
            Self::MachineCpu => {
                let idle = mean(seconds, |second| Some(second.machine.as_ref()?.idle));
                let steal = mean(seconds, |second| Some(second.machine.as_ref()?.steal));
                let wanted = mean(seconds, |second| {
                    Some(second.processes.values().flatten().map(wanted).sum())
                });
                known([
                    idle.map(|idle| {
                        format!("its cores were idle for {} of the time", percent(idle))
                    }),
                    wanted
                        .map(|cores| format!("what is observed would have used {cores:.2} cores")),
                    steal.map(|steal| format!("other guests of its host took {}", percent(steal))),
                ])
            }
            Self::Locks(name) | Self::LightweightLocks(name) | Self::Io(name) => {
                known([backends(name, seconds)])
            }
            Self::Connections(name) => {
                let of = |second| server(second, name).and_then(|server| server.connections_max);
                let used = mean(seconds, |second| Some(server(second, name)?.connections? as f64));
                spent(used, seconds.iter().find_map(of), "backends", "max_connections allows")
            }
            Self::Pool(name) => pool_evidence(name, seconds),
            Self::Clients(name) => {
                let of = |second| pooler(second, name).and_then(|pooler| pooler.clients_max);
                let used = mean(seconds, |second| Some(pooler(second, name)?.clients? as f64));
                spent(used, seconds.iter().find_map(of), "clients", "max_client_conn allows")
            }
            Self::DatabaseClients(name) => {
                // Each once, as it was last seen to be full.
                let of = |second| pooler(second, name).map(|pooler| &pooler.client_limits);
                let limits = seconds.iter().filter_map(of).flatten();
                let full = limits.filter(|limit| takes_no_more(limit));
                let full = full.map(|limit| (&limit.database, limit)).collect::<BTreeMap<_, _>>();
                let told = |ClientLimit { database, clients, clients_max }: &ClientLimit| {
                    format!(
                        "{clients} clients of {database} of {clients_max} that \
                         max_db_client_connections allows"
                    )
                };
                full.into_values().map(told).collect()
            }
            Self::OpenFiles(name) => {
                let of = |second: &Second| second.processes.get(name)?.as_ref()?.open_files_max;
                let used = mean(seconds, |second| {
                    Some(second.processes.get(name)?.as_ref()?.open_files? as f64)
                });
                let most = seconds.iter().find_map(of);
                spent(used, most, "files", "its limit allows (ulimit -n)")
            }
            Self::Backlog => {
                let of = |second: &Second| second.machine.as_ref()?.network.listen_overflows;
                let count: u64 = seconds.iter().filter_map(of).sum();
                vec![format!(
                    "{count} connections came when a server's queue was full (ListenOverflows): \
                     raise its backlog and net.core.somaxconn"
                )]
            }
        }
    }
}

/// Whether all is used of what may not be passed; `None` where one of them is not known.
fn is_spent(used: Option<u64>, most: Option<u64>) -> Option<bool> {
    Some(used? as f64 >= EXHAUSTED * most.filter(|most| *most > 0)? as f64)
}

/// Whether the pooler takes no more clients for a database.
fn takes_no_more(limit: &ClientLimit) -> bool {
    is_spent(Some(limit.clients), Some(limit.clients_max)) == Some(true)
}

fn generator(second: &Second) -> Option<&ProcessUse> {
    second.processes.get(GENERATOR)?.as_ref()
}

fn pooler<'a>(second: &'a Second, name: &str) -> Option<&'a PoolerSecond> {
    second.poolers.get(name)?.as_ref()
}

fn server<'a>(second: &'a Second, name: &str) -> Option<&'a ServerSecond> {
    second.servers.get(name)?.as_ref()
}

/// Whether half of the requests left late though connections were free, as the verdict on the run has
/// it: whatever keeps a worker from sending, it is not the target.
fn is_late(load: &LoadSecond) -> bool {
    let is_late = load.lateness_ns.is_some_and(|late| late.p50 > LATENESS_P50_MAX_NS);
    is_late && load.late as f64 <= LATE_SHARE_MAX * load.requests as f64
}

/// What it used and what it would have used besides, in cores.
fn wanted(used: &ProcessUse) -> f64 {
    used.cpu_cores + used.wait_cores.unwrap_or(0.0)
}

/// Whether a thread of it does not rest; `None` where the kernel does not tell.
fn is_busy(used: &ProcessUse) -> Option<bool> {
    Some(used.busiest_thread? >= FILLED)
}

/// Whether a thread of it is known to get its core too seldom.
fn is_starved(used: &ProcessUse) -> bool {
    let both = used.busiest_thread.zip(used.busiest_thread_wait);
    both.is_some_and(|(ready, waited)| ready >= STARVED && waited > ready / 2.0)
}

/// Whether a process has all the CPU time that it can make use of: one thread can fill one core. A
/// backend that never rests says nothing of the others.
fn fills_what_it_may(used: &ProcessUse) -> bool {
    used.cpu_cores >= FILLED * used.usable_cores
        || (!used.has_children && is_busy(used) == Some(true) && !is_starved(used))
}

/// Whether a process has not the CPU time that it can make use of, since others are on its cores. On
/// all cores of the machine that is the machine's matter.
fn wants_cores_that_are_taken(used: &ProcessUse, second: &Second) -> bool {
    let Some(machine) = &second.machine else { return false };
    let idle: Vec<_> =
        used.cores.iter().filter_map(|core| machine.idle_by_core.get(core)).collect();
    let count = idle.len() as f64;
    idle.len() < machine.idle_by_core.len()
        && idle.into_iter().sum::<f64>() < IDLE * count
        && (wanted(used) >= FILLED * count || (!used.has_children && is_starved(used)))
}

/// Whether most of the active backends, and more than one, wait for a kind of event; `None` where some
/// are hidden.
fn waits(server: &ServerSecond, kind: &str) -> Option<bool> {
    let waits = server.waits.as_ref()?;
    let is_of_kind = |name: &str| name.split(':').next() == Some(kind);
    let waiting = waits.iter().filter(|(name, _)| is_of_kind(name));
    let waiting: u64 = waiting.map(|(_, count)| count).sum();
    let active: u64 = waits.values().sum();
    Some(waiting > 1 && waiting as f64 >= WAITING * active as f64)
}

fn generator_evidence(seconds: &[Second]) -> Vec<String> {
    let busiest = mean(seconds, |second| {
        let told = second.load.busiest_worker;
        [generator(second).and_then(|used| used.busiest_thread), told]
            .into_iter()
            .flatten()
            .reduce(f64::max)
    });
    let most = |quantile: fn(&Spread) -> Nanos| {
        let late = seconds.iter().filter_map(|second| second.load.lateness_ns);
        late.map(|late| quantile(&late)).max().map(|ns| show(ns as f64))
    };
    let late = most(|late| late.p50).zip(most(|late| late.p99));
    known([
        busiest.map(|share| {
            format!("a worker ran or waited for its core for {} of the time", percent(share))
        }),
        late.map(|(p50, p99)| {
            format!("requests left up to {p50} late at the median and {p99} at p99")
        }),
    ])
}

fn cpu_evidence(name: &str, seconds: &[Second]) -> Vec<String> {
    let used = |second: &Second| second.processes.get(name).cloned().flatten();
    let of =
        |figure: fn(&ProcessUse) -> Option<f64>| mean(seconds, |second| figure(&used(second)?));
    let is_under_quota = seconds.iter().filter_map(used).any(|used| used.is_under_quota);
    let limit = if is_under_quota { " that its control group allows" } else { "" };
    let cores = of(|used| Some(used.cpu_cores)).zip(of(|used| Some(used.usable_cores)));
    let throttled = mean(seconds, |second| used(second)?.throttled_cores);
    let waited = of(|used| used.wait_cores).zip(of(|used| used.busiest_thread));
    known([
        cores.map(|(cpu, usable)| format!("it used {cpu:.2} of {usable:.2} cores{limit}")),
        throttled
            .filter(|_| is_under_quota)
            .map(|cores| format!("its threads were throttled for {cores:.2} s a second")),
        waited.map(|(waited, busiest)| {
            format!(
                "its threads waited for a core for {waited:.2} s a second, and the busiest one ran or \
                 waited for {} of the time",
                percent(busiest)
            )
        }),
    ])
}

fn pool_evidence(name: &str, seconds: &[Second]) -> Vec<String> {
    let mut evidence = Vec::new();
    let full = |second| pooler(second, name).and_then(|pooler| pooler.full.as_ref()?.first());
    if let Some(FullPool { database, user, size, setting, .. }) = seconds.iter().find_map(full) {
        let whose = match *setting {
            "pool_size" => format!("all {size} server connections for {database}"),
            "max_user_connections" => {
                format!("all {size} server connections that {setting} allows {user}")
            }
            _ => format!("all {size} server connections that {setting} allows {database}"),
        };
        let waiting = mean(seconds, |second| Some(pooler(second, name)?.pools.cl_waiting? as f64));
        let waiting = waiting.map_or("clients".into(), |count| format!("{count:.0} clients"));
        let maxwait = seconds.iter().filter_map(|second| pooler(second, name)?.pools.maxwait_ns);
        let longest = maxwait.max().map(|ns| format!(", the longest for {}", show(ns as f64)));
        let longest = longest.unwrap_or_default();
        evidence.push(format!("{whose} were in use while {waiting} waited{longest}"));
    }
    let waited = mean(seconds, |second| pooler(second, name)?.wait_ns_per_query);
    evidence.extend(waited.map(|ns| format!("clients waited {} for each query", show(ns))));
    let servers: BTreeSet<_> = seconds.iter().flat_map(|second| second.servers.keys()).collect();
    evidence.extend(servers.into_iter().filter_map(|server| backends(server, seconds)));
    evidence
}

/// What the backends did, over all looks at which none were hidden; `None` where there was no such.
fn backends(name: &str, seconds: &[Second]) -> Option<String> {
    let mut doing: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = 0;
    let looks = seconds.iter().filter_map(|second| server(second, name));
    let looks = looks.filter_map(|server| server.states.as_ref().zip(server.waits.as_ref()));
    let looks: Vec<_> = looks.collect();
    if looks.is_empty() {
        return None;
    }
    for (states, waits) in looks {
        let idle = states.iter().filter(|(state, _)| state.starts_with("idle in"));
        for (what, count) in waits.iter().chain(idle) {
            *doing.entry(what).or_default() += count;
            all += count;
        }
    }
    if all == 0 {
        return Some(format!("the backends of {name} had nothing to do"));
    }
    let mut doing: Vec<_> = doing.into_iter().collect();
    doing.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let share = |(what, count): (&str, u64)| {
        format!("{} {what}", percent(count as f64 / f64::max(all as f64, 1.0)))
    };
    let shown: Vec<_> = doing.into_iter().take(3).map(share).collect();
    Some(format!("backends of {name} that were not idle: {}", shown.join(", ")))
}

/// Over the seconds in which it is known; `None` where it never is.
fn mean(seconds: &[Second], figure: impl Fn(&Second) -> Option<f64>) -> Option<f64> {
    let figures: Vec<f64> = seconds.iter().filter_map(figure).collect();
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

/// What there is evidence of.
fn known<const N: usize>(evidence: [Option<String>; N]) -> Vec<String> {
    evidence.into_iter().flatten().collect()
}

/// How much of a number that may not be passed was used, by whom it is allowed.
fn spent(used: Option<f64>, most: Option<u64>, what: &str, allows: &str) -> Vec<String> {
    let both = used.zip(most);
    known([both.map(|(used, most)| format!("{used:.0} {what} of {most} that {allows}"))])
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
