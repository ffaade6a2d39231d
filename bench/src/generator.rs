//! How the generator runs: its driver, its cores, its spin. The same for every experiment.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use clap::{Args, ValueEnum};
use core_affinity::CoreId;
use engine::driver::{Decision, DriverChoice, DriverError, DriverKind, Options};
use engine::{Interval, Nanos, PhaseReport, SECOND, WorkerTime};
use serde::Serialize;

use crate::cores::{self, Cores, CoresError};
use crate::duration;
use crate::validity::Machine;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct GeneratorOptions {
    /// What carries the requests
    #[arg(long, value_enum, default_value_t = DriverArgument::Auto)]
    driver: DriverArgument,
    /// Worker threads, each on a core of its own [default: all cores but one]
    #[arg(long, conflicts_with = "cores")]
    pub(crate) workers: Option<usize>,
    /// The workers' cores, such as 2,3 or 4-7: a worker on each
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
    /// How long before each request to stop sleeping and spin; 0 never [default: 50us where two
    /// cores are left to others, else 0]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    spin: Option<Nanos>,
    /// Who says when replies arrived [default: kernel with the uring driver, else app]
    #[arg(long, value_enum)]
    timestamps: Option<Timestamps>,
    /// Has the kernel poll the network card for so long before it waits for an interrupt
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "0s")]
    busy_poll: Nanos,
    /// Where connections to other machines come from: 28,000 from each address, in this order
    /// [default: the system's choice]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    source_address: Vec<IpAddr>,
    /// Whether connections end with a reset: not for every experiment.
    #[arg(skip)]
    pub(crate) reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Timestamps {
    /// The worker, when it takes them from the kernel
    App,
    /// The kernel too: how long they lay there is shown beside the lateness
    Kernel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DriverArgument {
    /// uring where the kernel allows it, else monoio
    Auto,
    /// io_uring directly, from Linux 6.1 on: the cheapest and most punctual
    Uring,
    /// The monoio runtime: over io_uring, and over epoll where that is denied
    Monoio,
    /// The tokio-uring runtime
    TokioUring,
}

/// Why the generator can't run as it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GeneratorError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// An option that only one driver has.
    #[error("{0} needs --driver uring, and {1} carries the requests here")]
    UringOnly(&'static str, &'static str),
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) cores: Vec<CoreId>,
    pub(crate) options: Options,
    /// Why it was not the driver that goes first, if it was not.
    reason: Option<String>,
}

impl GeneratorOptions {
    /// Whether the cores were named.
    pub(crate) fn has_cores(&self) -> bool {
        self.cores.is_some()
    }

    /// One for each worker.
    pub(crate) fn chosen_cores(&self) -> Result<Vec<CoreId>, CoresError> {
        match &self.cores {
            Some(list) => list.pick(),
            None => Ok(cores::choose(self.workers)),
        }
    }

    /// Asks the machine what it has.
    pub(crate) fn decide(&self) -> Result<Generator, GeneratorError> {
        let cores = self.chosen_cores()?;
        let choice = match self.driver {
            DriverArgument::Auto => DriverChoice::Auto,
            DriverArgument::Uring => DriverChoice::Uring,
            DriverArgument::Monoio => DriverChoice::Monoio,
            DriverArgument::TokioUring => DriverChoice::TokioUring,
        };
        let Decision { kind, reason } = choice.decide()?;
        let options = Options {
            kind,
            spin_ns: self.spin.unwrap_or_else(|| cores::spin_ns(&cores)),
            // 4 % of CPU at full load, and nothing else says what is our own of a latency.
            stamps: match self.timestamps {
                Some(timestamps) => timestamps == Timestamps::Kernel,
                None => kind == DriverKind::Uring,
            },
            busy_poll_us: (self.busy_poll / 1000).try_into().unwrap_or(u32::MAX),
            sources: self.source_address.clone().into(),
            reset: self.reset,
        };
        for (is_asked, flag) in
            [(options.stamps, "--timestamps kernel"), (options.busy_poll_us > 0, "--busy-poll")]
        {
            if is_asked && kind != DriverKind::Uring {
                return Err(GeneratorError::UringOnly(flag, kind.name()));
            }
        }
        Ok(Generator { cores, options, reason })
    }
}

#[cfg(test)]
impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            driver: DriverArgument::Auto,
            workers: None,
            cores: None,
            spin: None,
            timestamps: None,
            busy_poll: 0,
            source_address: Vec::new(),
            reset: false,
        }
    }
}

/// What the workers did in all phases that count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    requests: u64,
    /// CPU time without spins, in ns.
    busy_ns: Nanos,
    /// The phases' length, once for each worker, in ns.
    available_ns: Nanos,
    length_ns: Nanos,
    /// By what was measured.
    parts: BTreeMap<String, Part>,
}

