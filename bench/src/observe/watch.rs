//! Looks at a steady pace while a load runs.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Aside, ObserveError};

/// Looks until it is ended. One that fails, or is not answered before the next is due, is a gap.
pub(crate) struct Watch<A> {
    started: Instant,
    every: Duration,
    end: oneshot::Sender<()>,
    looks: Receiver<Look<A>>,
    ended: Receiver<()>,
}

struct Look<A> {
    answer: Result<A, ObserveError>,
    took: Duration,
}

impl<T: 'static> Aside<T> {
    /// Looks from now on, for the first time after half of `every`; nothing where an earlier answer
    /// is still due.
    pub(crate) fn watch<A: Send + 'static>(
        &mut self,
        every: Duration,
        mut look: impl AsyncFnMut(&mut T) -> Result<A, ObserveError> + Send + 'static,
    ) -> Option<Watch<A>> {
        let (end, mut is_to_end) = oneshot::channel();
        let (seen, looks) = mpsc::channel();
        let started = Instant::now();
        let ended = self.order(async move |link| {
            while timeout(until_next(started.elapsed(), every), &mut is_to_end).await.is_err() {
                let asked = Instant::now();
                let answer = link.ask(&mut look).await;
                // Nobody wants to know any more where this fails.
                let _ = seen.send(Look { answer, took: asked.elapsed() });
            }
        });
        if ended.is_none() {
            self.gaps.count(1, 0);
        }
        Some(Watch { started, every, end, looks, ended: ended? })
    }

    /// Ends it: what was seen.
    pub(crate) fn seen<A>(&mut self, watch: Watch<A>) -> Vec<A> {
        let Watch { started, every, end, looks, ended } = watch;
        let due = started.elapsed().as_nanos() / every.as_nanos();
        // A thread that has ended shows in what it does not answer.
        let _ = end.send(());
        let is_silent = ended.recv_timeout(self.patience).is_err();
        let mut asked = u64::from(is_silent);
        let mut was_silent = is_silent;
        let mut seen = Vec::new();
        for Look { answer, took } in looks.try_iter() {
            asked += 1;
            was_silent |= took >= self.patience;
            match answer {
                Ok(answer) => seen.push(answer),
                Err(error) => self.gaps.name(error.to_string()),
            }
        }
        if was_silent {
            self.gaps.name(self.silence());
        }
        self.gaps.count(asked.max(due as u64), seen.len() as u64);
        seen
    }
}

/// Turns come half of `every` after each of its multiples; one that has passed is left out.
fn until_next(elapsed: Duration, every: Duration) -> Duration {
    let (elapsed, every) = (elapsed.as_nanos() as u64, every.as_nanos() as u64);
    let next = (elapsed + every / 2) / every * every + every / 2;
    Duration::from_nanos(next - elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Gaps, ObserverThread};

    const EVERY: Duration = Duration::from_millis(2);

    /// Connections are numbered as they are opened.
    fn aside() -> Aside<u64> {
        let opened = std::sync::atomic::AtomicU64::new(0);
        let open = move || {
            let number = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            async move { Ok(number) }
        };
        Aside::start(&ObserverThread::start(&[]), "the console", open)
    }

    #[test]
    fn turns_are_evenly_spaced_and_those_that_passed_are_left_out() {
        let wait = |ms| {
            let every = Duration::from_millis(100);
            until_next(Duration::from_millis(ms), every).as_millis()
        };
        assert_eq!([0, 30, 51, 149, 320].map(wait), [50, 20, 99, 1, 30]);
    }

    #[test]
    fn a_look_that_fails_is_a_gap_and_the_next_has_another_connection() {
        let mut aside = aside();
        let (told, looked) = mpsc::channel();
        let mut number = 0;
        let watch = aside.watch(EVERY, async move |connection: &mut u64| {
            number += 1;
            let _ = told.send(());
            match number {
                2 => Err(ObserveError::NoMachine),
                number => Ok((number, *connection)),
            }
        });
        looked.iter().take(4).for_each(drop);
        let seen = aside.seen(watch.unwrap());
        assert_eq!(seen[..3], [(1, 1), (3, 2), (4, 2)]);
        let Gaps { questions, failures, error } = &aside.gaps;
        assert_eq!((questions - failures, *failures >= 1), (seen.len() as u64, true));
        assert_eq!(error.as_deref(), Some("/proc/stat can't be read"));
        assert_eq!(aside.ask(async |number| Ok(*number)), Some(2), "it can be asked again");
    }

    #[test]
    fn what_was_seen_before_it_stood_still_is_kept_and_it_is_waited_for_once() {
        let mut aside = aside();
        aside.patience = Duration::from_millis(10);
        let (go_on, frozen) = oneshot::channel::<()>();
        let mut frozen = Some(frozen);
        let (told, stands_still) = mpsc::channel();
        let mut number = 0;
        let watch = aside.watch(EVERY, async move |_: &mut u64| {
            number += 1;
            if number == 3 {
                let _ = told.send(());
                let _ = frozen.take().expect("this once").await;
            }
            Ok(number)
        });
        stands_still.recv().unwrap();
        assert_eq!(aside.seen(watch.unwrap()), [1, 2]);
        assert_eq!(aside.gaps.error.as_deref(), Some("the console did not answer for 10ms"));
        // It would take as long again; nothing is waited for.
        aside.patience = Duration::MAX;
        let failures = aside.gaps.failures;
        assert!(failures >= 1 && aside.watch(EVERY, async |_: &mut u64| Ok(())).is_none());
        assert_eq!(aside.gaps.failures, failures + 1);
        drop(go_on);
        let mut answers = std::iter::from_fn(|| Some(aside.ask(async |number| Ok(*number))));
        assert_eq!(answers.find_map(|answer| answer), Some(1));
    }

    #[test]
    fn one_that_stood_still_and_went_on_is_looked_at_again() {
        let mut aside = aside();
        aside.patience = Duration::from_millis(10);
        let (told, looked) = mpsc::channel();
        let mut number = 0;
        let watch = aside.watch(EVERY, async move |_: &mut u64| {
            number += 1;
            if number == 2 {
                // Longer than it is waited for.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _ = told.send(());
            Ok(number)
        });
        looked.iter().take(3).for_each(drop);
        let watch = watch.unwrap();
        let turns = watch.started.elapsed().as_nanos() / EVERY.as_nanos();
        let seen = aside.seen(watch);
        assert_eq!(seen[..3], [1, 2, 3]);
        assert!(aside.gaps.questions >= turns as u64 && aside.gaps.failures > 0);
        assert_eq!(aside.gaps.error.as_deref(), Some("the console did not answer for 10ms"));
    }
}
