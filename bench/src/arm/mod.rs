//! One way through the stack, and what was measured on it.

mod logins;
mod parameters;
mod queries;
mod security;
mod summary;

use std::borrow::Cow;

use engine::{Nanos, OperationRecording, PhaseReport, Recording, StreamReport};
use hdrhistogram::Histogram;
use wire::Counts;
use wire::postgres::{Fallback, Protocol};

pub(crate) use self::logins::{Logins, difference as login_difference};
pub(crate) use self::parameters::{
    SessionParameters, difference as parameter_difference, differing_names,
};
pub(crate) use self::security::{Securities, difference as security_difference, heading};
pub(crate) use self::summary::{ArmSummary, Quantiles, ServerTimingSummary};
use crate::observe::Backends;
use crate::scenario::Scenario;
use crate::series::Second;
use crate::statistics::Sample;

/// A way through the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArmKind {
    pub(crate) name: Cow<'static, str>,
    /// The scenario's target that the load goes to.
    pub(crate) target: Cow<'static, str>,
    pub(crate) layers: &'static [&'static str],
}

impl ArmKind {
    /// The way to a target; what is not one of [`ARMS`] gets its target's name.
    pub(crate) fn of(target: &str) -> Self {
        let known = ARMS.into_iter().find(|kind| kind.target == target);
        known.unwrap_or_else(|| Self {
            name: target.to_owned().into(),
            target: target.to_owned().into(),
            layers: &[],
        })
    }

    /// A way that its user has named; one that is called as one of [`ARMS`], or as its target, has
    /// the same layers.
    pub(crate) fn named(name: &str) -> Self {
        let known = ARMS.into_iter().find(|kind| kind.name == name || kind.target == name);
        let name = Cow::from(name.to_owned());
        Self { target: name.clone(), name, layers: known.map_or(&[], |kind| kind.layers) }
    }

    /// Whether the layer is on the way.
    pub(crate) fn has(&self, layer: &str) -> bool {
        self.layers.contains(&layer)
    }

    /// Whether one of the scenario's processes, by its name there, is on the way.
    pub(crate) fn has_process(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| self.process(layer) == name)
    }

    /// The target whose console shows the pooler on the way: its own; on a way with a pooler, or through
    /// a gateway that is none of [`ARMS`], the target `pooler`'s or else the only one that there is.
    /// `None` where no pooler is on the way, or it is not known which.
    pub(crate) fn pooler<'a>(&self, scenario: &'a Scenario) -> Option<&'a str> {
        let targets = scenario.targets.iter();
        let poolers = targets.filter(|(_, target)| !target.consoles.is_empty());
        let poolers: Vec<_> = poolers.map(|(name, _)| name.as_str()).collect();
        let called = |name: &str| poolers.iter().copied().find(|pooler| *pooler == name);
        let is_gateway =
            || scenario.targets.get(&*self.target).is_some_and(|target| target.url.is_some());
        let goes_on = || self.has("pooler") || (self.layers.is_empty() && is_gateway());
        let behind = || match poolers[..] {
            [only] => Some(only),
            _ => called("pooler"),
        };
        called(&self.target).or_else(|| goes_on().then(behind).flatten())
    }

    /// A layer's name among the scenario's processes.
    fn process<'a>(&'a self, layer: &'a str) -> &'a str {
        if layer == "gateway" { &self.target } else { layer }
    }
}

/// The four ways through a gateway and a pooler.
pub(crate) const ARMS: [ArmKind; 4] = [
    arm("gateway+pooler", "gateway", &["gateway", "pooler", "postgres"]),
    arm("gateway+direct", "gateway-direct", &["gateway", "postgres"]),
    arm("pooler", "pooler", &["pooler", "postgres"]),
    arm("direct", "postgres", &["postgres"]),
];

const fn arm(name: &'static str, target: &'static str, layers: &'static [&'static str]) -> ArmKind {
    ArmKind { name: Cow::Borrowed(name), target: Cow::Borrowed(target), layers }
}

