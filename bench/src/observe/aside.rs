//! A server that is looked at on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use core_affinity::CoreId;
use engine::Nanos;
use engine::driver::thread_cpu_ns;

use super::{ObserveError, keep_off};

/// A connection that only looks. One that is lost is opened again with the next question; one that
/// does not answer is waited for once, and asked nothing until it has: what it would have said is
/// missing, and the load goes on.
pub(crate) struct Aside<T> {
    what: &'static str,
    orders: Sender<Order<T>>,
    asked: u64,
    progress: Arc<Progress>,
    pub(super) patience: Duration,
    pub(crate) gaps: Gaps,
}

/// What came to nothing.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    pub(crate) questions: u64,
    pub(crate) failures: u64,
    /// Why, the first time.
    pub(crate) error: Option<String>,
}

/// A question whose answer is not there yet.
pub(crate) struct Pending<A>(Receiver<Result<A, ObserveError>>);

type Order<T> = Box<dyn FnOnce(&mut Link<T>, &Progress) + Send>;

/// What the thread tells of itself.
#[derive(Default)]
struct Progress {
    answered: AtomicU64,
    cpu_ns: AtomicU64,
}

/// The connection, on its thread.
pub(super) struct Link<T> {
    open: Box<dyn Fn() -> Result<T, ObserveError> + Send>,
    opened: Option<T>,
}

/// A console that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl<T: Send + 'static> Aside<T> {
    /// Takes over a connection to `what`, if there is one; `open` opens another one in its place. The
    /// thread keeps off the cores of `workers`.
    pub(crate) fn start(
        what: &'static str,
        opened: Option<T>,
        open: impl Fn() -> Result<T, ObserveError> + Send + 'static,
        workers: &[CoreId],
    ) -> Self {
        let (orders, ordered) = mpsc::channel::<Order<T>>();
        let progress = Arc::new(Progress::default());
        let (told, workers) = (Arc::clone(&progress), workers.to_vec());
        let mut link = Link { open: Box::new(open), opened };
        // Without a thread there are no answers, and the first question tells so.
        let _ = thread::Builder::new().name("observer".into()).spawn(move || {
            keep_off(&workers);
            for order in ordered {
                order(&mut link, &told);
            }
        });
        Self { what, orders, asked: 0, progress, patience: PATIENCE, gaps: Gaps::default() }
    }

    /// The answer, if it comes in time.
    pub(crate) fn ask<A: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut T) -> Result<A, ObserveError> + Send + 'static,
    ) -> Option<A> {
        let pending = self.begin(question)?;
        self.end(pending)
    }

    /// Asks without waiting; nothing where an earlier answer is still due.
    pub(crate) fn begin<A: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut T) -> Result<A, ObserveError> + Send + 'static,
    ) -> Option<Pending<A>> {
        let answer = self.order(|link| link.ask(question));
        if answer.is_none() {
            self.gaps.count(1, 0);
        }
        answer.map(Pending)
    }

    /// The answer to what was asked, if it comes in time.
    pub(crate) fn end<A>(&mut self, Pending(answer): Pending<A>) -> Option<A> {
        let answer = match answer.recv_timeout(self.patience) {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(self.silence()),
        };
        self.gaps.count(1, u64::from(answer.is_ok()));
        answer.map_err(|error| self.gaps.name(error)).ok()
    }

    /// Has the thread do this, and does not wait; nothing where it is not done with what it was told
    /// before.
    pub(super) fn order<A: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Link<T>) -> A + Send + 'static,
    ) -> Option<Receiver<A>> {
        if self.progress.answered.load(Ordering::Acquire) < self.asked {
            return None;
        }
        let (sender, answer) = mpsc::channel();
        let order: Order<T> = Box::new(move |link, progress| {
            let answer = work(link);
            progress.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
            // Whoever has the answer may ask again.
            progress.answered.fetch_add(1, Ordering::Release);
            // Nobody waits for it any more where this fails.
            let _ = sender.send(answer);
        });
        self.asked += 1;
        // Where the thread has ended, the answer does not come.
        let _ = self.orders.send(order);
        Some(answer)
    }

    pub(super) fn silence(&self) -> String {
        format!("{} did not answer for {:?}", self.what, self.patience)
    }

    /// CPU time of the thread up to its last answer, in ns.
    pub(crate) fn cpu_ns(&self) -> Nanos {
        self.progress.cpu_ns.load(Ordering::Relaxed)
    }
}

