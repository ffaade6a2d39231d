//! Everything that can be seen from outside, looked at once a second while a load runs.
//!
//! Each source is looked at on its own: one that does not answer misses its turns and delays no other,
//! and the run not at all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use engine::Nanos;
use engine::driver::{Clock, thread_cpu_ns};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::ObserverThread;
use super::source::{About, Reading, Source, Subject};

/// Looks on the observers' thread, from [`Observer::open`] to [`Observer::finish`].
pub(crate) struct Observer {
    turns: watch::Sender<Turn>,
    /// It goes on as long as this is there.
    _thread: ObserverThread,
    /// Since when it looks every second, if it does.
    since: Option<Instant>,
    news: Receiver<News>,
    observations: Observations,
    /// What was heard since it was last asked for, with the source's name.
    fresh: Vec<(String, Look)>,
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observations {
    pub(crate) sources: Vec<Observed>,
    /// CPU time of the observers' thread, without the first looks and their logins, in ns.
    pub(crate) cpu_ns: Option<Nanos>,
    /// As long as that was measured, in ns.
    pub(crate) length_ns: Nanos,
    /// How often each source was to be looked at, without the first and the last look.
    pub(crate) due: u64,
}

/// All that was seen of one source.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    /// In the order of time.
    pub(crate) looks: Vec<Look>,
    /// What it says of itself, the last time.
    pub(crate) about: About,
    /// Looks whose answer came after half of the time to the next one: some are in the next second.
    pub(crate) late: u64,
    /// The longest that one took, from when it was due, in ns.
    pub(crate) delay_ns_max: Nanos,
    /// How often it could not be looked at.
    pub(crate) failures: u64,
    /// Why, the first time.
    pub(crate) error: Option<String>,
}

/// What one source showed at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// On the workers' clock.
    pub(crate) at_ns: Nanos,
    pub(crate) reading: Reading,
}

/// How long a look took from when it was due, and whether that was too long.
#[derive(Debug, Clone, Copy, Default)]
struct Delay {
    ns: Nanos,
    is_late: bool,
}

enum News {
    Look {
        source: usize,
        look: Box<Look>,
        about: About,
        delay: Delay,
    },
    Failure {
        source: usize,
        error: String,
    },
    /// All first looks were made, or there is no more waiting for them.
    Begun,
    Ended {
        cpu_ns: Nanos,
        length_ns: Nanos,
    },
}

/// How often each source is looked at while a load goes on.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long after the beginning, which is the load's, they begin: each look is then well within a
/// second of the load, near its end.
const OFFSET: Duration = Duration::from_millis(900);
/// In a short load there are so many looks at each source, this share of its length after its beginning
/// and before its end.
const SHORT_LOOKS: u32 = 2;
const SHORT_OFFSET: f64 = 0.2;
/// The load waits for the first looks no longer.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// The last looks, after the load, are waited for no longer: a server may have stopped for good.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

impl Observer {
    /// As [`Self::open`], and begins at once to look every second.
    pub(crate) fn start(thread: &ObserverThread, sources: Vec<Source>, clock: Clock) -> Self {
        let mut observer = Self::open(thread, sources, clock);
        observer.since = Some(Instant::now());
        observer.look_from(OFFSET, INTERVAL, u32::MAX);
        observer
    }

    /// Looks at every source once, and returns when they were seen or are not going to answer soon.
    pub(crate) fn open(thread: &ObserverThread, sources: Vec<Source>, clock: Clock) -> Self {
        let (turns, turn) = watch::channel(Turn::First);
        let (sender, news) = channel();
        let observed = |source: &Source| Observed::new(&source.name, source.subject());
        let observations =
            Observations { sources: sources.iter().map(observed).collect(), ..Default::default() };
        // Without a thread nothing is seen, and the end of the news says so.
        thread.spawn(move || run(sources, clock, sender, turn));
        let (since, fresh, _thread) = (None, Vec::new(), thread.clone());
        let mut observer = Self { turns, _thread, since, news, observations, fresh };
        while let Ok(news) = observer.news.recv() {
            if matches!(news, News::Begun) {
                break;
            }
            observer.take(news);
        }
        observer
    }

