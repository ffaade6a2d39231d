//! One worker's clients.

use std::sync::Arc;

use wire::postgres::Rows;
use wire::{Class, Failure, Values};

use super::client::{Action, Client};
use super::{
    Conflict, Debugged, Fault, Sample, ScriptError, ScriptReport, Seeds, Variables, Workload,
    Xoroshiro,
};
use crate::Nanos;

/// One worker's clients. Each belongs to a place for a connection, and whoever has the place runs the
/// scripts as this client.
#[derive(Clone, Debug)]
pub struct Clients {
    workload: Arc<Workload>,
    lane: u32,
    workers: u32,
    clients: Vec<Client>,
    /// Which script comes next.
    choice: Xoroshiro,
    total_weight: u64,
    debugged: Vec<Debugged>,
}

impl Clients {
    /// As many as there are places, each client `lane` + n times `workers` of the run with this seed.
    pub fn new(
        workload: Arc<Workload>,
        seed: u64,
        places: usize,
        (lane, workers): (u32, u32),
    ) -> Self {
        let name_is = |wanted: &'static str| move |name: &[u8]| name == wanted.as_bytes();
        let count = (workload.clients as usize).max(places * workers as usize);
        let seeds = Seeds::new(&workload, seed, count);
        let mut variables = Variables::new(Arc::clone(&workload.variables));
        for (slot, text) in &workload.presets {
            let name = &workload.variables[slot.0 as usize];
            variables.set_text_of(|other| *other == **name, text.as_bytes());
        }
        if let Some(default) = seeds.default {
            variables.set_text_of(name_is("default_seed"), (default as i64).to_string().as_bytes());
        }
        if !workload.presets("random_seed") {
            variables.set_text_of(name_is("random_seed"), (seed as i64).to_string().as_bytes());
        }
        let has_number = workload.presets("client_id");
        let [own, ..] = seeds.thread(lane as usize);
        let client = |place: usize| {
            let number = place * workers as usize + lane as usize;
            let mut variables = variables.clone();
            if !has_number {
                variables.set_text_of(name_is("client_id"), number.to_string().as_bytes());
            }
            Client::new(variables, Xoroshiro::new(seeds.clients[number]))
        };
        Self {
            lane,
            workers,
            clients: (0..places).map(client).collect(),
            choice: Xoroshiro::new(own),
            total_weight: workload.programs.iter().map(|one| u64::from(one.weight)).sum(),
            debugged: Vec::new(),
            workload,
        }
    }

    /// What they run.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The client in `place` begins a transaction that was due at `intended`: with which of the
    /// scripts.
    pub fn begin(&mut self, place: usize, intended: Nanos) -> usize {
        let program = self.choose();
        self.clients[place].begin(program, intended);
        program
    }

    fn choose(&mut self) -> usize {
        let programs = &self.workload.programs;
        if programs.len() == 1 {
            return 0;
        }
        let mut left = self.choice.up_to(self.total_weight - 1);
        let is_it = |weight: u64| {
            let is_it = left < weight;
            left = left.saturating_sub(weight);
            is_it
        };
        programs.iter().map(|one| u64::from(one.weight)).position(is_it).unwrap_or(0)
    }

    /// What the client in `place` does next; where a statement is to be sent, `values` are filled in.
    pub fn advance(&mut self, place: usize, values: &mut Values) -> Result<Action, ScriptError> {
        let advanced = self.clients[place].advance(&self.workload, values, &mut self.debugged);
        advanced.map_err(|fault| self.error(place, fault))
    }

    /// The statement of the client in `place` was answered.
    pub fn replied(&mut self, place: usize, rows: Option<&Rows>) -> Result<(), ScriptError> {
        let replied = self.clients[place].replied(&self.workload, rows);
        replied.map_err(|fault| self.error(place, fault))
    }

    /// The transaction of the client in `place` failed: whether it is tried again, from its script's
    /// beginning.
    pub fn retries(&mut self, place: usize, failure: &Failure, now: Nanos) -> bool {
        Conflict::of(failure).is_some() && self.clients[place].retries(&self.workload, now)
    }

    /// The transaction of the client in `place` has come to its end: counts it.
    pub fn end(&mut self, place: usize, report: &mut ScriptReport, sample: Sample) {
        let (number, retries) = self.clients[place].end();
        let is_above = |limit: Nanos| sample.done.saturating_sub(sample.intended) > limit;
        if sample.outcome.is_ok() && self.workload.latency_limit_ns.is_some_and(is_above) {
            report.was_above_limit(sample.script);
        }
        report.ended(sample.script, retries, sample.conflict);
        report.debugged(self.debugged.drain(..));
        if self.workload.keeps_samples {
            let client = self.number(place);
            report.samples.push(Sample { client, number, retries, ..sample });
        }
    }

    fn number(&self, place: usize) -> u32 {
        place as u32 * self.workers + self.lane
    }

    /// Where the command that the client in `place` carried out last is recorded, if it is
    /// ([`super::Command::recording`]).
    pub fn recording(&self, place: usize) -> Option<u32> {
        if !self.workload.records_commands {
            return None;
        }
        self.clients[place].recording(&self.workload)
    }

    /// What is wrong with the script of the client in `place`, with the place in it.
    pub fn error(&self, place: usize, fault: Fault) -> ScriptError {
        self.clients[place].error(&self.workload, self.number(place), fault)
    }

    /// The command that the client in `place` carried out last failed.
    pub(crate) fn failed(
        &self,
        place: usize,
        report: &mut ScriptReport,
        class: Class,
        failure: &Failure,
    ) {
        let (script, line) = self.clients[place].place(&self.workload);
        report.failed((script, line, class), failure);
    }

    /// Tells of what `debug` was given since this was last asked.
    pub fn tell_debugged(&mut self, report: &mut ScriptReport) {
        report.debugged(self.debugged.drain(..));
    }
}
