//! Scripts compiled for the engine: branches become jumps, statements operations of the target.

use std::ops::Range;

use engine::pgbench::{Command, Program, Slot, Step, Workload};
use wire::postgres::{
    Command as SqlCommand, Parameter, Protocol, Statement, StatementError, commands,
};
use wire::{Operation, Piece, Request};

use super::script::{self, Line, Names, ScriptMistake, What};

/// A script as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name: a file's path, or a built-in's title.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) encoding: Encoding,
    /// How often it runs, relative to the others.
    pub(crate) weight: u32,
}

/// How the bytes of a script were read, and go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    /// Each byte for itself, as if it were Latin-1: what it means is the server's to know.
    Bytes,
}

impl Encoding {
    pub(super) fn encode(self, text: &str) -> Box<[u8]> {
        match self {
            Self::Utf8 => text.as_bytes().into(),
            Self::Bytes => text.chars().map(|c| c as u8).collect(),
        }
    }
}

impl Source {
    /// A script of these bytes.
    pub(crate) fn new(name: String, bytes: Vec<u8>, weight: u32) -> Self {
        let (text, encoding) = match String::from_utf8(bytes) {
            Ok(text) => (text, Encoding::Utf8),
            Err(error) => {
                let bytes = error.into_bytes();
                (bytes.into_iter().map(char::from).collect(), Encoding::Bytes)
            }
        };
        Self { name, text, encoding, weight }
    }
}

/// Scripts as the engine runs them.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) workload: Workload,
    /// Every statement, in the order of the scripts.
    pub(super) operations: Vec<Operation>,
    /// The lines of each script.
    pub(super) commands: Vec<Vec<CommandLine>>,
}

/// A command as it stands in its script.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    pub(super) text: String,
    /// Where it is recorded, if it takes time ([`Command::recording`]).
    pub(super) recording: Option<u32>,
}

/// Parameters that a statement can have (MAX_ARGS of pgbench, less the statement itself).
const PARAMETERS_MAX: usize = 255;

/// Compiles scripts. `presets` are variables that are set from the start.
pub(super) fn compile(
    sources: &[Source],
    protocol: Protocol,
    presets: &[(String, String)],
    clients: u32,
) -> Result<Compiled, ScriptMistake> {
    let names = Names::new();
    let presets = presets.iter().map(|(name, text)| (names.slot(name), text.clone())).collect();
    for name in ["client_id", "default_seed", "random_seed"] {
        names.slot(name);
    }
    let mut operations = Vec::new();
    let mut programs = Vec::new();
    let mut recorded_commands = 0;
    let mut command_lines = Vec::new();
    for source in sources {
        // A byte order mark is no SQL, and editors put it there.
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        names.read_as(source.encoding);
        let lines = script::read(&source.name, text, &names)?;
        let mut compiler = Compiler {
            name: &source.name,
            text,
            encoding: source.encoding,
            number: programs.len(),
            line: 0,
            protocol,
            names: &names,
            operations: &mut operations,
            recorded_commands: &mut recorded_commands,
            lines: Vec::new(),
            commands: Vec::new(),
            branches: Vec::new(),
        };
        lines.into_iter().try_for_each(|line| compiler.line(line))?;
        let (commands, lines) = compiler.finish()?;
        command_lines.push(lines);
        let (name, weight) = (source.name.clone(), source.weight);
        programs.push(Program { name, weight, commands });
    }
    let workload = Workload {
        programs,
        variables: names.all(),
        presets,
        clients,
        tries_max: Some(1),
        is_timed: false,
        latency_limit_ns: None,
        records_commands: false,
        keeps_samples: false,
        recorded_commands,
        is_verbatim: protocol == Protocol::Simple,
    };
    Ok(Compiled { workload, operations, commands: command_lines })
}

struct Compiler<'a> {
    name: &'a str,
    text: &'a str,
    encoding: Encoding,
    /// Which script it is.
    number: usize,
    /// How many of its lines are compiled, with the one that is.
    line: u32,
    protocol: Protocol,
    names: &'a Names,
    operations: &'a mut Vec<Operation>,
    recorded_commands: &'a mut u32,
    lines: Vec<CommandLine>,
    commands: Vec<Command>,
    branches: Vec<Branches>,
}

/// An `\if` that has not ended.
struct Branches {
    /// Where it begins in the text.
    at: usize,
    /// The condition of the branch, whose jump has no goal yet.
    condition: Option<usize>,
    /// The jumps at the ends of branches.
    ends: Vec<usize>,
}