/// The phases in which one thing was measured.
#[derive(Clone, Debug, Default)]
struct Part {
    length_ns: Nanos,
    /// What each worker did in them.
    workers: Vec<WorkerTime>,
    busiest_second: Option<BusySecond>,
}

impl Part {
    fn add(&mut self, length_ns: Nanos, workers: &[WorkerTime], second: Option<BusySecond>) {
        self.length_ns += length_ns;
        add(&mut self.workers, workers);
        self.busiest_second = busier(self.busiest_second, second);
    }

    /// How much of its time the worker worked that had the most to do, 0 to 1, and when; `None` for
    /// all of the time.
    fn busiest(&self) -> (f64, Option<BusySecond>) {
        let whole = share(&self.workers, self.length_ns);
        let second = self.busiest_second.filter(|second| second.share > whole);
        (second.map_or(whole, |second| second.share), second)
    }
}

/// The second of a phase, or a little more, in which one worker worked the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BusySecond {
    /// How much of it, 0 to 1.
    pub(crate) share: f64,
    /// In ns after the phase's start.
    from_ns: Nanos,
    to_ns: Nanos,
}

/// Looks for it, one interval after the other. In less than a second chance would have a part.
#[derive(Debug, Default)]
pub(crate) struct BusySeconds {
    /// The last intervals that make up a second.
    latest: VecDeque<(Nanos, Nanos, Vec<WorkerTime>)>,
    pub(crate) busiest: Option<BusySecond>,
}

impl BusySeconds {
    /// Takes the next interval.
    pub(crate) fn push(&mut self, interval: &Interval) {
        let to_ns = interval.end_ns;
        self.latest.push_back((interval.start_ns, to_ns, interval.workers.clone()));
        while self.latest.get(1).is_some_and(|(from_ns, ..)| to_ns - from_ns >= SECOND) {
            self.latest.pop_front();
        }
        let Some((from_ns, ..)) = self.latest.front().filter(|one| to_ns - one.0 >= SECOND) else {
            return;
        };
        let mut workers = Vec::new();
        self.latest.iter().for_each(|(.., each)| add(&mut workers, each));
        let share = share(&workers, to_ns - from_ns);
        self.busiest = busier(self.busiest, Some(BusySecond { share, from_ns: *from_ns, to_ns }));
    }

    /// How much of its time the worker worked that had the most to do, 0 to 1: in its busiest second,
    /// and in a phase that had none in the whole of it.
    pub(crate) fn share(&self, report: &PhaseReport) -> f64 {
        let whole = share(&report.workers, report.end.saturating_sub(report.start));
        self.busiest.map_or(whole, |second| second.share.max(whole))
    }
}

fn busier(one: Option<BusySecond>, other: Option<BusySecond>) -> Option<BusySecond> {
    one.into_iter()
        .chain(other)
        .reduce(|one, other| if other.share > one.share { other } else { one })
}

fn add(sum: &mut Vec<WorkerTime>, workers: &[WorkerTime]) {
    sum.resize(workers.len().max(sum.len()), WorkerTime::default());
    sum.iter_mut().zip(workers).for_each(|(sum, later)| sum.append(*later));
}

/// How much of a time the worker worked that had the most to do in it, 0 to 1.
pub(crate) fn share(workers: &[WorkerTime], length_ns: Nanos) -> f64 {
    let most_ns = workers.iter().map(|worker| worker.busy_ns).max().unwrap_or_default();
    (most_ns as f64 / length_ns.max(1) as f64).min(1.0)
}

/// The worker that had the most to do, where it had that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Busiest {
    /// How much of its time it worked, 0 to 1.
    #[serde(rename = "busiest_worker_share")]
    pub(crate) share: f64,
    /// The arm, its rate, and the second where it was one; null where nothing was measured.
    #[serde(rename = "busiest_worker_at")]
    pub(crate) at: Option<String>,
}

impl Work {
    /// Adds a phase in which `what` was measured, with its busiest second where it was told in
    /// intervals.
    pub(crate) fn add(
        &mut self,
        what: &str,
        report: &PhaseReport,
        second: Option<BusySecond>,
        workers: usize,
    ) {
        let length_ns = report.end.saturating_sub(report.start);
        self.parts.entry(what.to_owned()).or_default().add(length_ns, &report.workers, second);
        self.requests += report.streams.iter().map(|stream| stream.iterations).sum::<u64>();
        self.busy_ns += report.cpu_ns.saturating_sub(report.spun_ns);
        self.available_ns += length_ns * workers as u64;
        self.length_ns += length_ns;
    }

    /// How much of its time it worked, 0 to 1.
    fn share(&self) -> f64 {
        (self.busy_ns as f64 / self.available_ns.max(1) as f64).min(1.0)
    }

