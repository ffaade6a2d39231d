//! One stream in progress, as far as it is this worker's: when iterations begin, by k6's executors.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use wire::Outcome;

use super::share;
use crate::{
    Arrival, Arrivals, ConnectionId, Load, Nanos, Random, Recording, Script, Stream, StreamReport,
    pgbench::Clients,
    pool::Job,
    steps::{Step, steps},
};

/// One stream in progress, as far as it is this worker's.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) stream: Stream,
    /// This worker's number among those that share the stream.
    lane: u32,
    workers: u32,
    start: Nanos,
    /// No iteration begins from here on.
    pub(super) end: Nanos,
    /// An open loop's schedule.
    pub(super) arrivals: Option<Arrivals>,
    steps: VecDeque<Step>,
    /// A closed loop's users: user n of this worker is user n * workers + lane of the stream.
    vus: Vec<Vu>,
    /// Who runs scripts, by the connections' places.
    pub(super) clients: Option<Box<Clients>>,
    /// So many of them, the first ones, are to be there.
    wanted: u32,
    /// In shared-iterations: those that this worker's users have begun together.
    begun: u64,
    /// Iterations that wait for a connection, the one that waits longest first.
    pub(super) waiting: VecDeque<Job>,
    waiting_max: usize,
    pub(super) in_flight: u32,
    in_flight_max: u32,
    /// Users that there are now.
    active: u32,
    /// When a connection failed for the first time since the last success.
    out_since: Option<Nanos>,
    /// What happened since the last interval was taken.
    pub(super) report: StreamReport,
}

/// A virtual user of a closed loop.
#[derive(Clone, Copy, Debug)]
struct Vu {
    state: VuState,
    /// How many iterations it has begun.
    begun: u64,
    /// It is to go: at its iteration's end, and at this time at the latest.
    leave_by: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VuState {
    /// Not started, or gone.
    Gone,
    /// Its next iteration begins at this time.
    Thinking(Nanos),
    /// Its iteration waits for a connection.
    Waiting,
    /// Its iteration is in flight.
    InFlight(ConnectionId),
}

/// Where a virtual user's iteration was when the user had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Waiting,
    InFlight(ConnectionId),
}

/// Think times must not be drawn from the numbers that decide a request's contents.
const THINK_SEED: u64 = 0x7468_696e_6b74_696d;

/// Room for so many waiting iterations is made beforehand.
const WAITING_RESERVED: usize = 1 << 16;

impl Share {
    /// Lane `lane` of `workers` of a stream in a phase that starts at `phase_start`, whose target has
    /// so many `places` for connections here.
    pub(super) fn new(
        stream: Stream,
        phase_start: Nanos,
        waiting_max: usize,
        places: usize,
        (lane, workers): (u32, u32),
    ) -> Self {
        let start = phase_start + stream.start_ns;
        let load = &stream.load;
        let vus_max = share(load.vus_max().into(), lane, workers) as u32;
        let (vus, in_flight_max) =
            if load.is_open_loop() { (0, vus_max.max(1)) } else { (vus_max, u32::MAX) };
        // A closed loop's users are the limit to its own waiting.
        let waiting_max = if load.is_open_loop() {
            share(waiting_max as u64, lane, workers) as usize
        } else {
            vus as usize
        };
        Self {
            lane,
            workers,
            start,
            end: start + load.duration_ns(),
            arrivals: Arrivals::new(load, stream.seed, start, (lane, workers)),
            steps: steps(load).into(),
            vus: vec![Vu { state: VuState::Gone, begun: 0, leave_by: None }; vus as usize],
            clients: match &stream.script {
                Script::Mix(_) => None,
                Script::Pgbench(workload) => {
                    let workload = Arc::clone(workload);
                    let clients = Clients::new(workload, stream.seed, places, (lane, workers));
                    Some(Box::new(clients))
                }
            },
            wanted: 0,
            begun: 0,
            waiting: VecDeque::with_capacity(waiting_max.min(WAITING_RESERVED)),
            waiting_max,
            in_flight: 0,
            in_flight_max,
            active: 0,
            out_since: None,
            report: StreamReport::of(&stream),
            stream,
        }
    }

    /// Whether each of its users has a connection of its own: one that runs scripts is its client.
    pub(super) fn is_bound(&self) -> bool {
        self.clients.is_some() && !self.stream.load.is_open_loop()
    }

    /// How many of a closed loop's users are this worker's.
    pub(super) fn vus(&self) -> usize {
        self.vus.len()
    }