impl Gaps {
    /// What is missing, in a sentence, where there is a reason to tell; `looks` says at what.
    pub(crate) fn told(&self, looks: &str) -> Option<String> {
        let Self { questions, failures, error } = self;
        Some(format!("{}: {failures} of {questions} looks {looks} are missing", error.as_ref()?))
    }

    pub(super) fn count(&mut self, questions: u64, answers: u64) {
        self.questions += questions;
        self.failures += questions - answers;
    }

    /// The reason of one of them: the first is kept.
    pub(super) fn name(&mut self, error: String) {
        self.error.get_or_insert(error);
    }
}

impl<T> Link<T> {
    pub(super) fn ask<A>(
        &mut self,
        question: impl FnOnce(&mut T) -> Result<A, ObserveError>,
    ) -> Result<A, ObserveError> {
        let mut opened = self.opened.take().map_or_else(&self.open, Ok)?;
        let answer = question(&mut opened)?;
        self.opened = Some(opened);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> ObserveError {
        ObserveError::Query { what: "the console", place: "here".into(), problem: "lost".into() }
    }

    /// Connections are numbered as they are opened.
    fn aside(workers: &[CoreId]) -> Aside<u64> {
        let opened = AtomicU64::new(1);
        let open = move || Ok(opened.fetch_add(1, Ordering::Relaxed) + 1);
        Aside::start("the console", Some(1), open, workers)
    }

    #[test]
    fn its_thread_keeps_off_the_workers_cores_where_there_are_others() {
        let usable = core_affinity::get_core_ids().unwrap();
        let worker = usable[usable.len() - 1];
        let cores = aside(&[worker]).ask(|_| Ok(core_affinity::get_core_ids().unwrap())).unwrap();
        assert_eq!(cores.contains(&worker), usable.len() == 1, "{cores:?}");
    }

    #[test]
    fn a_connection_that_is_lost_is_a_gap_and_the_next_question_opens_another() {
        let mut aside = aside(&[]);
        let number = |connection: &mut u64| Ok(*connection);
        assert_eq!(aside.ask(number), Some(1));
        assert_eq!(aside.ask(|_| Err::<(), _>(lost())), None);
        assert_eq!((aside.ask(number), aside.ask(number)), (Some(2), Some(2)));
        let Gaps { questions, failures, error } = &aside.gaps;
        assert_eq!((*questions, *failures), (4, 1));
        assert_eq!(error.as_deref(), Some("the console at here: lost"));
        assert!(aside.cpu_ns() > 0);
    }

    #[test]
    fn one_that_stands_still_is_waited_for_once_and_answers_again_when_it_goes_on() {
        let mut aside = aside(&[]);
        aside.patience = Duration::from_millis(10);
        let (go_on, frozen) = mpsc::channel::<()>();
        let (told, is_done) = mpsc::channel();
        let answer = aside.ask(move |_| {
            let _ = frozen.recv();
            told.send(()).map_err(|_| lost())
        });
        assert_eq!(answer, None);
        // It would take as long again; nothing is waited for.
        aside.patience = Duration::MAX;
        assert_eq!(aside.ask(|_| Ok(())), None);
        assert_eq!((aside.gaps.failures, aside.gaps.questions), (2, 2));
        assert_eq!(aside.gaps.error.as_deref(), Some("the console did not answer for 10ms"));
        drop(go_on);
        is_done.recv().unwrap();
        let mut answers = std::iter::from_fn(|| Some(aside.ask(|connection| Ok(*connection))));
        // The answer is counted a moment after it was given.
        assert_eq!(answers.find_map(|answer| answer), Some(1));
    }
}
