//! The pooler's connections, looked at while a block runs.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::observe::{ObserveError, Poolers, Pools};

/// Looks at a pooler's processes every few milliseconds from [`Watcher::begin`] to [`Watcher::end`], on a thread
/// and console connections of its own.
pub(super) struct Watcher {
    orders: Sender<Order>,
    seen: Receiver<Result<Vec<Pools>, ObserveError>>,
}

#[derive(PartialEq, Eq)]
enum Order {
    Begin,
    End,
}

/// A look costs PgBouncer 50 us or so: a quarter of a percent of its time.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);
/// A console that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl Watcher {
    /// Takes over the connections.
    pub(super) fn start(mut poolers: Poolers) -> Self {
        let (orders, ordered) = mpsc::channel();
        let (sender, seen) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(order) = ordered.recv() {
                // An end without a beginning has nothing to tell.
                let Order::Begin = order else { continue };
                if sender.send(watch(&mut poolers, &ordered)).is_err() {
                    return;
                }
            }
        });
        Self { orders, seen }
    }

    pub(super) fn begin(&self) {
        // A thread that has ended shows at the end.
        let _ = self.orders.send(Order::Begin);
    }

    /// What was seen since [`Watcher::begin`], or why nothing was.
    pub(super) fn end(&self) -> Result<Vec<Pools>, String> {
        let _ = self.orders.send(Order::End);
        match self.seen.recv_timeout(PATIENCE) {
            Ok(seen) => seen.map_err(|error| error.to_string()),
            Err(_) => Err("the pooler's console stopped answering".into()),
        }
    }
}

fn watch(poolers: &mut Poolers, orders: &Receiver<Order>) -> Result<Vec<Pools>, ObserveError> {
    let mut seen = Vec::new();
    let started = Instant::now();
    for number in 1.. {
        // The block begins a moment after the order does.
        let wait = (INTERVAL * number).saturating_sub(started.elapsed());
        if orders.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        seen.push(poolers.pools()?);
    }
    Ok(seen)
}