/// One arm's measurements.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) kind: ArmKind,
    /// The rate that it was asked for, in 1/s, where arms of several rates are compared.
    pub(crate) offered_rate: Option<f64>,
    /// The observed source that shows the pooler on the way, if one does.
    pub(crate) pooler: Option<String>,
    /// Our connections to its target: at the start, and at most.
    pub(crate) connections: (u32, u32),
    /// The application_name of its backends.
    pub(crate) backends_name: Option<String>,
    pub(crate) connect: Option<Histogram<u64>>,
    pub(crate) security: Securities,
    pub(crate) logins: Logins,
    pub(crate) parameters: SessionParameters,
    pub(crate) blocks: Vec<Measured>,
    pub(crate) whole: Option<Recording>,
    /// Requests that got their outcome, the warm-up's included.
    pub(crate) completed: u64,
    /// Statements that were sent for those.
    pub(crate) queries: u64,
    /// What requests of several statements came to, notices, and what was copied.
    pub(crate) counts: Counts,
    pub(crate) planned: u64,
    /// Arrivals that found no free connection.
    pub(crate) late: u64,
    pub(crate) dropped: u64,
    pub(crate) unserved: u64,
    pub(crate) resent: u64,
    pub(crate) reopened: u64,
    /// Over all connections that were lost, until each was there again.
    pub(crate) disconnected_ns: Nanos,
    /// The longest time from a connection's failure to the next success.
    pub(crate) outage_ns: Nanos,
    /// Whether the last such time had no end.
    pub(crate) is_out: bool,
    /// Whether its prepared statements may be, and are, sent unnamed.
    pub(crate) fallback: Option<Fallback>,
    /// How statements are sent; `None` where it is asked in GraphQL.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) measured_ns: Nanos,
    pub(crate) generator_cpu_ns: Nanos,
    pub(crate) backends: Vec<u64>,
    /// Whether they were hidden at some instant: the mean of the others would be of those without any.
    are_backends_hidden: bool,
    /// What was seen beside its load alone; empty where it was not observed, or with others.
    pub(crate) series: Vec<Second>,
}

/// What is kept of each block.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Response times of requests that succeeded, in ns.
    pub(crate) response: Sample,
    /// Service times of those, added up, in ns.
    pub(crate) service_ns: f64,
    /// Requests that succeeded.
    pub(crate) succeeded: u64,
    /// Requests that got their outcome.
    pub(crate) requests: u64,
    /// Statements that were sent for those.
    pub(crate) queries: u64,
    /// Its planned length, or longer where the last reply came later, in ns.
    pub(crate) length_ns: Nanos,
    /// The integral of how many requests were under way, in ns.
    pub(crate) in_flight_ns: f64,
    /// CPU time by the scenario's process names; one that had gone is missing.
    cpu_ns: Vec<(String, Nanos)>,
}

/// One block of one arm.
pub(crate) struct Block {
    /// All of the phase's streams together.
    report: StreamReport,
    generator_cpu_ns: Nanos,
    /// Its planned length, or longer where the last reply came later.
    length_ns: Nanos,
    cpu_ns: Vec<(String, Nanos)>,
}

impl Block {
    /// A phase whose streams all went to one arm.
    pub(crate) fn new(phase: PhaseReport, planned_ns: Nanos, cpu_ns: Vec<(String, Nanos)>) -> Self {
        let length_ns = planned_ns.max(phase.end.saturating_sub(phase.start));
        let generator_cpu_ns = phase.cpu_ns;
        let mut streams = phase.streams.into_iter();
        let mut report = streams.next().expect("a phase has at least one stream");
        streams.for_each(|other| report.merge(&other));
        Self { report, generator_cpu_ns, length_ns, cpu_ns }
    }