    /// When the number of virtual users changes next.
    pub(super) fn next_step(&self) -> Option<Nanos> {
        self.steps.front().map(|step| self.start + step.at_ns)
    }

    /// Takes that change: the users that are to start, for [`Share::join`], and those that are to
    /// go, for [`Share::leave`].
    pub(super) fn step(&mut self) -> (Range<u32>, Range<u32>) {
        let Some(step) = self.steps.pop_front() else { return (0..0, 0..0) };
        let vus = share(step.vus.into(), self.lane, self.workers) as u32;
        if self.stream.load.is_open_loop() {
            self.set_active(self.active.max(vus));
            return (0..0, 0..0);
        }
        let before = std::mem::replace(&mut self.wanted, vus);
        (before..vus, vus..before)
    }

    /// User `vu` is to be there from `at` on: if it is not, its next iteration begins then.
    pub(super) fn join(&mut self, vu: u32, at: Nanos) {
        let user = &mut self.vus[vu as usize];
        user.leave_by = None;
        if user.state == VuState::Gone {
            user.state = VuState::Thinking(at);
            self.set_active(self.active + 1);
        }
    }

    /// User `vu` is to go. Until when its iteration may go on, if it has one.
    pub(super) fn leave(&mut self, vu: u32, at: Nanos) -> Option<Nanos> {
        let Load::RampingVus { graceful_ramp_down_ns, .. } = self.stream.load else { return None };
        let user = &mut self.vus[vu as usize];
        match user.state {
            VuState::Gone => None,
            VuState::Thinking(_) => {
                self.gone(vu);
                None
            }
            VuState::Waiting | VuState::InFlight(_) => {
                let by = at.saturating_add(graceful_ramp_down_ns);
                user.leave_by = Some(by);
                Some(by)
            }
        }
    }

    /// The time of a user that was to go by `at` is over: where its iteration is, if it still is.
    pub(super) fn overdue(&self, vu: u32, at: Nanos) -> Option<Broken> {
        let user = &self.vus[vu as usize];
        match user.state {
            _ if user.leave_by != Some(at) => None,
            VuState::InFlight(id) => Some(Broken::InFlight(id)),
            VuState::Waiting => Some(Broken::Waiting),
            VuState::Gone | VuState::Thinking(_) => None,
        }
    }

    /// User `vu` has thought until `at`: its next iteration, unless it had its last.
    pub(super) fn begin(&mut self, vu: u32, at: Nanos) -> Option<Arrival> {
        if self.vus[vu as usize].state != VuState::Thinking(at) {
            return None;
        }
        let number = if at < self.end { self.next_number(vu) } else { None };
        let Some(number) = number else {
            self.gone(vu);
            return None;
        };
        self.begun += 1;
        self.vus[vu as usize].begun += 1;
        Some(Arrival { number, intended: at })
    }

    /// Numbers are a function of (user, iteration), whatever the replies do; of the iterations
    /// that users share, each is some user's first, second and so on.
    fn next_number(&self, vu: u32) -> Option<u64> {
        let workers = u64::from(self.workers);
        let vus = u64::from(self.stream.load.vus_max());
        let ours = self.vus.len() as u64;
        let number = |vu: u64, begun| begun * vus + vu * workers + u64::from(self.lane);
        let begun = self.vus[vu as usize].begun;
        match self.stream.load {
            Load::PerVuIterations { iterations, .. } if begun >= iterations => None,
            Load::SharedIterations { iterations, .. } => {
                let number = number(self.begun % ours, self.begun / ours);
                (number < iterations).then_some(number)
            }
            _ => Some(number(u64::from(vu), begun)),
        }
    }

    /// The iteration waits for a connection, or is in flight on one.
    pub(super) fn waits(&mut self, vu: Option<u32>) {
        if let Some(vu) = vu {
            self.vus[vu as usize].state = VuState::Waiting;
        }
    }

    /// A request of the stream was sent on `id`.
    pub(super) fn took_off(&mut self, vu: Option<u32>, id: ConnectionId) {
        self.in_flight += 1;
        match vu {
            Some(vu) => self.vus[vu as usize].state = VuState::InFlight(id),
            None if self.in_flight > self.active => self.set_active(self.in_flight),
            None => {}
        }
    }

    /// A request of the stream is in flight no more.
    pub(super) fn landed(&mut self, now: Nanos) {
        self.in_flight -= 1;
        if self.stream.load.is_open_loop() && now >= self.end {
            self.active = self.in_flight;
        }
    }

