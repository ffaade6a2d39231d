//! What a phase measured: per operation HDR histograms and a count per outcome.

use hdrhistogram::Histogram;
use wire::http::ServerTiming;
use wire::{CHECKS_MAX, Check, Class, Failure, Outcome, Reply};

use crate::Nanos;

/// Values above are counted as this, and counted apart (see [`Recording::above_top`]): one hour.
pub const HISTOGRAM_TOP_NS: Nanos = 3_600_000_000_000;
/// Values below are told apart from each other no more: 64 ns.
const HISTOGRAM_UNIT_NS: Nanos = 64;
/// Three significant digits: a value is at most 0.1 % off.
const HISTOGRAM_DIGITS: u8 = 3;

/// An empty histogram of nanoseconds with the bounds that all recordings share.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(HISTOGRAM_UNIT_NS, HISTOGRAM_TOP_NS, HISTOGRAM_DIGITS)
        .expect("constant bounds that the histogram takes")
}

/// One operation's measurements.
#[derive(Clone, Debug)]
pub struct OperationRecording {
    /// Intended to done, of requests that succeeded, in ns.
    pub response: Histogram<u64>,
    /// Sent to done, of requests that succeeded, in ns.
    pub service: Histogram<u64>,
    /// Intended to sent, of every request that was sent, in ns.
    pub lateness: Histogram<u64>,
    /// Intended to done, of requests that failed, in ns.
    pub failed: Histogram<u64>,
    /// How long the end of each reply lay with the kernel before it was processed, in ns: what is
    /// the generator's own of its response time. Empty where the kernel was not asked.
    pub receive_delay: Histogram<u64>,
    /// What the server says of its own time, of requests that succeeded; none where it says nothing.
    pub server_times: Option<Box<ServerTimes>>,
    failures: [u64; Class::COUNT],
    first_failures: [Option<Box<Failure>>; Class::COUNT],
    checks: [Checked; CHECKS_MAX],
}

/// What a server says of its own time ([`wire::http::ServerTiming`]).
#[derive(Clone, Debug)]
pub struct ServerTimes {
    /// All of it, in ns.
    pub total: Histogram<u64>,
    /// Its database's, in ns.
    pub database: Histogram<u64>,
}

impl Default for ServerTimes {
    fn default() -> Self {
        Self { total: histogram(), database: histogram() }
    }
}

/// How often a check passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Replies that met the condition.
    pub passes: u64,
    /// Those that did not.
    pub fails: u64,
}

impl OperationRecording {
    fn new() -> Self {
        Self {
            response: histogram(),
            service: histogram(),
            lateness: histogram(),
            failed: histogram(),
            receive_delay: histogram(),
            server_times: None,
            failures: [0; Class::COUNT],
            first_failures: std::array::from_fn(|_| None),
            checks: [Checked::default(); CHECKS_MAX],
        }
    }

    /// Requests that got their outcome.
    pub fn completed(&self) -> u64 {
        self.response.len() + self.failed.len()
    }

    /// From sent to done, over all requests whatever their outcome, added up, in ns: over a stretch of
    /// time in which they all began and ended, the integral of how many were under way.
    pub fn in_flight_ns(&self) -> f64 {
        let sum = |histogram: &Histogram<u64>| histogram.mean() * histogram.len() as f64;
        (sum(&self.response) + sum(&self.failed) - sum(&self.lateness)).max(0.0)
    }

    /// The classes that occurred: how often, and the first one's words.
    pub fn failures(&self) -> impl Iterator<Item = (Class, u64, Option<&Failure>)> {
        let counted = Class::ALL.iter().zip(&self.failures).zip(&self.first_failures);
        counted
            .filter(|((_, count), _)| **count > 0)
            .map(|((class, count), first)| (*class, *count, first.as_deref()))
    }

    fn reset(&mut self) {
        for histogram in [
            &mut self.response,
            &mut self.service,
            &mut self.lateness,
            &mut self.failed,
            &mut self.receive_delay,
        ] {
            histogram.reset();
        }
        if let Some(times) = &mut self.server_times {
            times.total.reset();
            times.database.reset();
        }
        self.failures = [0; Class::COUNT];
        self.first_failures.fill(None);
        self.checks = [Checked::default(); CHECKS_MAX];
    }

