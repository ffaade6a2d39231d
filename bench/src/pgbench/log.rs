//! pgbench's log of transactions: one line each, or one for an interval (manual page of pgbench,
//! "Per-Transaction Logging", "Aggregated Logging"). Each thread has a file of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::pgbench::{Conflict, Sample, Seeds, Xoroshiro};
use engine::{Nanos, SECOND};
use wire::Outcome;

/// What is logged, and where.
#[derive(Clone, Debug)]
pub(crate) struct LogPlan {
    /// What the files' names begin with.
    pub(crate) prefix: String,
    /// Which part of the transactions, in (0, 1].
    pub(crate) sampling: f64,
    /// One line for so long, in ns, instead of one for each transaction.
    pub(crate) aggregate_ns: Option<Nanos>,
}

/// What else the lines tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// How long after it was due a transaction began.
    pub(super) has_lag: bool,
    /// How often it was tried again.
    pub(super) has_retries: bool,
    /// Which failures are told apart.
    pub(super) has_details: bool,
}

/// Transactions that were left out, since they were late: all are sent.
const SKIPPED: u64 = 0;

/// The log of a run.
#[derive(Debug)]
pub(super) struct Log {
    plan: LogPlan,
    columns: Columns,
    /// By thread.
    files: Vec<LogFile>,
    /// The run's clock plus this is the time since 1970, in ns.
    epoch_ns: Nanos,
}

/// What one thread's clients did.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    out: BufWriter<File>,
    random: Xoroshiro,
    aggregate: Aggregate,
}

/// An interval's transactions. Times in us, as pgbench has them.
#[derive(Clone, Copy, Debug, Default)]
struct Aggregate {
    start_ns: Nanos,
    latency: Moments,
    lag: Moments,
    retried: u64,
    retries: u64,
    serialization_failures: u64,
    deadlock_failures: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u64,
    sum: u64,
    sum_of_squares: u128,
    least: u64,
    most: u64,
}

impl Moments {
    fn add(&mut self, value: u64) {
        self.sum += value;
        self.sum_of_squares += u128::from(value).pow(2);
        self.least = if self.count == 0 { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.count += 1;
    }
}

impl std::fmt::Display for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.sum, self.sum_of_squares, self.least, self.most)
    }
}

impl Log {
    /// Makes the files: PREFIX.PID for the first thread, PREFIX.PID.THREAD for the others; a target's
    /// name, if there are several, stands behind the prefix. `clock_ns` is the run's clock now.
    pub(super) fn create(
        plan: &LogPlan,
        columns: Columns,
        target: Option<&str>,
        (seeds, threads): (&Seeds, usize),
        clock_ns: Nanos,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut base = plan.prefix.clone();
        for part in target.map(str::to_owned).into_iter().chain([std::process::id().to_string()]) {
            base += &format!(".{part}");
        }
        let file = |thread: usize| {
            let name = if thread == 0 { base.clone() } else { format!("{base}.{thread}") };
            let path = PathBuf::from(name);
            let out = File::create(&path).map_err(|error| (path.clone(), error))?;
            let [_, _, sampling] = seeds.thread(thread);
            let aggregate = Aggregate { start_ns: clock_ns, ..Aggregate::default() };
            let (out, random) = (BufWriter::new(out), Xoroshiro::new(sampling));
            Ok(LogFile { path, out, random, aggregate })
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            plan: plan.clone(),
            columns,
            files: (0..threads).map(file).collect::<Result<_, _>>()?,
            epoch_ns: (now.as_nanos() as Nanos).saturating_sub(clock_ns),
        })
    }

    /// Takes transactions, each interval's in the order in which they ended.
    pub(super) fn add(&mut self, samples: &[Sample]) -> Result<(), (PathBuf, io::Error)> {
        let mut samples = samples.to_vec();
        samples.sort_by_key(|sample| sample.done);
        let (columns, epoch_ns, threads) = (self.columns, self.epoch_ns, self.files.len());
        for sample in &samples {
            // Clients are dealt out to the threads in turn.
            let file = &mut self.files[sample.client as usize % threads];
            let written = match self.plan.aggregate_ns {
                Some(length_ns) => {
                    let written = file.pass(sample.done, length_ns, columns, epoch_ns);
                    file.aggregate.add(sample);
                    written
                }
                None if file.leaves_out(self.plan.sampling) => Ok(()),
                None => file.line(sample, columns, epoch_ns),
            };
            written.map_err(|error| (file.path.clone(), error))?;
        }
        Ok(())
    }

    /// Writes what is left; `clock_ns` is the run's clock at its end. Of an interval that was not
    /// over, too.
    pub(super) fn finish(self, clock_ns: Nanos) -> Result<(), (PathBuf, io::Error)> {
        let Self { columns, epoch_ns, .. } = self;
        for mut file in self.files {
            let written = match self.plan.aggregate_ns {
                Some(length_ns) => file
                    .pass(clock_ns, length_ns, columns, epoch_ns)
                    .and_then(|()| file.aggregate.line(&mut file.out, columns, epoch_ns)),
                None => Ok(()),
            };
            written.and_then(|()| file.out.flush()).map_err(|error| (file.path, error))?;
        }
        Ok(())
    }
}

