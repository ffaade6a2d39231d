//! pgbench's log of transactions: one line each, or one for an interval (manual page of pgbench,
//! "Per-Transaction Logging", "Aggregated Logging").

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::pgbench::{Sample, Xoroshiro};
use engine::{Nanos, SECOND};
use wire::{Class, Outcome};

/// What is logged, and where.
#[derive(Clone, Debug)]
pub(crate) struct LogPlan {
    /// What the file's name begins with; the process's number follows.
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

/// The log of a run.
#[derive(Debug)]
pub(super) struct Log {
    plan: LogPlan,
    columns: Columns,
    out: BufWriter<File>,
    path: PathBuf,
    /// The run's clock plus this is the time since 1970, in ns.
    epoch_ns: Nanos,
    random: Xoroshiro,
    aggregate: Aggregate,
}

/// An interval's transactions. Times in us, as pgbench has them.
#[derive(Clone, Copy, Debug, Default)]
struct Aggregate {
    start_ns: Nanos,
    count: u64,
    latency: Moments,
    lag: Moments,
    retried: u64,
    retries: u64,
    serialization: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    sum: u64,
    sum_of_squares: u128,
    least: u64,
    most: u64,
}

impl Moments {
    fn add(&mut self, value: u64, is_first: bool) {
        self.sum += value;
        self.sum_of_squares += u128::from(value).pow(2);
        self.least = if is_first { value } else { self.least.min(value) };
        self.most = self.most.max(value);
    }
}

impl std::fmt::Display for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.sum, self.sum_of_squares, self.least, self.most)
    }
}

impl Log {
    /// Makes the file. `clock_ns` is the run's clock now.
    pub(super) fn create(
        plan: &LogPlan,
        columns: Columns,
        seed: u64,
        clock_ns: Nanos,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let path = PathBuf::from(format!("{}.{}", plan.prefix, std::process::id()));
        let file = File::create(&path).map_err(|error| (path.clone(), error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            plan: plan.clone(),
            columns,
            out: BufWriter::new(file),
            path,
            epoch_ns: (now.as_nanos() as Nanos).saturating_sub(clock_ns),
            random: Xoroshiro::new(seed),
            aggregate: Aggregate::default(),
        })
    }

    /// Takes transactions, in the order in which they ended.
    pub(super) fn add(&mut self, samples: &[Sample]) -> Result<(), (PathBuf, io::Error)> {
        let mut samples = samples.to_vec();
        samples.sort_by_key(|sample| sample.done);
        let written = samples.iter().try_for_each(|sample| match self.plan.aggregate_ns {
            Some(length_ns) => self.aggregate(sample, length_ns),
            None => self.line(sample),
        });
        written.map_err(|error| (self.path.clone(), error))
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(), (PathBuf, io::Error)> {
        let written = match self.plan.aggregate_ns {
            Some(_) if self.aggregate.count > 0 => self.flush(),
            _ => Ok(()),
        };
        written.and_then(|()| self.out.flush()).map_err(|error| (self.path, error))
    }

    fn line(&mut self, sample: &Sample) -> io::Result<()> {
        if self.plan.sampling < 1.0 && self.random.unit() > self.plan.sampling {
            return Ok(());
        }
        let latency = match sample.outcome {
            Outcome::Ok => microseconds(sample.intended, sample.done).to_string(),
            Outcome::Failed(Class::Retryable) if self.columns.has_details => "serialization".into(),
            Outcome::Failed(_) => "failed".into(),
        };
        let at_ns = self.epoch_ns + sample.done;
        write!(
            self.out,
            "{} {} {latency} {} {} {}",
            sample.client,
            sample.number,
            sample.script,
            at_ns / SECOND,
            at_ns % SECOND / 1000
        )?;
        if self.columns.has_lag {
            write!(self.out, " {}", microseconds(sample.intended, sample.sent))?;
        }
        if self.columns.has_retries {
            write!(self.out, " {}", sample.retries)?;
        }
        writeln!(self.out)
    }

    fn aggregate(&mut self, sample: &Sample, length_ns: Nanos) -> io::Result<()> {
        if self.aggregate.start_ns == 0 {
            self.aggregate.start_ns = sample.done;
        }
        while sample.done >= self.aggregate.start_ns + length_ns {
            let next = self.aggregate.start_ns + length_ns;
            self.flush()?;
            self.aggregate = Aggregate { start_ns: next, ..Aggregate::default() };
        }
        let own = &mut self.aggregate;
        let is_first = own.count == 0;
        own.count += 1;
        own.retried += u64::from(sample.retries > 0);
        own.retries += u64::from(sample.retries);
        own.lag.add(microseconds(sample.intended, sample.sent), is_first);
        match sample.outcome {
            Outcome::Ok => own.latency.add(microseconds(sample.intended, sample.done), is_first),
            Outcome::Failed(class) => own.serialization += u64::from(class == Class::Retryable),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let own = &self.aggregate;
        let start = (self.epoch_ns + own.start_ns) / SECOND;
        write!(self.out, "{start} {} {}", own.count, own.latency)?;
        if self.columns.has_lag {
            write!(self.out, " {}", own.lag)?;
        }
        if self.columns.has_retries {
            write!(self.out, " {} {}", own.retried, own.retries)?;
        }
        if self.columns.has_details {
            write!(self.out, " {}", own.serialization)?;
        }
        writeln!(self.out)
    }
}

fn microseconds(from: Nanos, to: Nanos) -> u64 {
    to.saturating_sub(from) / 1000
}
