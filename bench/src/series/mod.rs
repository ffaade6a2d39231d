//! What the load, the pooler, Postgres, the processes and the machine did in the same second.

#[cfg(test)]
mod example;
mod table;

use std::collections::BTreeMap;
use std::ops::Range;

use engine::{Interval, Nanos, OperationRecording, SECOND, StreamReport, WorkerTime};
use hdrhistogram::Histogram;
use serde::Serialize;

pub(crate) use self::table::{means, table};
use crate::generator::share;
use crate::observe::pooler::Totals;
use crate::observe::{
    ClientLimit, Figures, FullPool, GENERATOR, Look, MachineUse, Observations, Observed,
    PoolerSample, Pools, ProcessUse, Reading, ServerSample, Subject,
};

/// One second of a run. What was not seen in it is null: a gap, and no zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Second {
    #[serde(flatten)]
    pub(crate) load: LoadSecond,
    /// By target.
    pub(crate) poolers: BTreeMap<String, Option<PoolerSecond>>,
    /// By target.
    pub(crate) servers: BTreeMap<String, Option<ServerSecond>>,
    /// By name; `generator` is this process.
    pub(crate) processes: BTreeMap<String, Option<ProcessUse>>,
    pub(crate) machine: Option<MachineUse>,
    /// By address, what was shown there as Prometheus text.
    pub(crate) expositions: BTreeMap<String, Option<ExpositionSecond>>,
}

/// What the load did. Times in ns; instants are those of the measured phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LoadSecond {
    pub(crate) start_ns: Nanos,
    pub(crate) end_ns: Nanos,
    /// Requests that got their outcome.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Arrivals that found no free connection.
    pub(crate) late: u64,
    /// Intended to done, of requests that succeeded.
    pub(crate) response_ns: Option<Spread>,
    /// Sent to done, of requests that succeeded.
    pub(crate) service_ns: Option<Spread>,
    /// Intended to sent.
    pub(crate) lateness_ns: Option<Spread>,
    /// Of the gateway's own account: all of its time, and its database's.
    pub(crate) server_total_ns: Option<Spread>,
    pub(crate) server_database_ns: Option<Spread>,
    /// How much of its time the generator's busiest worker worked, spinning left out, 0 to 1; null where
    /// no worker told.
    pub(crate) busiest_worker: Option<f64>,
    /// What each worker did.
    #[serde(skip)]
    pub(crate) workers: Vec<WorkerTime>,
}

/// A few quantiles, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: Nanos,
    pub(crate) p95: Nanos,
    pub(crate) p99: Nanos,
    pub(crate) max: Nanos,
}

/// A pooler, all of its processes together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PoolerSecond {
    #[serde(flatten)]
    pub(crate) pools: Pools,
    /// Those that had no connection left for the clients that waited; null where its console does not
    /// show that.
    pub(crate) full: Option<Vec<FullPool>>,
    /// Clients that are logged in, those that wait for nothing included.
    pub(crate) clients: Option<u64>,
    pub(crate) clients_max: Option<u64>,
    /// Of databases that take so many clients and no more.
    pub(crate) client_limits: Vec<ClientLimit>,
    /// What else its console counts, by view and column.
    pub(crate) figures: Figures,
    /// How long clients waited for a server connection, for each query, in ns.
    pub(crate) wait_ns_per_query: Option<f64>,
    /// By counter of its console; null after a restart or a reset, and where it was not seen before.
    pub(crate) counted_per_second: Option<BTreeMap<String, f64>>,
}

/// A Postgres server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ServerSecond {
    /// Backends of clients. This, states and waits are null where other roles' backends are hidden from
    /// the observer's.
    pub(crate) connections: Option<u64>,
    pub(crate) connections_max: Option<u64>,
    /// Backends of clients by state.
    pub(crate) states: Option<BTreeMap<String, u64>>,
    /// What active ones wait for.
    pub(crate) waits: Option<BTreeMap<String, u64>>,
    /// By view and column; null where it was not seen before. Views that were reset are left out,
    /// and counters that counted nothing.
    pub(crate) counted_per_second: Option<BTreeMap<String, f64>>,
}

/// What something shows as Prometheus text, by name with labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ExpositionSecond {
    pub(crate) gauges: BTreeMap<String, f64>,
    /// Of the counters those that have risen; null after a restart, and where it was not seen before.
    pub(crate) counted_per_second: Option<BTreeMap<String, f64>>,
}

