//! The connections that one worker keeps open to one target.

use std::{collections::VecDeque, ops::Range};

use wire::Session;

use crate::{Arrival, ConnectionId, Nanos, phase::Opened};

/// One connection as the worker sees it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) target: usize,
    pub(crate) session: Session,
    pub(crate) state: State,
    /// When the state's time is up, if it is [`State::Opening`] or [`State::Busy`].
    pub(crate) deadline: Nanos,
    pub(crate) opening_since: Nanos,
    pub(crate) backoff_ns: Nanos,
    pub(crate) flight: Flight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Down,
    Opening,
    Idle,
    Busy,
}

/// The request in flight on a [`State::Busy`] connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) job: Job,
    pub(crate) operation: usize,
    pub(crate) sent: Nanos,
}

/// An arrival on its way to a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) arrival: Arrival,
    /// Whether it was written to a stale connection before.
    pub(crate) is_resent: bool,
}

impl Connection {
    pub(crate) fn new(target: usize, session: Session) -> Self {
        let arrival = Arrival { number: 0, intended: 0 };
        Self {
            target,
            session,
            state: State::Down,
            deadline: 0,
            opening_since: 0,
            backoff_ns: 0,
            flight: Flight { job: Job { arrival, is_resent: false }, operation: 0, sent: 0 },
        }
    }
}

/// One target's connections on this worker, and the arrivals that wait for one.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) members: Range<ConnectionId>,
    pub(crate) idle: VecDeque<ConnectionId>,
    /// Members that have not been opened for the first time.
    pub(crate) unopened: Range<ConnectionId>,
    pub(crate) waiting: VecDeque<Job>,
    pub(crate) opened: Opened,
    pub(crate) reopened: u64,
}

impl Pool {
    pub(crate) fn new(members: Range<ConnectionId>) -> Self {
        Self {
            idle: VecDeque::with_capacity(members.len()),
            unopened: members.clone(),
            members,
            waiting: VecDeque::new(),
            opened: Opened::default(),
            reopened: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.connections >= self.members.len() as u64
    }
}