impl Compiler<'_> {
    fn mistake(&self, at: usize, message: impl Into<String>) -> ScriptMistake {
        ScriptMistake::new(self.name, self.text, at, message)
    }

    fn push(&mut self, at: usize, step: Step) -> usize {
        let (line, column) = script::place(self.text, at);
        let (line, column, number) = (line as u32, column as u32, self.line);
        let takes_time =
            matches!(step, Step::Statement { .. } | Step::Sleep(..) | Step::EndPipeline);
        let recording = takes_time.then_some(*self.recorded_commands);
        *self.recorded_commands += u32::from(takes_time);
        self.commands.push(Command { line, column, number, recording, step });
        self.commands.len() - 1
    }

    fn line(&mut self, Line { at, text, what }: Line) -> Result<(), ScriptMistake> {
        self.line += 1;
        let before = self.commands.len();
        self.command(at, what)?;
        let recording = self.commands[before..].iter().find_map(|command| command.recording);
        self.lines.push(CommandLine { text, recording });
        Ok(())
    }

    fn command(&mut self, at: usize, what: What) -> Result<(), ScriptMistake> {
        match what {
            What::Statement(sql, rows) => {
                let (operation, parameters) = self.statement(at, &sql, rows.is_some())?;
                self.push(at, Step::Statement { operation, parameters, rows });
            }
            What::Set(slot, expression) => _ = self.push(at, Step::Set(slot, expression)),
            What::Sleep(amount, unit_ns) => _ = self.push(at, Step::Sleep(amount, unit_ns)),
            What::StartPipeline => _ = self.push(at, Step::StartPipeline),
            What::SyncPipeline => _ = self.push(at, Step::SyncPipeline),
            What::EndPipeline => _ = self.push(at, Step::EndPipeline),
            What::If(condition) => {
                let condition = Some(self.push(at, Step::Unless(condition, 0)));
                self.branches.push(Branches { at, condition, ends: Vec::new() });
            }
            What::Elif(condition) => {
                self.end_branch(at, "\\elif")?;
                let condition = self.push(at, Step::Unless(condition, 0));
                if let Some(branches) = self.branches.last_mut() {
                    branches.condition = Some(condition);
                }
            }
            What::Else => self.end_branch(at, "\\else")?,
            What::Endif => {
                let Some(branches) = self.branches.pop() else {
                    return Err(self.mistake(at, "\\endif without \\if"));
                };
                let end = self.commands.len();
                branches.condition.into_iter().chain(branches.ends).for_each(|from| {
                    self.lead(from, end);
                });
            }
        }
        Ok(())
    }

    /// A branch of a condition is at its end, and another one begins.
    fn end_branch(&mut self, at: usize, name: &str) -> Result<(), ScriptMistake> {
        let condition = match self.branches.last_mut() {
            None => return Err(self.mistake(at, format!("{name} without \\if"))),
            Some(branches) => branches.condition.take(),
        };
        let Some(condition) = condition else {
            return Err(self.mistake(at, format!("{name} after \\else, which is the last branch")));
        };
        let end = self.push(at, Step::Jump(0));
        self.lead(condition, end + 1);
        if let Some(branches) = self.branches.last_mut() {
            branches.ends.push(end);
        }
        Ok(())
    }

    /// Has the jump at `from` lead to a command.
    fn lead(&mut self, from: usize, goal: usize) {
        match &mut self.commands[from].step {
            Step::Unless(_, to) | Step::Jump(to) => *to = goal,
            _ => {}
        }
    }

    fn finish(self) -> Result<(Vec<Command>, Vec<CommandLine>), ScriptMistake> {
        if let Some(branches) = self.branches.last() {
            return Err(self.mistake(branches.at, "\\if without \\endif"));
        }
        if self.commands.is_empty() {
            let message = "the script is empty: it has neither a statement nor a command";
            return Err(self.mistake(0, message));
        }
        Ok((self.commands, self.lines))
    }

    /// Encodes a statement: which operation it is, and its variables.
    fn statement(
        &mut self,
        at: usize,
        sql: &str,
        keeps_rows: bool,
    ) -> Result<(u32, Box<[Slot]>), ScriptMistake> {
        let found = variables(sql);
        if found.len() > PARAMETERS_MAX && self.protocol != Protocol::Simple {
            let message = format!("a statement can have {PARAMETERS_MAX} variables at most");
            return Err(self.mistake(at, message));
        }
        let is_copy = |one: &SqlCommand| matches!(one, SqlCommand::CopyIn | SqlCommand::CopyOut);
        if commands(sql).iter().any(is_copy) {
            return Err(
                self.mistake(at, "COPY is not supported: nobody would send or take its data")
            );
        }
        let number = self.operations.len();
        let encoded = match self.protocol {
            Protocol::Simple => Statement::verbatim(pieces(sql, &found, self.encoding)),
            protocol => {
                let parameters: Vec<_> =
                    (0..found.len()).map(|hole| Parameter { hole, type_oid: 0 }).collect();
                let name = format!("P{}_{number}", self.number);
                let encode = |text: &str| self.encoding.encode(text);
                Statement::encoded(&numbered(sql, &found), &parameters, protocol, &name, encode)
            }
        };
        let statement = encoded.map_err(|error| {
            let (place, message) = match error {
                StatementError::UnusedParameter(number) => (
                    at + found[number - 1].start - 1,
                    "a variable in a string, a comment or a quoted name needs -M simple: with the \
                     other protocols it is a parameter"
                        .into(),
                ),
                StatementError::MissingParameter(number) => (
                    at,
                    format!("the SQL has a parameter ${number}: write a variable, as in :name"),
                ),
                error => (at, error.to_string()),
            };
            self.mistake(place, message)
        })?;
        let statement = statement.prepared_late(number as u32);
        let statement = if keeps_rows { statement.keeping_rows() } else { statement };
        self.operations.push(Operation {
            name: sql.trim_end().into(),
            idempotent: false,
            request: Request::Postgres(statement),
            checks: Vec::new(),
        });
        let slots = found.iter().map(|range| self.names.slot(&sql[range.clone()])).collect();
        Ok((number as u32, slots))
    }
}

