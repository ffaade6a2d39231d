//! Transactions of scripts: several requests of one client, on one connection.

use std::cmp::Reverse;

use wire::{Class, Code, Failure, Outcome};

use super::{Timer, Worker, requests::words};
use crate::{
    ConnectionId, Nanos, Refusal, Transport,
    pgbench::{Action, Clients, Conflict, Fault, Sample, ScriptError},
    pool::{Flight, State},
};

impl Worker {
    /// The client that has the connection `id`, in its stream's clients.
    fn client(&mut self, id: ConnectionId) -> Option<(&mut Clients, usize)> {
        let connection = &self.connections[id as usize];
        let place = id - self.pools[connection.target].members.start;
        let share = &mut self.phase.as_mut()?.shares[connection.flight.job.stream as usize];
        Some((share.clients.as_deref_mut()?, place as usize))
    }

    /// The client of the connection, which is ready, begins a transaction. Whether that is at its end
    /// already.
    pub(super) fn begin_transaction(
        &mut self,
        id: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) -> bool {
        let intended = self.connections[id as usize].flight.job.arrival.intended;
        if let Some((clients, place)) = self.client(id) {
            let program = clients.begin(place, intended) as u32;
            self.connections[id as usize].flight.operation = program;
        }
        self.go_on(id, now, transport)
    }

    /// The client of the connection, which is ready, goes on with its script. Whether the
    /// transaction is at its end: then the connection is to be handed on.
    pub(super) fn go_on(
        &mut self,
        id: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) -> bool {
        let mut values = std::mem::take(&mut self.values);
        let action = loop {
            let Some((clients, place)) = self.client(id) else { break Ok(Action::End) };
            match clients.advance(place, &mut values) {
                Ok(Action::Queue(operation)) => {
                    let connection = &mut self.connections[id as usize];
                    let operations = &self.targets[connection.target].operations;
                    connection.session.queue(&operations[operation as usize], &values);
                }
                Ok(Action::QueueSync) => self.connections[id as usize].session.queue_sync(),
                action => break action,
            }
        };
        self.values = values;
        match action {
            Ok(Action::Send(_) | Action::Sync | Action::Queue(_) | Action::QueueSync) => {}
            Ok(Action::Sleep(sleep_ns)) => {
                let until = now.saturating_add(sleep_ns);
                let connection = &mut self.connections[id as usize];
                connection.step_since = now;
                (connection.state, connection.deadline) = (State::Asleep, until);
                self.timers.push(Reverse((until, Timer::Wake(id))));
                return false;
            }
            Ok(Action::End) => {
                let is_open = self.connections[id as usize].session.is_in_transaction();
                self.end_transaction(id, Outcome::Ok, None, now);
                if is_open {
                    let open = |all: &Clients, place| all.error(place, Fault::OpenTransaction);
                    let error = self.client(id).map(|(clients, place)| open(clients, place));
                    error.into_iter().for_each(|error| self.lose_client(id, error, transport));
                }
                return !is_open;
            }
            Err(error) => {
                self.break_off_script(id, error, now, transport);
                return false;
            }
        }
        self.out.clear();
        let connection = &mut self.connections[id as usize];
        let target = &self.targets[connection.target];
        match action {
            Ok(Action::Send(operation)) => {
                let operation = &target.operations[operation as usize];
                connection.session.request(operation, &self.values, &mut self.out);
            }
            _ => connection.session.sync(&mut self.out),
        }
        connection.state = State::InScript;
        connection.step_since = now;
        connection.deadline = now + target.timeout_ns;
        if let Some(report) = self.report_of(id) {
            report.sent += 1;
        }
        self.send(id, transport);
        false
    }

    /// The request of a script was answered.
    pub(super) fn script_answered(
        &mut self,
        id: ConnectionId,
        outcome: Outcome,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let connection = &self.connections[id as usize];
        let (sent, is_reusable) = (connection.step_since, connection.session.is_reusable());
        let recording = self.record_command(id, outcome, None, sent, now);
        let connection = &self.connections[id as usize];
        let place = (id - self.pools[connection.target].members.start) as usize;
        let stream = connection.flight.job.stream as usize;
        let Some(phase) = &mut self.phase else { return };
        let share = &mut phase.shares[stream];
        let Some(clients) = share.clients.as_deref_mut() else { return };
        let session = &self.connections[id as usize].session;
        let is_over = clients.workload().is_timed && now >= share.end;
        match outcome {
            Outcome::Ok => {
                if let Err(error) = clients.replied(place, session.rows()) {
                    return self.break_off_script(id, error, now, transport);
                }
            }
            Outcome::Failed(_)
                if is_reusable && !is_over && clients.retries(place, session.failure(), now) =>
            {
                if let (Some(report), Some(recording)) = (&mut share.report.script, recording) {
                    report.retries(recording);
                }
            }
            Outcome::Failed(class) => {
                let fault = Fault::of(class, session.failure()).filter(|_| is_reusable);
                let error = fault.map(|fault| clients.error(place, fault));
                self.end_transaction(id, outcome, None, now);
                return match error {
                    Some(error) => self.lose_client(id, error, transport),
                    None => self.release(id, now, transport),
                };
            }
        }
        if self.go_on(id, now, transport) {
            self.release(id, now, transport);
        }
    }

    /// The request of a script was answered, and with the same bytes its connection ended: the
    /// transaction goes on no more, unless that was its end.
    pub(super) fn script_cut_off(
        &mut self,
        id: ConnectionId,
        answered: Outcome,
        refusal: &Refusal,
        now: Nanos,
    ) {
        let sent = self.connections[id as usize].step_since;
        self.record_command(id, answered, None, sent, now);
        if !answered.is_ok() {
            return self.end_transaction(id, answered, None, now);
        }
        match self.is_at_its_end(id) {
            true => self.end_transaction(id, Outcome::Ok, None, now),
            false => {
                self.connections[id as usize].step_since = now;
                self.script_broken(id, refusal.outcome, Some(&refusal.failure), now);
            }
        }
    }

