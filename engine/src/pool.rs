//! The connections that one worker keeps to one target.

use std::{collections::VecDeque, ops::Range};

use wire::Session;

use crate::{Arrival, ConnectionId, Nanos, Opened};

/// One connection as the worker sees it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) target: usize,
    pub(crate) session: Session,
    pub(crate) state: State,
    /// When the state's time is up, unless it is one without end.
    pub(crate) deadline: Nanos,
    /// When it began to open; of one that is opened for an iteration, when its last step ended.
    pub(crate) step_since: Nanos,
    /// How long the last attempt waited, if the connection has been of no use since: a second at
    /// most.
    pub(crate) backoff_ns: u32,
    /// Since when it has been lost, and not counted as such.
    pub(crate) lost_since: Since,
    /// When a CancelRequest was sent for the request in flight, if one was.
    pub(crate) cancel_sent: Since,
    /// Whether a connection to cancel by is wanted, or open.
    pub(crate) is_being_cancelled: bool,
    pub(crate) flight: Flight,
    /// The phase's stream that used it last, or that its bytes are counted for before it is used.
    pub(crate) stream: Option<u32>,
}

/// An instant that may not have come, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Since(Nanos);

impl Since {
    pub(crate) const NEVER: Self = Self(Nanos::MAX);

    pub(crate) fn get(self) -> Option<Nanos> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// Sets it, if it has not come before.
    pub(crate) fn begin(&mut self, now: Nanos) {
        self.0 = self.0.min(now);
    }

    /// Sets it to `now`, if it has come; gives when that was.
    pub(crate) fn restart(&mut self, now: Nanos) -> Option<Nanos> {
        let since = self.get()?;
        self.0 = now;
        Some(since)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A place for a connection that has never been needed.
    Unopened,
    Down,
    Opening,
    /// Being opened for the iteration in [`Connection::flight`].
    OpeningFor,
    Idle,
    Busy,
    /// A request of a script is in flight; more may follow.
    InScript,
    /// The script sleeps; the connection stays with it.
    Asleep,
    /// Its request was given up. It is kept until the server knows: a cancel that came later than
    /// the end of the connection would cancel nothing, or somebody else's request.
    Cancelling,
    /// Its request has its outcome, and the connection by which it was cancelled is still there.
    Settling,
    /// Closed after its iteration: opened again for the next one.
    Vacant,
    /// Closed, since its client can't go on: nobody has its place until the next phase.
    Retired,
}

impl State {
    /// Whether an iteration is under way on the connection.
    pub(crate) fn has_flight(self) -> bool {
        matches!(self, Self::Busy | Self::InScript | Self::Asleep | Self::OpeningFor)
    }
}

/// The iteration in flight on a connection ([`State::has_flight`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) job: Job,
    pub(crate) operation: u32,
    /// When the request was sent, or when a connection of its own began to open.
    pub(crate) sent: Nanos,
}

/// An arrival on its way to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) arrival: Arrival,
    /// The stream of the phase that it is part of.
    pub(crate) stream: u32,
    /// In a closed loop, which of this worker's virtual users of the stream waits for its end.
    pub(crate) vu: Option<u32>,
    /// Whether it was written to a stale connection before.
    pub(crate) is_resent: bool,
}

impl Connection {
    pub(crate) fn new(target: usize, session: Session) -> Self {
        let arrival = Arrival { number: 0, intended: 0 };
        let job = Job { arrival, stream: 0, vu: None, is_resent: false };
        Self {
            target,
            session,
            state: State::Unopened,
            deadline: 0,
            step_since: 0,
            backoff_ns: 0,
            lost_since: Since::NEVER,
            cancel_sent: Since::NEVER,
            is_being_cancelled: false,
            flight: Flight { job, operation: 0, sent: 0 },
            stream: None,
        }
    }
}

/// One target's connections on this worker.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) members: Range<ConnectionId>,
    /// How many of them are opened before the first phase; the others when they are needed.
    pub(crate) beforehand: u32,
    /// Members that an iteration can have: open ones, and places that are vacant.
    pub(crate) idle: VecDeque<ConnectionId>,
    /// Members that have not been opened for the first time.
    pub(crate) unopened: Range<ConnectionId>,
    /// Members that were opened, or are to be, and can take no request yet.
    pub(crate) unready: u32,
    pub(crate) opened: Opened,
}

impl Pool {
    pub(crate) fn new(members: Range<ConnectionId>, beforehand: u32) -> Self {
        Self {
            idle: VecDeque::with_capacity(members.len()),
            unopened: members.clone(),
            unready: 0,
            members,
            beforehand,
            opened: Opened::default(),
        }
    }

    /// A place for an iteration; one that was never opened only where it is opened anyway.
    pub(crate) fn take_place(&mut self, reconnect: bool) -> Option<ConnectionId> {
        let unopened = || if reconnect { self.unopened.next() } else { None };
        self.idle.pop_front().or_else(unopened)
    }

    /// The member in this place, if an iteration can have it.
    pub(crate) fn take_own(&mut self, place: u32) -> Option<ConnectionId> {
        let id = self.members.start + place;
        let index = self.idle.iter().position(|idle| *idle == id)?;
        self.idle.remove(index)
    }

    /// Whether all that are to be open before the first phase have been.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.connections >= u64::from(self.beforehand)
    }

    /// The next member to be opened before the first phase.
    pub(crate) fn next_beforehand(&mut self) -> Option<ConnectionId> {
        let begun = self.unopened.start - self.members.start;
        if begun < self.beforehand { self.unopened.next() } else { None }
    }
}