    /// What it would come to if it worked all the time, in requests a second; at low rates rather
    /// less than it can do, since there a request costs it more.
    pub(crate) fn ceiling(&self) -> f64 {
        let rate = self.requests as f64 * 1e9 / self.length_ns.max(1) as f64;
        if self.busy_ns == 0 { 0.0 } else { rate / self.share() }
    }

    /// One worker of several, one arm, one rate or one second may be at its end where the others have
    /// time.
    pub(crate) fn busiest(&self) -> Busiest {
        let parts = self.parts.iter().map(|(what, part)| (what, part.busiest()));
        let most = parts.max_by(|(_, one), (_, other)| one.0.total_cmp(&other.0));
        most.map_or_else(Busiest::default, |(what, (share, second))| {
            let when = second.map_or(String::new(), |BusySecond { from_ns, to_ns, .. }| {
                let [from, to] = [from_ns, to_ns].map(|ns| duration::show(ns as f64));
                format!(", from {from} to {to}")
            });
            Busiest { share, at: Some(format!("{what}{when}")) }
        })
    }
}

/// How the generator ran, as it is written to summary.json.
#[derive(Debug, Serialize)]
pub(crate) struct GeneratorSummary {
    driver: &'static str,
    /// `io_uring` or `epoll`.
    driver_io: &'static str,
    /// Why it was not the driver that goes first, if it was not.
    driver_reason: Option<String>,
    workers: usize,
    cores: Vec<usize>,
    spin_ns: Nanos,
    /// What a connection holds in the generator; the kernel's socket buffers are not in it.
    own_bytes_per_connection: u64,
    /// How much of the workers' time was work, 0 to 1.
    ceiling_share: f64,
    /// Requests a second at which all of it would be.
    ceiling_rate: f64,
    #[serde(flatten)]
    pub(crate) busiest: Busiest,
    /// What its machine did meanwhile.
    pub(crate) machine: Machine,
}

impl GeneratorSummary {
    /// `connection_bytes` are those of one.
    pub(crate) fn new(
        generator: &Generator,
        connection_bytes: u64,
        work: &Work,
        machine: Machine,
    ) -> Self {
        let Generator { cores, options, reason } = generator;
        Self {
            driver: options.kind.name(),
            driver_io: options.kind.io(),
            driver_reason: reason.clone(),
            workers: cores.len(),
            cores: cores.iter().map(|core| core.id).collect(),
            spin_ns: options.spin_ns,
            own_bytes_per_connection: connection_bytes,
            ceiling_share: work.share(),
            ceiling_rate: work.ceiling(),
            busiest: work.busiest(),
            machine,
        }
    }

    /// What people should know of it: the share of the ceiling that was used, and the driver where
    /// it is not the one that goes first.
    pub(crate) fn note(&self) -> String {
        let mut note = format!(
            "the generator used {:.0} % of its ceiling, about {} of these requests a second; {} B \
             a connection",
            self.ceiling_share * 100.0,
            rounded(self.ceiling_rate),
            self.own_bytes_per_connection,
        );
        if let Some(reason) = &self.driver_reason {
            note += &format!("\ndriver: {} over {}, since {reason}", self.driver, self.driver_io);
        }
        note
    }
}

/// To two digits: it is an estimate.
fn rounded(rate: f64) -> String {
    let scale = 10_f64.powf((rate.max(1.0).log10().floor() - 1.0).max(0.0));
    format!("{:.0}", (rate / scale).round() * scale)
}

#[cfg(test)]
impl GeneratorSummary {
    /// As on a machine of two cores, at ease.
    pub(crate) fn example() -> Self {
        Self::example_of(0.04, Machine::default())
    }

