//! The one thread that looks at everything.

use std::sync::mpsc::channel;
use std::thread;

use core_affinity::CoreId;
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

/// What looks at servers, processes and the machine while a load runs does it here, all at once: who
/// waits for an answer delays nobody. It ends when nobody holds it any more.
#[derive(Clone)]
pub(crate) struct ObserverThread {
    jobs: UnboundedSender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl ObserverThread {
    /// It keeps off the cores of `workers`.
    pub(crate) fn start(workers: &[CoreId]) -> Self {
        let (jobs, mut ordered) = unbounded_channel::<Job>();
        let workers = workers.to_vec();
        // Without a thread nothing is seen, and whoever wants to know is told so.
        let _ = thread::Builder::new().name("observer".into()).spawn(move || {
            keep_off(&workers);
            let runtime = Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            LocalSet::new().block_on(&runtime, async {
                while let Some(job) = ordered.recv().await {
                    job();
                }
            });
            // A name that is looked up for ever is left behind.
            runtime.shutdown_background();
        });
        Self { jobs }
    }

    /// Has this go on there beside everything else.
    pub(super) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        task: impl FnOnce() -> F + Send + 'static,
    ) {
        self.send(move || drop(spawn_local(task())));
    }

    /// Does there what waits for nothing; `None` where there is no such thread.
    pub(crate) fn run<A: Send + 'static>(
        &self,
        work: impl FnOnce() -> A + Send + 'static,
    ) -> Option<A> {
        let (sender, result) = channel();
        // Whoever asked waits for it.
        self.send(move || drop(sender.send(work())));
        result.recv().ok()
    }

    fn send(&self, job: impl FnOnce() + Send + 'static) {
        // Where the thread has ended, whoever waits for its answer learns that.
        let _ = self.jobs.send(Box::new(job));
    }
}

/// Has this thread run on the other cores, where there are some.
fn keep_off(workers: &[CoreId]) {
    let Ok(mut cores) = sched_getaffinity(None) else { return };
    workers.iter().for_each(|worker| cores.unset(worker.id));
    if cores.count() > 0 {
        // Where it may not, it runs anywhere.
        let _ = sched_setaffinity(None, &cores);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[test]
    fn it_keeps_off_the_workers_cores_where_there_are_others() {
        let usable = core_affinity::get_core_ids().unwrap();
        let worker = usable[usable.len() - 1];
        let thread = ObserverThread::start(&[worker]);
        let cores = thread.run(|| core_affinity::get_core_ids().unwrap()).unwrap();
        assert_eq!(cores.contains(&worker), usable.len() == 1, "{cores:?}");
    }

    #[test]
    fn what_waits_for_ever_delays_nobody_and_ends_with_it() {
        /// Tells that it is dropped, by closing the channel.
        struct Waits(#[expect(dead_code, reason = "dropped")] std::sync::mpsc::Sender<()>);
        let (sender, ended) = channel();
        let thread = ObserverThread::start(&[]);
        let waits = Waits(sender);
        thread.spawn(move || async move {
            let _waits = waits;
            pending().await
        });
        assert_eq!(thread.run(|| 7), Some(7));
        drop(thread);
        assert!(ended.recv().is_err());
    }
}