impl LogFile {
    /// Whether sampling leaves the next transaction out.
    fn leaves_out(&mut self, sampling: f64) -> bool {
        sampling < 1.0 && self.random.unit() > sampling
    }

    fn line(&mut self, sample: &Sample, columns: Columns, epoch_ns: Nanos) -> io::Result<()> {
        let latency = match (sample.outcome, sample.conflict.filter(|_| columns.has_details)) {
            (Outcome::Ok, _) => microseconds(sample.intended, sample.done).to_string(),
            (_, Some(Conflict::Serialization)) => "serialization".into(),
            (_, Some(Conflict::Deadlock)) => "deadlock".into(),
            (Outcome::Failed(_), None) => "failed".into(),
        };
        let Sample { client, script, .. } = sample;
        // pgbench counts from 1 on.
        let number = sample.number + 1;
        let at_ns = epoch_ns + sample.done;
        let (seconds, us) = (at_ns / SECOND, at_ns % SECOND / 1000);
        write!(self.out, "{client} {number} {latency} {script} {seconds} {us}")?;
        if columns.has_lag {
            write!(self.out, " {}", microseconds(sample.intended, sample.sent))?;
        }
        if columns.has_retries {
            write!(self.out, " {}", sample.retries)?;
        }
        writeln!(self.out)
    }

    /// Writes the intervals that were over at `now_ns`, those without a transaction too.
    fn pass(
        &mut self,
        now_ns: Nanos,
        length_ns: Nanos,
        columns: Columns,
        epoch_ns: Nanos,
    ) -> io::Result<()> {
        while now_ns >= self.aggregate.start_ns + length_ns {
            self.aggregate.line(&mut self.out, columns, epoch_ns)?;
            let start_ns = self.aggregate.start_ns + length_ns;
            self.aggregate = Aggregate { start_ns, ..Aggregate::default() };
        }
        Ok(())
    }
}

impl Aggregate {
    /// All columns, each time: what was not asked for is 0.
    fn line(&self, out: &mut impl io::Write, columns: Columns, epoch_ns: Nanos) -> io::Result<()> {
        let asked = |is_asked: bool, count: u64| if is_asked { count } else { 0 };
        let lag = if columns.has_lag { self.lag } else { Moments::default() };
        writeln!(
            out,
            "{} {} {} {lag} {SKIPPED} {} {} {} {}",
            (epoch_ns + self.start_ns) / SECOND,
            self.latency.count,
            self.latency,
            asked(columns.has_retries, self.retried),
            asked(columns.has_retries, self.retries),
            asked(columns.has_details, self.serialization_failures),
            asked(columns.has_details, self.deadlock_failures),
        )
    }

    fn add(&mut self, sample: &Sample) {
        self.retried += u64::from(sample.retries > 0);
        self.retries += u64::from(sample.retries);
        self.serialization_failures += u64::from(sample.conflict == Some(Conflict::Serialization));
        self.deadlock_failures += u64::from(sample.conflict == Some(Conflict::Deadlock));
        if sample.outcome.is_ok() {
            self.latency.add(microseconds(sample.intended, sample.done));
            self.lag.add(microseconds(sample.intended, sample.sent));
        }
    }
}

fn microseconds(from: Nanos, to: Nanos) -> u64 {
    to.saturating_sub(from) / 1000
}

#[cfg(test)]
mod tests {
    use engine::MILLISECOND;
    use wire::Class;