    /// Looks twice in a load that begins now and is over after `length_ns`.
    pub(crate) fn look_within(&mut self, length_ns: Nanos) {
        let length = Duration::from_nanos(length_ns);
        let offset = length.mul_f64(SHORT_OFFSET);
        self.look_from(offset, length - 2 * offset, SHORT_LOOKS);
        self.observations.due += u64::from(SHORT_LOOKS);
    }

    fn look_from(&self, offset: Duration, interval: Duration, count: u32) {
        let first = Instant::now() + offset;
        // Where the thread has ended already, there is nobody to tell.
        let _ = self.turns.send(Turn::Several(Looks { next: Some(first), interval, left: count }));
    }

    /// What was seen since this was last asked, with the source's name.
    pub(crate) fn hear(&mut self) -> Vec<(String, Look)> {
        while let Ok(news) = self.news.try_recv() {
            self.take(news);
        }
        std::mem::take(&mut self.fresh)
    }

    /// Looks once more, ends, and gives all that was seen.
    pub(crate) fn finish(mut self) -> Observations {
        if let Some(since) = self.since {
            self.observations.due = since.elapsed().as_secs() / INTERVAL.as_secs();
        }
        // Where the thread has ended already, there is nobody to stop.
        let _ = self.turns.send(Turn::Last);
        loop {
            match self.news.recv_timeout(2 * LAST_PATIENCE) {
                Ok(news) => self.take(news),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    return self.observations;
                }
            }
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Look { source, look, about, delay } => {
                let observed = &mut self.observations.sources[source];
                observed.looks.push(Look::clone(&look));
                observed.about = about;
                observed.late += u64::from(delay.is_late);
                observed.delay_ns_max = observed.delay_ns_max.max(delay.ns);
                self.fresh.push((observed.name.clone(), *look));
            }
            News::Failure { source, error } => {
                let observed = &mut self.observations.sources[source];
                observed.failures += 1;
                observed.error.get_or_insert(error);
            }
            News::Begun => {}
            News::Ended { cpu_ns, length_ns } => {
                self.observations.cpu_ns = Some(cpu_ns);
                self.observations.length_ns = length_ns;
            }
        }
    }
}

impl Observed {
    pub(crate) fn new(name: &str, subject: Subject) -> Self {
        Self {
            name: name.to_owned(),
            subject,
            looks: Vec::new(),
            about: About::default(),
            late: 0,
            delay_ns_max: 0,
            failures: 0,
            error: None,
        }
    }

    /// How often what is counted there began anew between two looks.
    pub(crate) fn restarts(&self) -> usize {
        let has_begun_anew = |pair: &&[Look]| pair[1].reading.has_begun_anew(&pair[0].reading);
        self.looks.windows(2).filter(has_begun_anew).count()
    }
}

impl Observations {
    /// What every source showed, in no order.
    pub(crate) fn looks(&self) -> impl Iterator<Item = &Look> {
        self.sources.iter().flat_map(|source| &source.looks)
    }

    /// Of the servers, as they say them.
    pub(crate) fn versions(&self) -> BTreeMap<&'static str, String> {
        let versions = self.sources.iter().filter_map(|observed| {
            let server = match observed.subject {
                Subject::Pooler => "pooler",
                Subject::Server => "postgres",
                Subject::Process | Subject::Machine | Subject::Exposition => return None,
            };
            Some((server, observed.about.version.clone()?))
        });
        versions.collect()
    }

    /// The observer's CPU time as a share of one core.
    pub(crate) fn cpu_share(&self) -> Option<f64> {
        Some(self.cpu_ns? as f64 / self.length_ns.max(1) as f64)
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Every source's, once.
    First,
    /// Every source's, several times.
    Several(Looks),
    /// Every source's, once more.
    Last,
}

/// The instants of looks that are to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Looks {
    next: Option<Instant>,
    interval: Duration,
    left: u32,
}

impl Looks {
    /// The next one, if need be at once: whoever is late for one by less than half of the time to the
    /// next still looks. One that was missed is not made up for.
    fn next(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next = self.next?;
        loop {
            self.left = self.left.checked_sub(1)?;
            let at = next;
            next += self.interval;
            self.next = Some(next);
            if at + self.interval / 2 > now {
                return Some(at);
            }
        }
    }
}

