//! Virtual time and a scripted peer: whole phases in milliseconds, the same every time.

use std::{cmp::Reverse, collections::BinaryHeap};

use socket2::SockAddr;

use crate::{ConnectionId, Nanos, Transport, Worker};

/// What the scripted peer does, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The connection is up.
    Connected,
    /// The connection was refused.
    Refused,
    /// These bytes reach the client.
    Bytes(Vec<u8>),
    /// The peer closed.
    Closed,
}

/// A scripted peer.
pub trait Peer {
    /// A client connects: at what time is it told what?
    fn connect(&mut self, id: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)>;
    /// Bytes come from a client: at what times is it told what? Times may not be in the past.
    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)>;
}

/// A turn that makes no progress in time, this many times in a row, is a livelock.
const TURNS_WITHOUT_PROGRESS_MAX: u32 = 100_000;

/// The driver: an ordered queue of what will happen.
pub struct Sim<P> {
    /// The peer, to look at afterwards.
    pub peer: P,
    now: Nanos,
    queue: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
    generations: Vec<u64>,
}

/// Ordered by time, and at the same time by when it was scheduled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Nanos,
    order: u64,
    id: ConnectionId,
    generation: u64,
    event: Event,
}

impl<P: Peer> Sim<P> {
    /// A driver at time 0 for the connections of `worker`.
    pub fn new(worker: &Worker, peer: P) -> Self {
        let generations = vec![0; worker.connections()];
        Self { peer, now: 0, queue: BinaryHeap::new(), scheduled: 0, generations }
    }

    /// The virtual time.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Opens all connections; runs until each target is open or one was refused.
    pub fn open(&mut self, worker: &mut Worker) {
        worker.open(self.now, self);
        self.run(worker, |worker, _| worker.opened().is_some() || worker.refusal().is_some());
    }

    /// Runs until `is_over`, in jumps from event to event. Panics on a livelock.
    pub fn run(&mut self, worker: &mut Worker, mut is_over: impl FnMut(&Worker, Nanos) -> bool) {
        let mut turns = 0;
        loop {
            worker.poll(self.now, self);
            if is_over(worker, self.now) {
                return;
            }
            let event = self.queue.peek().map_or(Nanos::MAX, |Reverse(due)| due.at);
            let next = event.min(worker.deadline());
            assert_ne!(next, Nanos::MAX, "nothing will ever happen");
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < TURNS_WITHOUT_PROGRESS_MAX, "livelock at {} ns", self.now);
            self.now = self.now.max(next);
            while self.queue.peek().is_some_and(|Reverse(due)| due.at <= self.now) {
                let Some(Reverse(due)) = self.queue.pop() else { break };
                if due.generation == self.generations[due.id as usize] {
                    self.deliver(worker, due.id, &due.event);
                }
            }
        }
    }

    fn deliver(&mut self, worker: &mut Worker, id: ConnectionId, event: &Event) {
        match event {
            Event::Connected => worker.connected(id, self.now, self),
            Event::Refused => worker.connect_failed(id, "connection refused", self.now, self),
            Event::Bytes(bytes) => worker.received(id, bytes, self.now, self),
            Event::Closed => worker.closed(id, self.now, self),
        }
    }

    fn schedule(&mut self, id: ConnectionId, events: Vec<(Nanos, Event)>) {
        for (at, event) in events {
            assert!(at >= self.now, "the peer's reply lies in the past");
            let generation = self.generations[id as usize];
            self.queue.push(Reverse(Due { at, order: self.scheduled, id, generation, event }));
            self.scheduled += 1;
        }
    }
}

impl<P: Peer> Transport for Sim<P> {
    fn connect(&mut self, id: ConnectionId, _: &SockAddr) {
        self.generations[id as usize] += 1;
        let events = self.peer.connect(id, self.now);
        self.schedule(id, events);
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        let events = self.peer.receive(id, self.now, bytes);
        self.schedule(id, events);
    }

    fn end(&mut self, id: ConnectionId, last_words: &[u8]) {
        if !last_words.is_empty() {
            // Nobody hears what the peer says to that.
            self.peer.receive(id, self.now, last_words);
        }
        self.generations[id as usize] += 1;
    }
}