    /// This stream alone, for so long, with the generator's CPU time.
    #[cfg(test)]
    pub(crate) fn of(stream: StreamReport, length_ns: Nanos, generator_cpu_ns: Nanos) -> Self {
        Self { report: stream, generator_cpu_ns, length_ns, cpu_ns: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn with_cpu(self, cpu_ns: Vec<(String, Nanos)>) -> Self {
        Self { cpu_ns, ..self }
    }
}

impl Arm {
    pub(crate) fn new(kind: &ArmKind, backends_name: Option<String>) -> Self {
        Self {
            kind: kind.clone(),
            offered_rate: None,
            pooler: None,
            connections: (0, 0),
            backends_name,
            connect: None,
            security: Securities::default(),
            logins: Logins::default(),
            parameters: SessionParameters::default(),
            blocks: Vec::new(),
            whole: None,
            completed: 0,
            queries: 0,
            counts: Counts::default(),
            planned: 0,
            late: 0,
            dropped: 0,
            unserved: 0,
            resent: 0,
            reopened: 0,
            disconnected_ns: 0,
            outage_ns: 0,
            is_out: false,
            fallback: None,
            protocol: None,
            measured_ns: 0,
            generator_cpu_ns: 0,
            backends: Vec::new(),
            are_backends_hidden: false,
            series: Vec::new(),
        }
    }

    /// Adds what Postgres' backends were at one instant.
    pub(crate) fn saw(&mut self, backends: Option<&Backends>) {
        if let (Some(name), Some(backends)) = (&self.backends_name, backends) {
            match backends.named(name) {
                Some(count) => self.backends.push(count),
                None => self.are_backends_hidden = true,
            }
        }
    }

    /// Adds a block.
    pub(crate) fn push(&mut self, block: Block) {
        let Block { report, generator_cpu_ns, length_ns, cpu_ns } = block;
        self.completed += report.recording.completed();
        self.queries += report.queries();
        self.counts.add(&report.counts);
        self.planned += report.planned;
        self.late += report.late;
        self.dropped += report.dropped;
        self.unserved += report.unserved;
        self.resent += report.resent;
        self.reopened += report.reopened;
        self.disconnected_ns += report.disconnected_ns;
        self.outage_ns = self.outage_ns.max(report.outage_ns);
        self.is_out = report.is_out;
        self.measured_ns += length_ns;
        self.generator_cpu_ns += generator_cpu_ns;
        let whole = report.recording.whole();
        self.blocks.push(Measured {
            response: Sample::new(&whole.response),
            service_ns: whole.service.mean() * whole.service.len() as f64,
            succeeded: whole.service.len(),
            requests: whole.completed(),
            queries: report.queries(),
            length_ns,
            in_flight_ns: whole.in_flight_ns(),
            cpu_ns,
        });
        match &mut self.whole {
            Some(whole) => whole.merge(&report.recording),
            None => self.whole = Some(report.recording),
        }
    }

    /// Whether its prepared statements were sent unnamed in the end.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.fallback.as_ref().is_some_and(Fallback::has_happened)
    }

    /// Its name, with the rate where there are several.
    pub(crate) fn label(&self) -> String {
        match self.offered_rate {
            Some(rate) => format!("{} at {rate}/s", self.kind.name),
            None => self.kind.name.to_string(),
        }
    }

    /// Requests of the blocks that got their outcome.
    pub(crate) fn requests(&self) -> u64 {
        self.whole.as_ref().map_or(0, Recording::completed)
    }

    /// Requests a second that got their outcome.
    pub(crate) fn rate(&self) -> f64 {
        self.requests() as f64 * 1e9 / self.measured_ns.max(1) as f64
    }

    /// Its backends in Postgres at the end of each block: mean and maximum; `None` where some were hidden.
    pub(crate) fn backends(&self) -> Option<(f64, u64)> {
        let max = *self.backends.iter().max().filter(|_| !self.are_backends_hidden)?;
        Some((self.backends.iter().sum::<u64>() as f64 / self.backends.len() as f64, max))
    }

    /// CPU time of one of the arm's layers for each of its requests, in ns, over the blocks in which
    /// the layer's process was seen; `None` where it never was.
    pub(crate) fn cpu_ns_per_request(&self, layer: &str) -> Option<f64> {
        let (mut ns, mut requests) = (0, 0);
        if layer == "generator" {
            (ns, requests) = (self.generator_cpu_ns, self.requests());
        } else if self.kind.has(layer) {
            for (number, block) in self.blocks.iter().enumerate() {
                if let Some(of_block) = self.block_cpu_ns(number, layer) {
                    ns += of_block;
                    requests += block.requests;
                }
            }
        }
        (requests > 0).then(|| ns as f64 / requests as f64)
    }

    /// CPU time of a layer in one block, in ns: none where the layer is not on the way, `None` where
    /// its process is not known.
    pub(crate) fn block_cpu_ns(&self, block: usize, layer: &str) -> Option<Nanos> {
        if !self.kind.has(layer) {
            return Some(0);
        }
        let mut processes = self.blocks[block].cpu_ns.iter();
        processes.find(|(process, _)| process == self.kind.process(layer)).map(|(_, ns)| *ns)
    }

    /// Failures of connections and of whoever hands them out, not of the requests themselves.
    pub(crate) fn connection_errors(&self) -> u64 {
        let whole = self.whole.as_ref().map(Recording::whole);
        whole.as_ref().map_or(0, connection_errors) + self.reopened
    }
}

#[cfg(test)]
impl Arm {
    /// As if the layer's process had been started anew in a block.
    pub(crate) fn forget_cpu(&mut self, block: usize, layer: &str) {
        self.blocks[block].cpu_ns.retain(|(process, _)| process != layer);
    }
}

fn connection_errors(whole: &OperationRecording) -> u64 {
    let failures = whole.failures().filter(|(class, ..)| class.is_of_connection());
    failures.map(|(_, count, _)| count).sum()
}

#[cfg(test)]
mod tests {
    use engine::SECOND;
    use wire::{Failure, Outcome};