    /// A generator that worked such a share of its time.
    pub(crate) fn example_of(share: f64, machine: Machine) -> Self {
        let options = Options::new(DriverKind::Uring);
        let generator = Generator { cores: vec![CoreId { id: 1 }], options, reason: None };
        let work = Work {
            requests: 2000,
            busy_ns: (share * 1e9) as Nanos,
            available_ns: 1_000_000_000,
            length_ns: 1_000_000_000,
            parts: BTreeMap::new(),
        };
        let summary = Self::new(&generator, 800, &work, machine);
        Self { busiest: Busiest { share, at: Some("pooler at 2000/s".into()) }, ..summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_had_to_be_taken_is_told_with_the_reason() {
        let reason = Some("io_uring is not available (Operation not permitted)".into());
        let options = Options::new(DriverKind::MonoioEpoll);
        let generator = Generator { cores: vec![CoreId { id: 1 }], options, reason };
        let summary = GeneratorSummary::new(&generator, 1000, &Work::default(), Machine::default());
        assert_eq!(
            summary.note(),
            "the generator used 0 % of its ceiling, about 0 of these requests a second; 1000 B a \
             connection\ndriver: monoio over epoll, since io_uring is not available (Operation not \
             permitted)"
        );
    }

    #[test]
    fn the_ceiling_is_where_work_would_fill_all_the_time() {
        assert_eq!(
            GeneratorSummary::example().note(),
            "the generator used 4 % of its ceiling, about 50000 of these requests a second; 800 B \
             a connection"
        );
        assert_eq!(rounded(123_456.0), "120000");
        assert_eq!(rounded(7.4), "7");
    }

    fn phase(busy_ns: [Nanos; 2]) -> PhaseReport {
        PhaseReport {
            streams: Vec::new(),
            start: 1000,
            end: 2000,
            cpu_ns: busy_ns.iter().sum(),
            spun_ns: 0,
            workers: workers(&busy_ns),
            is_interrupted: false,
            is_aborted: false,
        }
    }

    fn workers(busy_ns: &[Nanos]) -> Vec<WorkerTime> {
        (1..)
            .zip(busy_ns)
            .map(|(thread, busy_ns)| WorkerTime { thread, busy_ns: *busy_ns })
            .collect()
    }

    /// The busiest second, in tenths of one, where each interval took so many of them and so much of it
    /// each worker worked.
    fn busiest_second(intervals: &[(u64, [f64; 2])]) -> Option<(f64, u64, u64)> {
        let (mut seconds, mut start_ns) = (BusySeconds::default(), 0);
        for (tenths, shares) in intervals {
            let length_ns = tenths * SECOND / 10;
            let busy_ns = shares.map(|share| (share * length_ns as f64) as Nanos);
            let end_ns = start_ns + length_ns;
            let workers = workers(&busy_ns);
            seconds.push(&Interval { start_ns, end_ns, workers, streams: Vec::new() });
            start_ns = end_ns;
        }
        let BusySecond { share, from_ns, to_ns } = seconds.busiest?;
        let tenth = |ns: Nanos| ns * 10 / SECOND;
        Some(((share * 1000.0).round() / 1000.0, tenth(from_ns), tenth(to_ns)))
    }

    #[test]
    fn a_ramps_top_is_the_busiest_second_and_no_mean_of_it() {
        let ramp: Vec<_> = (1..=10).map(|second| (10, [0.099 * f64::from(second), 0.1])).collect();
        assert_eq!(busiest_second(&ramp), Some((0.99, 90, 100)));
        // What is left over is no second of its own.
        let rest = [(10, [0.3, 0.2]), (10, [0.4, 0.6]), (2, [1.0, 1.0])];
        assert_eq!(busiest_second(&rest), Some((0.667, 10, 22)));
        let short: Vec<_> = [0.2, 0.99, 0.2, 0.95, 0.95, 0.1].map(|share| (5, [share, 0.1])).into();
        assert_eq!(busiest_second(&short), Some((0.95, 15, 25)));
        assert_eq!(busiest_second(&short[..1]), None);
        assert_eq!(busiest_second(&[]), None);
    }

    #[test]
    fn a_mean_over_a_ramp_hides_no_second_in_which_it_needed_all_of_its_time() {
        let phase = PhaseReport { end: 11 * SECOND, start: SECOND, ..phase([5 * SECOND, SECOND]) };
        let mut work = Work::default();
        let top = BusySecond { share: 0.99, from_ns: 9 * SECOND, to_ns: 10 * SECOND };
        work.add("pooler", &phase, Some(top), 2);
        work.add("pooler", &phase, Some(BusySecond { share: 0.2, ..top }), 2);
        let Busiest { share, at } = work.busiest();
        assert_eq!((share, at.as_deref()), (0.99, Some("pooler, from 9.00 s to 10.0 s")));
        let mut even = Work::default();
        even.add("pooler", &phase, Some(BusySecond { share: 0.5, ..top }), 2);
        assert_eq!(even.busiest().at.as_deref(), Some("pooler"));
    }

    #[test]
    fn the_busiest_worker_of_the_worst_part_is_told_and_no_mean() {
        let mut work = Work::default();
        assert_eq!(work.busiest(), Busiest::default());
        // One block in which another worker had the most to do makes no worker of the whole.
        for busy_ns in [[100, 960], [960, 100], [100, 960]] {
            work.add("pooler at 4000/s", &phase(busy_ns), None, 2);
        }
        (0..9).for_each(|_| work.add("direct", &phase([10, 20]), None, 2));
        let Busiest { share, at } = work.busiest();
        assert!((share - 2020.0 / 3000.0).abs() < 1e-9, "{share}");
        assert_eq!(at.as_deref(), Some("pooler at 4000/s"));
        assert!(work.share() < 0.2, "the mean hides it: {}", work.share());
    }
}