/// Looks at all of them, whenever it is their turn.
async fn run(
    sources: Vec<Source>,
    clock: Clock,
    news: Sender<News>,
    mut turns: watch::Receiver<Turn>,
) {
    let count = sources.len();
    let cpu_elsewhere_ns = Rc::new(Cell::new(0));
    let cpu_so_far_ns = || thread_cpu_ns() + cpu_elsewhere_ns.get();
    let (first, mut begun) = mpsc::channel(count.max(1));
    // A login that hangs ends with it.
    let mut tasks = JoinSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        let (news, cpu_elsewhere_ns) = (news.clone(), Rc::clone(&cpu_elsewhere_ns));
        let watched = Watched { number, source, clock, news, cpu_elsewhere_ns };
        tasks.spawn_local(watched.watch(turns.clone(), first.clone()));
    }
    let all = async {
        for _ in 0..count {
            begun.recv().await;
        }
    };
    let _ = timeout(FIRST_PATIENCE, all).await;
    let (cpu_before, start) = (cpu_so_far_ns(), clock.now());
    let _ = news.send(News::Begun);
    // It is sent, or the run has gone.
    let _ = turns.wait_for(|turn| *turn == Turn::Last).await;
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(LAST_PATIENCE, all).await;
    let (cpu_ns, length_ns) = (cpu_so_far_ns() - cpu_before, clock.now() - start);
    let _ = news.send(News::Ended { cpu_ns, length_ns });
}

/// One source, as it is looked at.
struct Watched {
    number: usize,
    source: Source,
    clock: Clock,
    news: Sender<News>,
    /// Of all sources, on other threads than the observer's.
    cpu_elsewhere_ns: Rc<Cell<Nanos>>,
}

impl Watched {
    async fn watch(mut self, mut turns: watch::Receiver<Turn>, first: mpsc::Sender<()>) {
        self.look(None).await;
        let _ = first.try_send(());
        let mut looks = Looks::default();
        loop {
            let next = looks.next();
            let turn = match next {
                Some(next) => timeout_at(next, turns.changed()).await.ok(),
                None => Some(turns.changed().await),
            };
            match turn {
                None => self.look(next.map(|due| (due, looks.interval))).await,
                // The run has gone.
                Some(Err(_)) => return,
                Some(Ok(())) => match *turns.borrow_and_update() {
                    Turn::First => {}
                    Turn::Several(several) => looks = several,
                    Turn::Last => return self.look(None).await,
                },
            }
        }
    }

    /// Looks once; of several looks this was due at an instant, and the next one is an interval later.
    async fn look(&mut self, due: Option<(Instant, Duration)>) {
        let source = self.number;
        let (reading, cpu_ns) = self.source.look().await;
        let delay = due.map_or(Delay::default(), |(due, interval)| {
            let delay = due.elapsed();
            Delay { ns: delay.as_nanos() as Nanos, is_late: delay > interval / 2 }
        });
        self.cpu_elsewhere_ns.set(self.cpu_elsewhere_ns.get() + cpu_ns);
        let news = match reading {
            Ok(reading) => News::Look {
                source,
                look: Box::new(Look { at_ns: self.clock.now(), reading }),
                about: self.source.about(),
                delay,
            },
            Err(error) => News::Failure { source, error: error.to_string() },
        };
        // Nobody waits for it any more where this fails.
        let _ = self.news.send(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_a_little_late_looks_at_once_and_a_turn_that_has_passed_is_left_out() {
        let interval = Duration::from_secs(60);
        let next = |late: Duration| {
            let due = Instant::now() - late;
            let mut looks = Looks { next: Some(due), interval, left: 2 };
            let turns = [looks.next(), looks.next()];
            turns.map(|turn| turn.map(|turn| turn - due))
        };
        assert_eq!(next(interval / 4), [Some(Duration::ZERO), Some(interval)]);
        assert_eq!(next(interval * 3 / 4), [Some(interval), None]);
    }
}