impl LoadSecond {
    /// All streams of an interval together.
    pub(crate) fn new(interval: &Interval) -> Self {
        Self::of((interval.start_ns, interval.end_ns), &interval.streams, &interval.workers)
    }

    /// All streams of a phase that lasted from one instant to the other.
    pub(crate) fn of(
        (start_ns, end_ns): (Nanos, Nanos),
        streams: &[StreamReport],
        workers: &[WorkerTime],
    ) -> Self {
        let recordings = || streams.iter().map(|stream| &stream.recording);
        let operations = || recordings().flat_map(|recording| &recording.operations);
        let spread = |pick: fn(&OperationRecording) -> Option<&Histogram<u64>>| {
            let mut whole = engine::histogram();
            for histogram in operations().filter_map(pick) {
                whole.add(histogram).expect("all recordings share their bounds");
            }
            let at = |quantile| whole.value_at_quantile(quantile).min(whole.max());
            (!whole.is_empty()).then(|| Spread {
                p50: at(0.5),
                p95: at(0.95),
                p99: at(0.99),
                max: whole.max(),
            })
        };
        Self {
            start_ns,
            end_ns,
            requests: recordings().map(engine::Recording::completed).sum(),
            errors: recordings().map(engine::Recording::failed).sum(),
            late: streams.iter().map(|stream| stream.late).sum(),
            response_ns: spread(|operation| Some(&operation.response)),
            service_ns: spread(|operation| Some(&operation.service)),
            lateness_ns: spread(|operation| Some(&operation.lateness)),
            server_total_ns: spread(|operation| Some(&operation.server_times.as_ref()?.total)),
            server_database_ns: spread(|operation| {
                Some(&operation.server_times.as_ref()?.database)
            }),
            busiest_worker: (!workers.is_empty()).then(|| share(workers, end_ns - start_ns)),
            workers: workers.to_vec(),
        }
    }

    /// By thread, how much of its time each worker worked, spinning left out, 0 to 1.
    fn worked(&self) -> BTreeMap<u32, f64> {
        let length_ns = self.end_ns - self.start_ns;
        let each = self.workers.iter();
        each.map(|worker| (worker.thread, share(&[*worker], length_ns))).collect()
    }
}

/// Lays what was seen beside the seconds of a load that began at `start_ns` on the workers' clock.
pub(crate) fn lay(
    load: Vec<LoadSecond>,
    observations: &Observations,
    start_ns: Nanos,
) -> Vec<Second> {
    let second = |load| second(load, observations, (0, start_ns));
    load.into_iter().map(second).collect()
}

/// As [`lay`], where what lies between the blocks of a load is not of it: nothing that happened there
/// is counted.
pub(crate) fn lay_blocks(
    blocks: Vec<LoadSecond>,
    observations: &Observations,
    start_ns: Nanos,
) -> Vec<Second> {
    let second = |load: LoadSecond| {
        let since_ns = start_ns + load.start_ns;
        second(load, observations, (since_ns, start_ns))
    };
    blocks.into_iter().map(second).collect()
}

/// What was seen before `since_ns` is not compared with what was seen then.
fn second(
    load: LoadSecond,
    observations: &Observations,
    (since_ns, start_ns): (Nanos, Nanos),
) -> Second {
    let times = start_ns + load.start_ns..start_ns + load.end_ns;
    let mut second = Second {
        load,
        poolers: BTreeMap::new(),
        servers: BTreeMap::new(),
        processes: BTreeMap::new(),
        machine: None,
        expositions: BTreeMap::new(),
    };
    for observed in &observations.sources {
        let seen = within(observed, &times, since_ns);
        let name = observed.name.clone();
        match observed.subject {
            Subject::Pooler => drop(second.poolers.insert(name, seen.and_then(pooler))),
            Subject::Server => drop(second.servers.insert(name, seen.and_then(server))),
            Subject::Process => {
                // A thread that spins looks busy from outside.
                let worked = if name == GENERATOR { second.load.worked() } else { BTreeMap::new() };
                let used = seen.and_then(|looks| process(looks, &worked));
                second.processes.insert(name, used);
            }
            Subject::Machine => second.machine = seen.and_then(machine),
            Subject::Exposition => {
                drop(second.expositions.insert(name, seen.and_then(exposition)));
            }
        }
    }
    second
}

/// The last look in a range of time, with the one before it, if that was not before `since_ns`.
fn within<'a>(
    observed: &'a Observed,
    times: &Range<Nanos>,
    since_ns: Nanos,
) -> Option<(&'a Look, Option<&'a Look>)> {
    let last = observed.looks.iter().rposition(|look| times.contains(&look.at_ns))?;
    let before = last.checked_sub(1).and_then(|before| observed.looks.get(before));
    Some((&observed.looks[last], before.filter(|look| look.at_ns >= since_ns)))
}