    /// The check that is counted at `place` ([`Check::place`]).
    pub fn check(&self, place: usize) -> Checked {
        self.checks[place]
    }

    fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.lateness, &other.lateness),
            (&mut self.failed, &other.failed),
            (&mut self.receive_delay, &other.receive_delay),
        ] {
            ours.add(theirs).expect("all recordings share their bounds");
        }
        if let Some(theirs) = &other.server_times {
            let ours = self.server_times.get_or_insert_default();
            for (ours, theirs) in
                [(&mut ours.total, &theirs.total), (&mut ours.database, &theirs.database)]
            {
                ours.add(theirs).expect("all recordings share their bounds");
            }
        }
        for (ours, theirs) in self.failures.iter_mut().zip(&other.failures) {
            *ours += theirs;
        }
        for (ours, theirs) in self.first_failures.iter_mut().zip(&other.first_failures) {
            if ours.is_none() {
                ours.clone_from(theirs);
            }
        }
        for (ours, theirs) in self.checks.iter_mut().zip(&other.checks) {
            ours.passes += theirs.passes;
            ours.fails += theirs.fails;
        }
    }
}

/// Everything one phase measured on one target. Recordings of the same mix merge without loss.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Per operation, in the order of the mix.
    pub operations: Vec<OperationRecording>,
    /// Values above [`HISTOGRAM_TOP_NS`].
    pub above_top: u64,
}

impl Recording {
    /// An empty recording for a mix of so many operations.
    pub fn new(operations: usize) -> Self {
        Self {
            operations: (0..operations).map(|_| OperationRecording::new()).collect(),
            above_top: 0,
        }
    }

    /// Records one request that was sent at `sent` and got its outcome at `done`.
    pub fn record(
        &mut self,
        operation: usize,
        outcome: Outcome,
        failure: &Failure,
        (intended, sent, done): (Nanos, Nanos, Nanos),
    ) {
        let response = done.saturating_sub(intended);
        self.above_top += u64::from(response > HISTOGRAM_TOP_NS);
        let recording = &mut self.operations[operation];
        recording.lateness.saturating_record(sent.saturating_sub(intended));
        match outcome {
            Outcome::Ok => {
                recording.response.saturating_record(response);
                recording.service.saturating_record(done.saturating_sub(sent));
            }
            Outcome::Failed(class) => {
                recording.failed.saturating_record(response);
                recording.failures[class as usize] += 1;
                recording.first_failures[class as usize]
                    .get_or_insert_with(|| Box::new(failure.clone()));
            }
        }
    }

    /// Records how long a reply lay with the kernel before it was processed, in ns.
    pub fn delayed(&mut self, operation: usize, delay_ns: Nanos) {
        self.operations[operation].receive_delay.saturating_record(delay_ns);
    }

    /// Records what the server says of its own time. The first time in an operation it takes memory.
    pub fn timed(&mut self, operation: usize, timing: ServerTiming) {
        if timing.is_empty() {
            return;
        }
        let times = self.operations[operation].server_times.get_or_insert_default();
        for (times, ns) in
            [(&mut times.total, timing.total_ns()), (&mut times.database, timing.database_ns())]
        {
            ns.into_iter().for_each(|ns| times.saturating_record(ns));
        }
    }

    /// Empties it without giving up its memory.
    pub(crate) fn reset(&mut self) {
        self.operations.iter_mut().for_each(OperationRecording::reset);
        self.above_top = 0;
    }

    /// Counts what `checks` find in the reply to one request.
    pub fn check(&mut self, operation: usize, checks: &[Check], reply: &Reply) {
        for check in checks {
            let counted = &mut self.operations[operation].checks[check.place];
            match check.passes(reply) {
                Some(true) => counted.passes += 1,
                Some(false) => counted.fails += 1,
                None => {}
            }
        }
    }