    /// A connection failed, or whoever hands it out.
    pub(super) fn failed_to_connect(&mut self, now: Nanos) {
        self.out_since.get_or_insert(now);
    }

    /// A request got this outcome.
    pub(super) fn note(&mut self, outcome: Outcome, now: Nanos) {
        match outcome {
            Outcome::Ok => {
                if let Some(since) = self.out_since.take() {
                    self.report.outage_ns = self.report.outage_ns.max(now.saturating_sub(since));
                }
            }
            Outcome::Failed(class) if class.is_of_connection() => self.failed_to_connect(now),
            Outcome::Failed(_) => {}
        }
    }

    /// How many more requests may be in flight.
    pub(super) fn room(&self) -> u32 {
        self.in_flight_max - self.in_flight
    }

    /// Whether another request may be in flight.
    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Whether another iteration may wait.
    pub(super) fn may_wait(&self) -> bool {
        self.waiting.len() < self.waiting_max
    }

    /// The user's iteration is over: until when it thinks, unless it goes.
    pub(super) fn rest(&mut self, vu: u32, now: Nanos) -> Option<Nanos> {
        let user = &self.vus[vu as usize];
        if user.leave_by.is_some() || now >= self.end || self.next_number(vu).is_none() {
            self.gone(vu);
            return None;
        }
        let (least, most) = self.stream.think_time_ns;
        let workers = u64::from(self.workers);
        let number = user.begun * u64::from(self.stream.load.vus_max())
            + u64::from(vu) * workers
            + u64::from(self.lane);
        let span = (most - least).saturating_add(1);
        let think = least + Random::new(self.stream.seed ^ THINK_SEED, number).below(span);
        let until = now.saturating_add(think);
        self.vus[vu as usize].state = VuState::Thinking(until);
        Some(until)
    }

    /// The user has left.
    pub(super) fn gone(&mut self, vu: u32) {
        let user = &mut self.vus[vu as usize];
        user.state = VuState::Gone;
        user.leave_by = None;
        self.active -= 1;
    }

    /// The client of an iteration that is over can't go on; it was user `vu` of a closed loop.
    pub(super) fn lose_client(&mut self, vu: Option<u32>) {
        if let Some(vu) = vu {
            // It may have had its last iteration.
            if self.vus[vu as usize].state != VuState::Gone {
                self.gone(vu);
            }
            return;
        }
        self.in_flight_max -= 1;
        self.active = self.active.min(self.in_flight_max);
        if self.in_flight_max == 0 {
            self.arrivals = None;
            self.give_up_waiting();
        }
    }

    /// No more iterations begin: who has none goes.
    pub(super) fn end(&mut self) {
        if self.stream.load.is_open_loop() {
            self.active = self.in_flight;
        }
        for vu in 0..self.vus.len() as u32 {
            if matches!(self.vus[vu as usize].state, VuState::Thinking(_)) {
                self.gone(vu);
            }
        }
    }

    /// Whether everything that was due has been served or given up.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        let no_more = match &self.arrivals {
            Some(arrivals) => arrivals.peek().is_none(),
            None => now >= self.end || (self.steps.is_empty() && self.active == 0),
        };
        no_more && self.in_flight == 0 && self.waiting.is_empty()
    }

    /// Iterations that wait for a connection wait no more.
    pub(super) fn give_up_waiting(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            self.report.unserved += 1;
            if let Some(vu) = job.vu {
                self.gone(vu);
            }
        }
    }

    /// What happened since the last interval.
    pub(super) fn finish(&mut self, now: Nanos) -> StreamReport {
        self.report.is_out = self.out_since.is_some();
        let outage_ns = self.out_since.map_or(0, |since| now.saturating_sub(since));
        self.report.outage_ns = self.report.outage_ns.max(outage_ns);
        self.report.vus.current = self.active;
        std::mem::replace(&mut self.report, StreamReport::new(Recording::new(0)))
    }

    /// Hands out what happened since the last time in `spare`, which must be empty.
    pub(super) fn take_report(&mut self, spare: &mut StreamReport) {
        self.report.vus.current = self.active;
        std::mem::swap(&mut self.report, spare);
        self.report.vus.max = self.active;
    }

    fn set_active(&mut self, active: u32) {
        self.active = active;
        self.report.vus.max = self.report.vus.max.max(active);
    }
}