    /// Whether nothing is to be done in the transaction after the reply that has come.
    fn is_at_its_end(&mut self, id: ConnectionId) -> bool {
        let connection = &self.connections[id as usize];
        if connection.session.is_in_transaction() {
            return false;
        }
        let place = (id - self.pools[connection.target].members.start) as usize;
        let stream = connection.flight.job.stream as usize;
        let share = self.phase.as_mut().map(|phase| &mut phase.shares[stream]);
        let Some(clients) = share.and_then(|share| share.clients.as_deref_mut()) else {
            return true;
        };
        clients.replied(place, connection.session.rows()).is_ok()
            && matches!(clients.advance(place, &mut self.values), Ok(Action::End))
    }

    /// Records the command that was carried out last: that it failed and, if commands are recorded,
    /// how long it took; as which. `failure` has the words where they are not the session's.
    fn record_command(
        &mut self,
        id: ConnectionId,
        outcome: Outcome,
        failure: Option<&Failure>,
        began: Nanos,
        now: Nanos,
    ) -> Option<u32> {
        let connection = &self.connections[id as usize];
        let place = (id - self.pools[connection.target].members.start) as usize;
        let stream = connection.flight.job.stream as usize;
        let share = &mut self.phase.as_mut()?.shares[stream];
        let clients = share.clients.as_deref()?;
        let recording = clients.recording(place);
        if outcome.is_ok() && recording.is_none() {
            return None;
        }
        let silence = Failure::default();
        let failure = failure.unwrap_or_else(|| words(&connection.session, outcome, &silence));
        if let (Outcome::Failed(class), Some(report)) = (outcome, &mut share.report.script) {
            clients.failed(place, report, class, failure);
        }
        let operation = clients.workload().programs.len() + recording? as usize;
        share.report.recording.record(operation, outcome, failure, (began, began, now));
        recording
    }

    /// The client of the connection has slept until `at`.
    pub(super) fn wake(
        &mut self,
        id: ConnectionId,
        at: Nanos,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let connection = &self.connections[id as usize];
        // It may have been interrupted since, and even have fallen asleep again.
        if (connection.state, connection.deadline) != (State::Asleep, at) {
            return;
        }
        self.record_command(id, Outcome::Ok, None, connection.step_since, now);
        if self.go_on(id, now, transport) {
            self.release(id, now, transport);
        }
    }

    /// The connection went while its client slept.
    pub(super) fn lost_asleep(&mut self, id: ConnectionId, now: Nanos) {
        let mut failure = Failure::default();
        failure.set(Code::None, b"the server closed the connection during \\sleep");
        self.script_broken(id, Outcome::Failed(Class::Disconnected), Some(&failure), now);
    }

    /// The script's command got no answer, or none that its connection outlived: the transaction is
    /// over. `failure` has the words where they are not the session's.
    pub(super) fn script_broken(
        &mut self,
        id: ConnectionId,
        outcome: Outcome,
        failure: Option<&Failure>,
        now: Nanos,
    ) {
        let began = self.connections[id as usize].step_since;
        self.record_command(id, outcome, failure, began, now);
        self.end_transaction(id, outcome, failure, now);
    }

    fn end_transaction(
        &mut self,
        id: ConnectionId,
        outcome: Outcome,
        failure: Option<&Failure>,
        now: Nanos,
    ) {
        let connection = &self.connections[id as usize];
        let place = (id - self.pools[connection.target].members.start) as usize;
        let Flight { job, operation, sent } = connection.flight;
        let conflict = match outcome {
            Outcome::Failed(Class::Retryable) => Conflict::of(connection.session.failure()),
            _ => None,
        };
        if let Some(share) = self.share(job.stream)
            && let (Some(clients), Some(report)) = (&mut share.clients, &mut share.report.script)
        {
            let (client, number, retries) = (0, 0, 0);
            let intended = job.arrival.intended;
            let script = operation;
            clients.end(
                place,
                report,
                Sample {
                    client,
                    number,
                    script,
                    outcome,
                    conflict,
                    intended,
                    sent,
                    done: now,
                    retries,
                },
            );
        }
        self.conclude(id, outcome, failure, now);
    }

    fn tell_debugged(&mut self, stream: u32) {
        if let Some(share) = self.share(stream)
            && let (Some(clients), Some(report)) = (&mut share.clients, &mut share.report.script)
        {
            clients.tell_debugged(report);
        }
    }

    /// A script can't go on in the middle of its transaction, which has no outcome.
    fn break_off_script(
        &mut self,
        id: ConnectionId,
        error: ScriptError,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Flight { job, .. } = self.connections[id as usize].flight;
        self.tell_debugged(job.stream);
        self.in_flight -= 1;
        if let Some(share) = self.share(job.stream) {
            share.landed(now);
            share.report.interrupted += 1;
        }
        self.lose_client(id, error, transport);
    }

    /// The client of the connection goes, and its connection with it: its transaction is over.
    fn lose_client(
        &mut self,
        id: ConnectionId,
        error: ScriptError,
        transport: &mut impl Transport,
    ) {
        let Flight { job, .. } = self.connections[id as usize].flight;
        if let Some(share) = self.share(job.stream) {
            share.lose_client(job.vu);
            if let Some(report) = &mut share.report.script {
                report.aborted.push(error);
            }
        }
        self.retire(id, transport);
    }
}