    use super::super::workload::{Source, compile};
    use super::*;

    const ALL: Columns = Columns { has_lag: true, has_retries: true, has_details: true };
    const FEW: Columns = Columns { has_lag: false, has_retries: false, has_details: false };

    /// A transaction of 1.5 ms that was due 0.5 ms before it began.
    fn sample(client: u32, number: u64, done_ms: u64) -> Sample {
        Sample {
            client,
            number,
            script: 1,
            outcome: Outcome::Ok,
            conflict: None,
            intended: done_ms * MILLISECOND - 2_000_000,
            sent: done_ms * MILLISECOND - 1_500_000,
            done: done_ms * MILLISECOND,
            retries: 0,
        }
    }

    fn failed(class: Class, conflict: Option<Conflict>, sample: Sample) -> Sample {
        Sample { outcome: Outcome::Failed(class), conflict, retries: 2, ..sample }
    }

    fn samples() -> Vec<Sample> {
        let (retryable, serialization) = (Class::Retryable, Some(Conflict::Serialization));
        vec![
            sample(0, 0, 1200),
            sample(1, 0, 1100),
            failed(retryable, serialization, sample(2, 7, 1900)),
            failed(retryable, Some(Conflict::Deadlock), sample(0, 1, 3500)),
            failed(Class::Sql, None, sample(0, 2, 3501)),
            sample(2, 8, 3600),
        ]
    }

    fn seeds() -> Seeds {
        let scripts = Source::new("one".into(), "SELECT 1;".into(), 1);
        let compiled = compile(&[scripts], wire::postgres::Protocol::Simple, &[], 3);
        Seeds::new(&compiled.unwrap().workload, 1, 3)
    }

    /// The files of two threads from 1 s to 4 s after 1970.
    fn files(columns: Columns, aggregate_ns: Option<Nanos>) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("log").display().to_string();
        let plan = LogPlan { prefix, sampling: 1.0, aggregate_ns };
        let seeds = seeds();
        let mut log = Log::create(&plan, columns, Some("pooler"), (&seeds, 2), SECOND).unwrap();
        log.epoch_ns = 0;
        log.add(&samples()).unwrap();
        log.finish(4 * SECOND).unwrap();
        let base = format!("log.pooler.{}", std::process::id());
        ["", ".1"].map(|thread| {
            std::fs::read_to_string(folder.path().join(format!("{base}{thread}"))).unwrap()
        })
    }

    #[test]
    fn a_line_for_each_transaction_in_the_file_of_its_thread() {
        insta::assert_snapshot!(files(FEW, None).join("-\n"), @r"
        0 1 2000 1 1 200000
        2 8 failed 1 1 900000
        0 2 failed 1 3 500000
        0 3 failed 1 3 501000
        2 9 2000 1 3 600000
        -
        1 1 2000 1 1 100000
        ");
        insta::assert_snapshot!(files(ALL, None).join("-\n"), @r"
        0 1 2000 1 1 200000 500 0
        2 8 serialization 1 1 900000 500 2
        0 2 deadlock 1 3 500000 500 2
        0 3 failed 1 3 501000 500 2
        2 9 2000 1 3 600000 500 0
        -
        1 1 2000 1 1 100000 500 0
        ");
    }

    #[test]
    fn a_line_for_each_interval_with_all_columns() {
        insta::assert_snapshot!(files(FEW, Some(SECOND)).join("-\n"), @r"
        1 1 2000 4000000 2000 2000 0 0 0 0 0 0 0 0 0
        2 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        3 1 2000 4000000 2000 2000 0 0 0 0 0 0 0 0 0
        4 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        -
        1 1 2000 4000000 2000 2000 0 0 0 0 0 0 0 0 0
        2 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        3 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        4 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        ");
        insta::assert_snapshot!(files(ALL, Some(SECOND)).join("-\n"), @r"
        1 1 2000 4000000 2000 2000 500 250000 500 500 0 1 2 1 0
        2 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        3 1 2000 4000000 2000 2000 500 250000 500 500 0 2 4 0 1
        4 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        -
        1 1 2000 4000000 2000 2000 500 250000 500 500 0 0 0 0 0
        2 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        3 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        4 0 0 0 0 0 0 0 0 0 0 0 0 0 0
        ");
    }
}