    /// Adds another worker's or another block's recording of the same mix.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.operations.iter_mut().zip(&other.operations) {
            ours.merge(theirs);
        }
        self.above_top += other.above_top;
    }

    /// Requests that got their outcome, over all operations.
    pub fn completed(&self) -> u64 {
        self.operations.iter().map(OperationRecording::completed).sum()
    }

    /// Requests that failed, over all operations.
    pub fn failed(&self) -> u64 {
        self.operations.iter().map(|operation| operation.failed.len()).sum()
    }

    /// All operations in one.
    pub fn whole(&self) -> OperationRecording {
        let mut whole = OperationRecording::new();
        for operation in &self.operations {
            whole.merge(operation);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Code, Condition};

    use super::*;

    fn record(recording: &mut Recording, (operation, class, latency): (usize, Option<u8>, u64)) {
        let outcome = match class {
            None => Outcome::Ok,
            Some(class) => Outcome::Failed(Class::ALL[class as usize % Class::COUNT]),
        };
        let mut failure = Failure::default();
        failure.set(Code::Status(500), b"first");
        recording.record(operation, outcome, &failure, (10, 20, 20 + latency));
        let check = |place, condition| Check { place, condition };
        let checks = [check(0, Condition::NoErrors), check(31, Condition::Latency(1 << 40))];
        recording.delayed(operation, latency / 2);
        let total_ns = (latency % 3 == 0).then_some(latency);
        recording.timed(operation, ServerTiming::new(total_ns, None));
        recording.check(operation, &checks, &Reply { outcome, service_ns: latency, http: None });
    }

    proptest! {
        #[test]
        fn merging_any_split_equals_recording_whole(
            samples in prop::collection::vec(
                (0_usize..3, prop::option::of(any::<u8>()), 0_u64..2 * HISTOGRAM_TOP_NS),
                0..40,
            ),
            split in 0_usize..40,
        ) {
            let mut whole = Recording::new(3);
            let mut parts = [Recording::new(3), Recording::new(3)];
            for (index, sample) in samples.iter().enumerate() {
                record(&mut whole, *sample);
                record(&mut parts[usize::from(index >= split)], *sample);
            }
            let [mut merged, rest] = parts;
            merged.merge(&rest);
            prop_assert_eq!(merged.completed(), samples.len() as u64);
            prop_assert_eq!(merged.above_top, whole.above_top);
            for (left, right) in merged.operations.iter().zip(&whole.operations) {
                prop_assert_eq!(&left.response, &right.response);
                prop_assert_eq!(&left.service, &right.service);
                prop_assert_eq!(&left.lateness, &right.lateness);
                prop_assert_eq!(&left.failed, &right.failed);
                prop_assert_eq!(&left.receive_delay, &right.receive_delay);
                let total = |recording: &OperationRecording| {
                    recording.server_times.as_ref().map(|times| times.total.clone())
                };
                prop_assert_eq!(total(left), total(right));
                prop_assert!(left.failures().eq(right.failures()));
                prop_assert_eq!(left.checks, right.checks);
                let Checked { passes, fails } = left.check(0);
                prop_assert_eq!(passes + fails, left.completed());
            }
        }
    }

    #[test]
    fn a_value_above_the_top_is_counted_as_such_and_no_percentile_is_above_the_maximum() {
        let mut recording = Recording::new(1);
        record(&mut recording, (0, None, 3 * HISTOGRAM_TOP_NS));
        record(&mut recording, (0, None, 1000));
        assert_eq!(recording.above_top, 1);
        let response = &recording.operations[0].response;
        assert!(response.value_at_quantile(0.999) <= response.max());
    }

    #[test]
    fn what_was_under_way_is_the_sum_of_all_times_from_sent_to_done() {
        let mut recording = Recording::new(1);
        let failure = Failure::default();
        for (outcome, times) in [
            (Outcome::Ok, (1_000_000, 1_000_000, 4_000_000)),
            // It was sent late: what it waited for here is not on its way.
            (Outcome::Ok, (2_000_000, 7_000_000, 9_000_000)),
            (Outcome::Failed(Class::Timeout), (3_000_000, 3_500_000, 8_500_000)),
        ] {
            recording.record(0, outcome, &failure, times);
        }
        let under_way_ns = recording.whole().in_flight_ns();
        assert!((under_way_ns / 10_000_000.0 - 1.0).abs() < 0.002, "{under_way_ns}");
        assert_eq!(Recording::new(1).whole().in_flight_ns(), 0.0);
    }
}
