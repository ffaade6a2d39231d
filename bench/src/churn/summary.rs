//! The result as it is written to summary.json: everything that the table shows.

use serde::Serialize;
use wire::Class;

use super::{Connections, Plan};
use crate::arm::{Arm, ArmSummary, Quantiles};
use crate::head::Head;
use crate::observe::{Network, ObserversSummary};
use crate::pace::PaceSummary;
use crate::validity::{Comparison, Evidence, Purpose, Steady, Validity};

/// The result of `churn`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// A phase is one target's.
    #[serde(flatten)]
    pub(super) head: Head,
    /// Of connections.
    #[serde(flatten)]
    pub(super) pace: PaceSummary,
    /// The most at once.
    pub(super) connections: u32,
    /// Whether they ended with a reset.
    pub(super) reset: bool,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    pub(super) arms: Vec<ChurnArm>,
    pub(super) before_after: Option<BeforeAfter>,
}

/// What was measured on one target. Its requests are its connections: response times run from the
/// instant at which a connection was due to the end of its query, service times from when it began
/// to open.
#[derive(Debug, Serialize)]
pub(super) struct ChurnArm {
    /// With `connect_ns`: until the transport is up.
    #[serde(flatten)]
    pub(super) arm: ArmSummary,
    /// From there until TLS is up; a count of 0 without TLS.
    pub(super) tls_ns: Quantiles,
    /// From there until queries may be sent.
    pub(super) login_ns: Quantiles,
    /// All together: what an application without a pool waits for before each query.
    pub(super) open_ns: Quantiles,
    pub(super) first_query_ns: Quantiles,
    /// Connections that could not be made at all.
    pub(super) refused: u64,
    #[serde(flatten)]
    pub(super) network: Network,
    observers: ObserversSummary,
}

/// Directly, and through the pool.
#[derive(Debug, Serialize)]
pub(super) struct BeforeAfter {
    pub(super) connection_latency_p95_ns: [u64; 2],
}

impl Summary {
    /// `operations` are their names.
    pub(super) fn new(
        head: Head,
        plan: &Plan,
        (arms, lost_names): (&[Arm], Vec<String>),
        measured: &[Connections],
        operations: &[&str],
    ) -> Self {
        let mut validity = Validity::of(&Evidence {
            busiest: &head.generator.busiest,
            machine: &head.generator.machine,
            arms,
            offered: vec![plan.pace.offered(plan.duration_ns); arms.len()],
            comparison: Comparison::Turns,
            steady: arms.iter().map(|arm| Steady::new(arm.label(), &arm.series)).collect(),
            observations: measured.iter().map(|own| &own.observations).collect(),
            lost_names,
            purpose: Purpose::Connecting,
        });
        let arms = arms.iter().zip(measured);
        let arms: Vec<_> = arms.map(|(arm, own)| ChurnArm::new(arm, own, operations)).collect();
        arms.iter().for_each(|arm| arm.judge_ports(&mut validity));
        Self {
            head,
            pace: plan.pace.summary(),
            connections: plan.pace.places(),
            reset: plan.generator.reset,
            validity,
            before_after: before_after(&arms),
            arms,
        }
    }
}

impl ChurnArm {
    fn new(arm: &Arm, own: &Connections, names: &[&str]) -> Self {
        let Connections { times, network, observations } = own;
        let arm = ArmSummary::new(arm, names);
        Self {
            refused: arm.errors.get(Class::ConnectFailed.name()).copied().unwrap_or_default(),
            arm,
            tls_ns: Quantiles::new(&times.tls),
            login_ns: Quantiles::new(&times.login),
            open_ns: Quantiles::new(&times.open),
            first_query_ns: Quantiles::new(&times.first_query),
            network: *network,
            observers: ObserversSummary::new(observations),
        }
    }

