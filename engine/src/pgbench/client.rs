//! One client: where it is in its script.

use wire::Values;
use wire::postgres::Rows;

use super::Xoroshiro;
use super::expression::{Context, EvaluationError};
use super::{
    Amount, Command, Debugged, Fault, KeepRows, ScriptError, Slot, Step, Variables, Workload,
    is_variable_name,
};
use crate::Nanos;

/// What is to be done for a client next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this operation, whose values are filled in; [`super::Clients::replied`] when it was
    /// answered.
    Send(u32),
    /// Set this operation aside, whose values are filled in, and go on.
    Queue(u32),
    /// Set a Sync aside, and go on.
    QueueSync,
    /// Send what was set aside, with a Sync behind it.
    Sync,
    /// Go on after so many ns.
    Sleep(Nanos),
    /// The script is at its end.
    End,
}

/// One client.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) variables: Variables,
    pub(super) random: Xoroshiro,
    /// As it was when the transaction began.
    random_before: Xoroshiro,
    program: usize,
    /// The command that comes next.
    at: usize,
    tries: u32,
    /// Transactions before this one.
    count: u64,
    /// From when on its latency counts.
    intended: Nanos,
    is_in_pipeline: bool,
    has_queued: bool,
}

impl Client {
    pub(super) fn new(variables: Variables, random: Xoroshiro) -> Self {
        Self {
            variables,
            random_before: random.clone(),
            random,
            program: 0,
            at: 0,
            tries: 0,
            count: 0,
            intended: 0,
            is_in_pipeline: false,
            has_queued: false,
        }
    }

    /// A transaction begins that was due at `intended`: this script from its first command on.
    pub(super) fn begin(&mut self, program: usize, intended: Nanos) {
        self.program = program;
        self.random_before.clone_from(&self.random);
        self.tries = 1;
        self.intended = intended;
        self.rewind();
    }

    /// The transaction failed by a serialization error or a deadlock: whether it is tried again. Then
    /// the script begins anew, with the random numbers that it had.
    pub(super) fn retries(&mut self, workload: &Workload, now: Nanos) -> bool {
        let is_late = |most: Nanos| now.saturating_sub(self.intended) > most;
        if workload.tries_max.is_some_and(|most| self.tries >= most)
            || workload.latency_limit_ns.is_some_and(is_late)
        {
            return false;
        }
        self.tries += 1;
        self.random.clone_from(&self.random_before);
        self.rewind();
        true
    }

    /// The transaction has come to its end: how many there were before it, and how often it was
    /// tried again.
    pub(super) fn end(&mut self) -> (u64, u32) {
        self.count += 1;
        (self.count - 1, self.tries - 1)
    }

    /// The recording of the command that was carried out last, if it has one.
    pub(super) fn recording(&self, workload: &Workload) -> Option<u32> {
        self.last(workload)?.recording
    }

    fn rewind(&mut self) {
        self.at = 0;
        self.is_in_pipeline = false;
        self.has_queued = false;
    }

    /// Where the command stands that was carried out last: in which script, and in which line.
    pub(super) fn place(&self, workload: &Workload) -> (u32, u32) {
        (self.program as u32, self.last(workload).map_or(1, |command| command.line))
    }