fn pooler((look, before): (&Look, Option<&Look>)) -> Option<PoolerSecond> {
    let Reading::Pooler(now) = &look.reading else { return None };
    let PoolerSample { pools, full, counters, figures, clients_max, client_limits } = now;
    let counted = before.and_then(|before| {
        let Reading::Pooler(then) = &before.reading else { return None };
        let counted = counters.as_ref()?.since(then.counters.as_ref()?)?;
        Some((counted, look.at_ns - before.at_ns))
    });
    let waited = |(counted, _): &(Totals, Nanos)| {
        let queries = counted.queries().filter(|queries| *queries > 0)?;
        Some(counted.wait_ns()? as f64 / queries as f64)
    };
    Some(PoolerSecond {
        pools: (*pools)?,
        full: full.clone(),
        clients: figures.get("lists.used_clients").copied(),
        clients_max: *clients_max,
        client_limits: client_limits.clone(),
        figures: figures.clone(),
        wait_ns_per_query: counted.as_ref().and_then(waited),
        counted_per_second: counted.map(|(counted, ns)| per_second(counted.iter(), ns)),
    })
}

fn server((look, before): (&Look, Option<&Look>)) -> Option<ServerSecond> {
    let Reading::Server(now) = &look.reading else { return None };
    let counted = before.and_then(|before| {
        let Reading::Server(then) = &before.reading else { return None };
        let counted = now.counters.since(&then.counters);
        let risen = counted.iter().filter(|(_, count)| *count > 0);
        Some(per_second(risen, look.at_ns - before.at_ns))
    });
    let ServerSample { backends, activity, connections_max, .. } = now;
    let activity = activity.clone().map(|activity| (activity.states, activity.waits));
    let (states, waits) = activity.unzip();
    Some(ServerSecond {
        connections: backends.all(),
        connections_max: *connections_max,
        states,
        waits,
        counted_per_second: counted,
    })
}

/// Of threads that `worked` names that is known better: how much of their time they worked, 0 to 1.
fn process(
    (look, before): (&Look, Option<&Look>),
    worked: &BTreeMap<u32, f64>,
) -> Option<ProcessUse> {
    let before = before?;
    match (&look.reading, &before.reading) {
        (Reading::Process(now), Reading::Process(then)) => {
            now.since(then, look.at_ns - before.at_ns, worked)
        }
        _ => None,
    }
}

fn machine((look, before): (&Look, Option<&Look>)) -> Option<MachineUse> {
    match (&look.reading, &before?.reading) {
        (Reading::Machine(now), Reading::Machine(then)) => now.since(then),
        _ => None,
    }
}

fn exposition((look, before): (&Look, Option<&Look>)) -> Option<ExpositionSecond> {
    let Reading::Exposition(now) = &look.reading else { return None };
    let counted = before.and_then(|before| {
        let Reading::Exposition(then) = &before.reading else { return None };
        let seconds = (look.at_ns - before.at_ns).max(1) as f64 / SECOND as f64;
        let both = now.counters.iter().filter_map(|(name, now)| {
            Some((name.clone(), (now - then.counters.get(name)?) / seconds))
        });
        let counted = both.filter(|(_, rate)| *rate != 0.0).collect();
        (!now.has_begun_anew(then)).then_some(counted)
    });
    Some(ExpositionSecond { gauges: now.gauges.clone(), counted_per_second: counted })
}

fn per_second<'a>(
    counted: impl Iterator<Item = (&'a str, u64)>,
    elapsed_ns: Nanos,
) -> BTreeMap<String, f64> {
    let seconds = elapsed_ns.max(1) as f64 / SECOND as f64;
    counted.map(|(name, count)| (name.to_owned(), count as f64 / seconds)).collect()
}

#[cfg(test)]
mod tests {
    use crate::observe::ProcessSample;
    use engine::MILLISECOND;
    use wire::http::ServerTiming;

    use super::*;
    use crate::observe::Counters;