    use super::*;

    #[test]
    fn a_pooler_is_the_measured_targets_own_or_the_one_behind_its_gateway() {
        let of = |target: &str, poolers: &[&str]| {
            let pooler = |name: &&str| {
                format!(
                    "[targets.{name}]\nconninfo = \"host=h user=u dbname=d\"\n\
                     console = \"host=h user=u dbname=c\"\n"
                )
            };
            let text = format!(
                "name = \"t\"\n[targets.gateway]\nurl = \"http://h/\"\n\
                 [targets.gateway-direct]\nurl = \"http://h/\"\n[targets.api]\nurl = \"http://h/\"\n\
                 [targets.postgres]\nconninfo = \"host=h user=u dbname=d\"\n{}\
                 [[operations]]\nname = \"a\"\ngraphql = \"{{a}}\"\nsql = \"SELECT 1\"\n",
                poolers.iter().map(pooler).collect::<String>()
            );
            let scenario = Scenario::parse("t.toml", &text, &|_| None).unwrap();
            ArmKind::of(target).pooler(&scenario).map(str::to_owned)
        };
        let is = |target: &str, poolers: &[&str], expected: Option<&str>| {
            assert_eq!(of(target, poolers).as_deref(), expected, "{target} with {poolers:?}");
        };
        is("b", &["a", "b"], Some("b"));
        for gateway in ["gateway", "api"] {
            is(gateway, &["a"], Some("a"));
            is(gateway, &["a", "pooler"], Some("pooler"));
            is(gateway, &["a", "b"], None);
        }
        for direct in ["postgres", "gateway-direct"] {
            is(direct, &["pooler"], None);
        }
    }

    #[test]
    fn backends_that_are_hidden_are_unknown_and_no_zero() {
        let mut arm = Arm::new(&ARMS[2], Some("nova".into()));
        let mut backends = Backends::of("other", 3);
        arm.saw(Some(&backends));
        assert_eq!(arm.backends(), Some((0.0, 0)));
        backends.add("nova", 20, true);
        arm.saw(Some(&backends));
        assert_eq!(arm.backends(), None);
    }

    #[test]
    fn a_block_in_which_a_process_was_not_seen_is_not_of_its_cpu_time() {
        let mut arm = Arm::new(&ARMS[2], None);
        assert!(arm.kind.has("pooler") && arm.kind.has("postgres"));
        for (requests, pooler_ns) in [(10, Some(500)), (90, None), (10, Some(700))] {
            let mut recording = Recording::new(1);
            for _ in 0..requests {
                recording.record(0, Outcome::Ok, &Failure::default(), (0, 0, 1000));
            }
            let used = pooler_ns.map(|ns| ("pooler".to_owned(), ns));
            arm.push(
                Block::of(StreamReport::new(recording), SECOND, 2200)
                    .with_cpu(used.into_iter().collect()),
            );
        }
        assert_eq!(arm.cpu_ns_per_request("pooler"), Some(60.0));
        assert_eq!(arm.cpu_ns_per_request("generator"), Some(60.0));
        assert_eq!(arm.cpu_ns_per_request("postgres"), None);
        assert_eq!([0, 1].map(|block| arm.block_cpu_ns(block, "pooler")), [Some(500), None]);
    }
}