    fn last<'a>(&self, workload: &'a Workload) -> Option<&'a Command> {
        workload.programs[self.program].commands.get(self.at.checked_sub(1)?)
    }

    /// This client, number `client` of all, can't go on.
    pub(super) fn error(&self, workload: &Workload, client: u32, fault: Fault) -> ScriptError {
        let script = workload.programs[self.program].name.clone();
        let place = |command: &Command| (command.line, command.column, command.number - 1);
        let (line, column, command) = self.last(workload).map_or((1, 1, 0), place);
        ScriptError { client, script, command, line, column, fault }
    }

    /// The statement that was sent last was answered, with these rows if it keeps any.
    pub(super) fn replied(
        &mut self,
        workload: &Workload,
        rows: Option<&Rows>,
    ) -> Result<(), Fault> {
        let step = self.last(workload).map(|command| &command.step);
        let Some(Step::Statement { rows: Some(keep), .. }) = step else { return Ok(()) };
        let Some(rows) = rows else { return Ok(()) };
        if rows.is_cut() {
            return Err(Fault::RowTooLong);
        }
        if !keep.is_single {
            for result in rows.results().filter(|result| result.count() > 0) {
                self.keep(keep, result.last())?;
            }
            return Ok(());
        }
        match rows.results().next_back() {
            Some(result) if result.count() == 1 => self.keep(keep, result.last()),
            Some(result) => Err(Fault::Rows(result.count())),
            None => Err(Fault::Rows(0)),
        }
    }

    fn keep<'a>(
        &mut self,
        keep: &KeepRows,
        row: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), Fault> {
        for (column, value) in row {
            let name = || format!("{}{}", keep.prefix, String::from_utf8_lossy(column)).into();
            if !is_variable_name(keep.prefix.bytes().chain(column.iter().copied())) {
                return Err(Fault::VariableName(name()));
            }
            let prefix = keep.prefix.as_bytes();
            let is_it = |name: &[u8]| name.strip_prefix(prefix).is_some_and(|rest| rest == column);
            self.variables.set_text_of(is_it, value.unwrap_or_default());
        }
        Ok(())
    }

    /// What is to be done next; where a statement is to be sent, `values` are filled in.
    pub(super) fn advance(
        &mut self,
        workload: &Workload,
        values: &mut Values,
        debugged: &mut Vec<Debugged>,
    ) -> Result<Action, Fault> {
        let commands = &workload.programs[self.program].commands;
        loop {
            let Some(command) = commands.get(self.at) else {
                return if self.is_in_pipeline {
                    Err(Fault::OpenPipeline)
                } else {
                    Ok(Action::End)
                };
            };
            self.at += 1;
            match &command.step {
                Step::Statement { operation, parameters, rows } => {
                    self.fill(parameters, workload.is_verbatim, values);
                    if !self.is_in_pipeline {
                        return Ok(Action::Send(*operation));
                    }
                    if rows.is_some() {
                        return Err(Fault::RowsInPipeline);
                    }
                    self.has_queued = true;
                    return Ok(Action::Queue(*operation));
                }
                Step::Set(slot, expression) => {
                    let value = expression.evaluate(&mut self.context(command, debugged))?;
                    self.variables.set(*slot, value);
                }
                Step::Unless(condition, otherwise) => {
                    if !condition.evaluate(&mut self.context(command, debugged))?.is_true() {
                        self.at = *otherwise;
                    }
                }
                Step::Jump(to) => self.at = *to,
                Step::Sleep(amount, unit_ns) => {
                    let units = u64::try_from(self.amount(*amount)?).unwrap_or_default();
                    return Ok(Action::Sleep(units.saturating_mul(*unit_ns)));
                }
                Step::StartPipeline if workload.is_verbatim => return Err(Fault::SimplePipeline),
                Step::StartPipeline if self.is_in_pipeline => return Err(Fault::Nested),
                Step::StartPipeline => self.is_in_pipeline = true,
                Step::SyncPipeline if !self.is_in_pipeline => {
                    return Err(Fault::NoPipeline("syncpipeline"));
                }
                // Where nothing was sent, there is nothing that a Sync would end.
                Step::SyncPipeline if self.has_queued => return Ok(Action::QueueSync),
                Step::SyncPipeline => {}
                Step::EndPipeline if !self.is_in_pipeline => {
                    return Err(Fault::NoPipeline("endpipeline"));
                }
                Step::EndPipeline => {
                    self.is_in_pipeline = false;
                    if std::mem::take(&mut self.has_queued) {
                        return Ok(Action::Sync);
                    }
                }
            }
        }
    }

    fn context<'a>(
        &'a mut self,
        command: &Command,
        debugged: &'a mut Vec<Debugged>,
    ) -> Context<'a> {
        Context {
            variables: &self.variables,
            random: &mut self.random,
            script: self.program as u32,
            command: command.number,
            debugged,
        }
    }

    /// A variable's leading digits, as C's atoi reads them.
    fn amount(&self, amount: Amount) -> Result<i64, Fault> {
        let slot = match amount {
            Amount::Constant(amount) => return Ok(amount),
            Amount::Variable(slot) => slot,
        };
        let name = || self.variables.shown_name(slot);
        let undefined = || EvaluationError::Undefined(name());
        let text = String::from_utf8_lossy(self.variables.text(slot).ok_or_else(undefined)?);
        let number = text.trim_start();
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        let end = digits.bytes().take_while(u8::is_ascii_digit).count();
        if end == 0 {
            return Err(Fault::SleepTime { name: name(), text: (*text).into() });
        }
        let amount = digits[..end].parse().unwrap_or(i64::MAX);
        Ok(if number.starts_with('-') { -amount } else { amount })
    }

    fn fill(&self, parameters: &[Slot], is_verbatim: bool, values: &mut Values) {
        values.clear();
        for slot in parameters {
            match self.variables.text(*slot) {
                Some(text) => values.push_verbatim(text),
                None if is_verbatim => values.push_written(b':', self.variables.name(*slot)),
                None => values.push_null(),
            }
        }
    }
}