    /// A pooler that was looked at after so many ms, and had counted as many queries each time.
    fn observations(looks_ms: &[u64]) -> Observations {
        let mut observed = Observed::new("pooler", Subject::Pooler);
        let look = |ms: &u64| {
            let sample = PoolerSample {
                pools: Some(Pools { cl_waiting: Some(*ms), ..Pools::default() }),
                counters: Some(Counters::of(&[("query_count", *ms)])),
                ..PoolerSample::default()
            };
            Look { at_ns: ms * MILLISECOND, reading: Reading::Pooler(sample) }
        };
        observed.looks = looks_ms.iter().map(look).collect();
        Observations { sources: vec![observed], ..Observations::default() }
    }

    /// What was seen in a stretch: the clients that waited, and queries by the second.
    fn seen(second: &Second) -> Option<(u64, Option<f64>)> {
        let pooler = second.poolers["pooler"].as_ref()?;
        let counted = pooler.counted_per_second.as_ref().map(|all| all["query_count"].round());
        Some((pooler.pools.cl_waiting?, counted))
    }

    #[test]
    fn what_the_gateway_says_of_its_time_is_a_series_and_nothing_where_it_says_nothing() {
        let mut recording = engine::Recording::new(1);
        let of = |recording: &engine::Recording| {
            let stream = StreamReport::new(recording.clone());
            LoadSecond::of((0, SECOND), &[stream], &[])
        };
        let silent = of(&recording);
        assert_eq!((silent.server_total_ns, silent.server_database_ns), (None, None));
        for ms in 1..=100 {
            let database_ns = (ms > 50).then_some(MILLISECOND);
            recording.timed(0, ServerTiming::new(Some(ms * MILLISECOND), database_ns));
        }
        let told = of(&recording);
        let ms = |spread: Option<Spread>| {
            let Spread { p50, max, .. } = spread.unwrap();
            [p50, max].map(|ns| ns as f64 / MILLISECOND as f64).map(f64::round)
        };
        assert_eq!(ms(told.server_total_ns), [50.0, 100.0]);
        assert_eq!(ms(told.server_database_ns), [1.0, 1.0]);
    }

    fn stretch((from_ms, to_ms): (u64, u64)) -> LoadSecond {
        LoadSecond::of((from_ms * MILLISECOND, to_ms * MILLISECOND), &[], &[])
    }

    /// Two workers that never rest: how much of a second each worked, and did not spin.
    fn generator_second(worked: [f64; 2]) -> ProcessUse {
        let look = |at_ns, ms| {
            let sample = ProcessSample::example(&[(1, ms, 0), (2, ms, 0), (3, ms / 50, 0)]);
            Look { at_ns, reading: Reading::Process(sample) }
        };
        let mut observed = Observed::new(GENERATOR, Subject::Process);
        observed.looks = vec![look(0, 0), look(SECOND, 999)];
        let observations = Observations { sources: vec![observed], ..Observations::default() };
        let busy_ns = worked.map(|share| (share * SECOND as f64) as Nanos);
        let workers =
            [1, 2].map(|thread| WorkerTime { thread, busy_ns: busy_ns[thread as usize - 1] });
        let load = LoadSecond::of((SECOND, 2 * SECOND), &[], &workers);
        assert_eq!(load.busiest_worker, worked.into_iter().reduce(f64::max));
        let mut seconds = lay(vec![load], &observations, 0);
        seconds.remove(0).processes.remove(GENERATOR).flatten().unwrap()
    }

    #[test]
    fn what_a_worker_spun_is_taken_from_its_own_time_of_that_second() {
        // A mean of both would leave 0.65 of the busiest.
        assert_eq!(generator_second([0.95, 0.4]).busiest_thread, Some(0.95));
        // A ramp's quiet half says nothing of its top.
        assert_eq!(generator_second([0.05, 0.05]).busiest_thread, Some(0.05));
        assert_eq!(generator_second([0.99, 0.99]).busiest_thread, Some(0.99));
    }

    #[test]
    fn what_lies_between_blocks_is_in_none_of_them_and_between_seconds_there_is_nothing() {
        let observations = observations(&[120, 180, 360, 590]);
        let stretches = [(0, 100), (200, 300), (500, 600)].map(stretch);
        // They begin 100 ms after the clock does.
        let blocks = lay_blocks(stretches.to_vec(), &observations, 100 * MILLISECOND);
        let found: Vec<_> = blocks.iter().map(seen).collect();
        assert_eq!(found, [Some((180, Some(1000.0))), Some((360, None)), None]);
        let seconds = lay(stretches.to_vec(), &observations, 100 * MILLISECOND);
        let found: Vec<_> = seconds.iter().map(seen).collect();
        assert_eq!(found, [Some((180, Some(1000.0))), Some((360, Some(1000.0))), None]);
    }
}