/// Where the names of variables stand in a statement, each behind its colon. pgbench looks for them
/// everywhere, in strings and comments too.
fn variables(sql: &str) -> Vec<Range<usize>> {
    let bytes = sql.as_bytes();
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80;
    let is_part = |byte: &u8| is_first(*byte) || byte.is_ascii_digit();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = memchr::memchr(b':', &bytes[at..]) {
        let start = at + colon + 1;
        if bytes.get(start).is_some_and(|byte| is_first(*byte)) {
            let length = bytes[start..].iter().take_while(|byte| is_part(byte)).count();
            found.push(start..start + length);
            at = start + length;
        } else {
            // Of `::int` neither colon begins a name.
            at = start + bytes[start..].iter().take_while(|byte| **byte == b':').count();
        }
    }
    found
}

fn pieces(sql: &str, variables: &[Range<usize>], encoding: Encoding) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for (hole, range) in variables.iter().enumerate() {
        pieces.push(Piece::Bytes(encoding.encode(&sql[at..range.start - 1])));
        pieces.push(Piece::Hole(hole));
        at = range.end;
    }
    pieces.push(Piece::Bytes(encoding.encode(&sql[at..])));
    pieces
}

fn numbered(sql: &str, variables: &[Range<usize>]) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut at = 0;
    for (number, range) in (1..).zip(variables) {
        text += &sql[at..range.start - 1];
        text += &format!("${number}");
        at = range.end;
    }
    text + &sql[at..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A piece of a script, whole or not.
    fn piece() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "\\set a ",
            "\\if ",
            "\\elif ",
            "\\else",
            "\\endif",
            "\\gset ",
            "\\aset p_",
            "\\sleep ",
            "\\",
            "\\startpipeline",
            "\\syncpipeline",
            "\\endpipeline",
            "\n",
            "\\\n",
            "\r\n",
            ";",
            "\\;",
            ":a",
            "::",
            "SELECT ",
            "CREATE FUNCTION ",
            "BEGIN ",
            "CASE ",
            "WHEN ",
            "THEN ",
            "END ",
            "NOT ",
            "IS NULL",
            "(",
            ")",
            "'",
            "E'\\'",
            "\"",
            "$a$",
            "$1",
            "--",
            "/*",
            "*/",
            "1",
            "1e5",
            "9223372036854775808",
            "random(1, 2)",
            "é",
            "\u{feff}",
            " ms",
        ]);
        prop_oneof![9 => word.prop_map(String::from), 1 => ".{0,3}"]
    }

    proptest! {
        #[test]
        fn any_text_is_a_script_or_a_mistake_with_its_place(
            pieces in prop::collection::vec(piece(), 0..30),
        ) {
            let text = pieces.concat();
            let source = Source::new("script".into(), text.clone().into(), 1);
            for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
                match compile(std::slice::from_ref(&source), protocol, &[], 1) {
                    Ok(compiled) => {
                        let lines = text.split('\n').count() as u32;
                        let commands = &compiled.workload.programs[0].commands;
                        prop_assert!(commands.iter().all(|command| command.line <= lines));
                        let targets = commands.iter().filter_map(|command| match command.step {
                            Step::Unless(_, to) | Step::Jump(to) => Some(to),
                            _ => None,
                        });
                        prop_assert!(targets.into_iter().all(|to| (1..=commands.len()).contains(&to)));
                    }
                    Err(mistake) => prop_assert!(mistake.to_string().starts_with("script:")),
                }
            }
        }
    }
}