    /// A connection that had no port left says nothing about the target.
    fn judge_ports(&self, validity: &mut Validity) {
        let words = self.arm.first_errors.get(Class::ConnectFailed.name());
        if words.is_some_and(|words| words.contains("Cannot assign requested address")) {
            validity.invalid(format!(
                "{}: this machine ran out of ports, since each waits a minute after its connection \
                 (TIME_WAIT): close with --reset, set sysctl net.ipv4.tcp_tw_reuse=1, or ask for \
                 less",
                self.arm.name
            ));
        }
    }
}

fn before_after(arms: &[ChurnArm]) -> Option<BeforeAfter> {
    let open = |name: &str| {
        let arm = arms.iter().find(|arm| arm.arm.name == name)?;
        (arm.open_ns.count > 0).then_some(arm.open_ns.p95)
    };
    Some(BeforeAfter { connection_latency_p95_ns: [open("direct")?, open("pooler")?] })
}

#[cfg(test)]
impl Summary {
    /// Made-up measurements of a gateway, a pooler and a Postgres without room for all, through the
    /// same code as real ones.
    pub(crate) fn example(pace: crate::pace::Pace) -> Self {
        use engine::{ConnectionTimes, Recording, SECOND, StreamReport};
        use wire::{Code, Failure, Outcome};

        use crate::arm::{ArmKind, Block};
        use crate::generator::GeneratorOptions;
        use crate::observe::Observations;
        use crate::series::Second;

        let plan = Plan {
            targets: ["gateway", "pooler", "postgres"].map(Into::into).into(),
            pace,
            duration_ns: SECOND,
            warm_up_ns: 0,
            generator: GeneratorOptions::default(),
            seed: 1,
        };
        let mut arms = Vec::new();
        let mut measured = Vec::new();
        let mut failure = Failure::default();
        for (index, target) in plan.targets.iter().enumerate() {
            let mut recording = Recording::new(1);
            let mut times = ConnectionTimes::default();
            let [login, query] = [[0, 900], [400, 150], [3000, 120]][index];
            for number in 0..500_u64 {
                let at = |us: u64| (us + us * number / 500) * 1000;
                let outcome = match number % 50 {
                    0 if index == 2 => {
                        failure.set(Code::SqlState(*b"53300"), b"sorry, too many clients already");
                        Outcome::Failed(Class::Capacity)
                    }
                    1 if index == 2 => {
                        failure.set(Code::None, b"Connection refused (os error 111)");
                        Outcome::Failed(Class::ConnectFailed)
                    }
                    _ => Outcome::Ok,
                };
                recording.record(0, outcome, &failure, (0, 1000, at(50 + login + query)));
                if outcome.is_ok() {
                    times.connect.saturating_record(at(50));
                    if login > 0 {
                        times.login.saturating_record(at(login));
                    }
                    times.open.saturating_record(at(50 + login));
                    times.first_query.saturating_record(at(query));
                }
            }
            let stream = StreamReport { planned: 500, ..StreamReport::new(recording) };
            let mut arm = Arm::new(&ArmKind::of(target), None);
            arm.connect = Some(times.connect.clone());
            arm.push(Block::of(stream, SECOND, 25_000_000));
            arm.series = vec![Second::at_ease(0)];
            arms.push(arm);
            let network = [
                Network { time_wait: Some(500), listen_overflows: Some(0), listen_drops: Some(0) },
                Network { time_wait: Some(499), listen_overflows: Some(0), listen_drops: Some(0) },
                Network { time_wait: Some(-3), listen_overflows: Some(7), listen_drops: Some(9) },
            ][index];
            measured.push(Connections { times, network, observations: Observations::default() });
        }
        let arms = (&arms[..], Vec::new());
        Self::new(Head::example("churn", SECOND), &plan, arms, &measured, &["getUser"])
    }

    /// The same where nothing could be counted.
    pub(super) fn uncounted(pace: crate::pace::Pace) -> Self {
        let mut summary = Self::example(pace);
        summary.arms.truncate(1);
        summary.before_after = None;
        summary.arms[0].network = Network::default();
        summary
    }
}
