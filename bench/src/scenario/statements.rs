//! An operation's SQL: its statements, and how they are sent.

use wire::Request;
use wire::postgres::{
    Batch, Command, Fallback, Parameter, Pipeline, Protocol, Statement, StatementError, commands,
    parameter_type, renumbered,
};

use super::fields::{self, Fields};
use super::mistake::{Mistake, Mistakes, suggest};
use super::node::{Node, Value};
use super::variables::Variables;

/// The SQL of one operation.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    /// At least one.
    pub(crate) list: Vec<StatementFile>,
    sending: Sending,
}

/// How statements are sent.
#[derive(Debug, Clone, Copy)]
struct Sending {
    /// Whether BEGIN goes before them and COMMIT behind.
    transaction: bool,
    /// So many times in one request, each with values of its own.
    repeat: usize,
    pipeline: Pipeline,
}

/// One statement.
#[derive(Debug, Clone)]
pub(crate) struct StatementFile {
    /// Its text, whose `$n` are [`StatementFile::params`].
    pub(crate) text: String,
    pub(super) params: Vec<Param>,
    /// The text with its place, for mistakes that only the server knows of.
    pub(super) node: Node,
}

/// One `$n`: a variable's name and a type, as in `id:int8`.
#[derive(Debug, Clone)]
pub(super) struct Param {
    pub(super) parameter: Parameter,
    /// The type's name, where one is given.
    pub(super) type_name: Option<String>,
    pub(super) node: Node,
}

impl Statements {
    /// One statement without parameters, which stands in no file.
    pub(super) fn one(text: String) -> Self {
        let node = Node::outside_files(text.clone());
        let list = vec![StatementFile { text, params: Vec::new(), node }];
        let sending = Sending { transaction: false, repeat: 1, pipeline: Pipeline::Off };
        Self { list, sending }
    }
}

/// The most statements of one request.
const STATEMENTS_MAX: u64 = 10_000;

/// Reads `sql`, `params`, `transaction`, `repeat` and `pipeline`; `None` where there is no SQL, or
/// none that can be used.
pub(super) fn read(fields: &Fields<'_>, variables: &Variables) -> Option<Statements> {
    let params = params(fields, variables);
    let sending = Sending::read(fields);
    let Some(sql) = fields.get("sql") else {
        for name in Sending::KEYS {
            if let Some(node) = fields.get(name) {
                let message = format!("`{name}` is how `sql` is sent, and there is none");
                fields.mistakes.push(Mistake::error(&node.place, message));
            }
        }
        return None;
    };
    let texts = texts(sql, sending, fields.mistakes);
    let place = &fields.get("params").unwrap_or(sql).place;
    let list = statements(&texts?, &params?, place, fields.mistakes)?;
    sending?.check(fields, sql, list.len());
    (!list.is_empty()).then_some(Statements { list, sending: sending? })
}

impl Sending {
    const KEYS: [&str; 3] = ["transaction", "repeat", "pipeline"];

    fn read(fields: &Fields<'_>) -> Option<Self> {
        let transaction = fields.boolean("transaction").unwrap_or(false);
        let repeat = match fields.get("repeat") {
            None => Some(1),
            Some(_) => fields.count("repeat", 1..=STATEMENTS_MAX),
        };
        let pipelines = [Pipeline::Off, Pipeline::SyncEach, Pipeline::SyncOnce];
        let words = pipelines.map(|pipeline| (pipeline.name(), pipeline));
        let pipeline = fields.word("pipeline", &words).unwrap_or(Pipeline::Off);
        Some(Self { transaction, repeat: repeat? as usize, pipeline })
    }

    /// Whether so many statements and what goes with them make sense.
    fn check(self, fields: &Fields<'_>, sql: &Node, statements: usize) {
        let Self { transaction, repeat, pipeline } = self;
        let count = statements * repeat + if transaction { 2 } else { 0 };
        if count == 1 && pipeline != Pipeline::Off {
            let node = fields.get("pipeline").unwrap_or(sql);
            let message = "`pipeline` is for several statements, and this is one";
            let help = "add `repeat`, or leave `pipeline` out";
            fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        }
        if count as u64 > STATEMENTS_MAX {
            let node = fields.get("repeat").unwrap_or(sql);
            let message = format!("{count} statements are too many: {STATEMENTS_MAX} is the most");
            fields.mistakes.push(Mistake::error(&node.place, message));
        }
    }
}

/// The texts of `sql`, with their places.
fn texts<'a>(
    sql: &'a Node,
    sending: Option<Sending>,
    mistakes: &Mistakes,
) -> Option<Vec<(&'a Node, &'a str)>> {
    let (nodes, is_list) = match &sql.value {
        Value::List(nodes) => (nodes.as_slice(), true),
        _ => (std::slice::from_ref(sql), false),
    };
    if nodes.is_empty() {
        let message = "`sql` has no statement";
        mistakes.push(Mistake::error(&sql.place, message).help("write one, or leave `sql` out"));
    }
    let transaction = sending.is_some_and(|sending| sending.transaction);
    // One text that is sent alone may hold several, in the simple protocol.
    let is_batch = is_list || transaction || sending.is_some_and(|sending| sending.repeat > 1);
    let mut blocks = Blocks { transaction, open: None };
    let texts = nodes.iter().map(|node| {
        let text = fields::text(node, "sql", mistakes)?;
        blocks.see(node, &commands(text), is_batch, mistakes);
        Some((node, text))
    });
    let texts: Vec<_> = texts.collect();
    blocks.finish(mistakes);
    texts.into_iter().collect()
}

/// The transaction blocks that statements begin and end by themselves.
struct Blocks<'a> {
    /// Whether the scenario does that for them.
    transaction: bool,
    /// Where one was begun that has not ended.
    open: Option<&'a Node>,
}

impl<'a> Blocks<'a> {
    fn see(&mut self, node: &'a Node, commands: &[Command], is_batch: bool, mistakes: &Mistakes) {
        let wrong = |message: &str, help: &str| {
            mistakes.push(Mistake::error(&node.place, message).help(help));
        };
        if is_batch && commands.len() != 1 {
            wrong("this is not one statement", "make `sql` a list, with an entry for each");
        }
        for command in commands {
            match command {
                Command::Begin | Command::End if self.transaction => {
                    wrong(
                        "`transaction = true` sends BEGIN and COMMIT by itself",
                        "leave this out",
                    );
                }
                Command::Begin => self.open = Some(node),
                Command::End => self.open = None,
                Command::CopyIn => {
                    wrong("COPY FROM STDIN waits for data, and none is sent here", "use INSERT");
                }
                Command::Read | Command::Listen | Command::CopyOut | Command::Other => {}
            }
        }
    }

    fn finish(self, mistakes: &Mistakes) {
        if let Some(node) = self.open {
            let message = "a transaction begins here, and the operation does not end it";
            let help = "end it in the same operation, with COMMIT; or leave BEGIN out and write \
                        transaction = true";
            mistakes.push(Mistake::error(&node.place, message).help(help));
        }
    }
}

/// The statements with the parameters that each of them uses; `place` is where those are given.
fn statements(
    texts: &[(&Node, &str)],
    params: &[Param],
    place: &super::mistake::Place,
    mistakes: &Mistakes,
) -> Option<Vec<StatementFile>> {
    let wrong = |place, error: StatementError| {
        let help = "entry n of `params` is for $n";
        mistakes.push(Mistake::error(place, error.to_string()).help(help));
    };
    let mut is_used = vec![false; params.len()];
    let mut list = Vec::new();
    let mut is_good = true;
    for (node, text) in texts {
        let (text, numbers) = renumbered(text);
        let own = |number: &usize| params.get(number.checked_sub(1)?).cloned();
        let known: Vec<_> = numbers.iter().filter_map(own).collect();
        if let Some(number) = numbers.iter().find(|number| own(number).is_none()) {
            wrong(place, StatementError::MissingParameter(*number));
            is_good = false;
            continue;
        }
        numbers.iter().for_each(|number| is_used[number - 1] = true);
        let parameters: Vec<_> = known.iter().map(|param| param.parameter).collect();
        if let Err(error) = Statement::new(&text, &parameters, Protocol::Extended, "") {
            wrong(&node.place, error);
            is_good = false;
        }
        list.push(StatementFile { text, params: known, node: (*node).clone() });
    }
    if let Some(unused) = is_used.iter().position(|is_used| !is_used).filter(|_| is_good) {
        wrong(place, StatementError::UnusedParameter(unused + 1));
        is_good = false;
    }
    is_good.then_some(list)
}

fn params(fields: &Fields<'_>, variables: &Variables) -> Option<Vec<Param>> {
    fields.get("params").map_or(Some(&[][..]), |_| fields.list("params")).map(|nodes| {
        let params: Vec<_> =
            nodes.iter().map(|node| param(node, variables, fields.mistakes)).collect();
        params.into_iter().collect::<Option<Vec<_>>>()
    })?
}

fn param(node: &Node, variables: &Variables, mistakes: &Mistakes) -> Option<Param> {
    let text = fields::text(node, "params", mistakes)?;
    let (name, type_name) = match text.split_once(':') {
        Some((name, type_name)) => (name, Some(type_name)),
        None => (text, None),
    };
    let hole = variables.hole(name);
    if hole.is_none() {
        let message = format!("`params` names `{name}`, and there is no such variable");
        let help = suggest(name, variables.names());
        mistakes.push(Mistake::error(&node.place, message).help(help));
    }
    let type_oid = type_name.map_or(Some(0), parameter_type);
    if type_oid.is_none() {
        let message = format!("`{}` is no type that is known here", type_name.unwrap_or_default());
        let help = format!(
            "known are int2, int4, int8, float4, float8, numeric, bool, text, varchar, uuid, date, \
             timestamp, timestamptz, json and jsonb; or write \"{name}\", and the server infers it"
        );
        mistakes.push(Mistake::error(&node.place, message).help(help));
    }
    Some(Param {
        parameter: Parameter { hole: hole?, type_oid: type_oid? },
        type_name: type_name.map(Into::into),
        node: node.clone(),
    })
}

impl Statements {
    /// What each of their statements does; a text may hold several.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&StatementFile, Command)> {
        let of = |statement: &'_ StatementFile| commands(&statement.text);
        self.list.iter().flat_map(move |one| of(one).into_iter().map(move |command| (one, command)))
    }

    /// Whether they begin a transaction block.
    pub(super) fn has_transaction(&self) -> bool {
        self.sending.transaction || self.commands().any(|(_, command)| command == Command::Begin)
    }

    /// So many times they are sent in one request, each with values of its own.
    pub(super) fn repeat(&self) -> usize {
        self.sending.repeat
    }

    /// Whether all are on their way at once with a Sync each.
    pub(super) fn has_syncs_ahead(&self) -> bool {
        self.sending.pipeline == Pipeline::SyncEach
    }

    /// Whether more than one is on its way at a time.
    pub(crate) fn is_pipelined(&self) -> bool {
        self.sending.pipeline != Pipeline::Off
    }

    /// Encodes them for one target. `name` is the operation's; `values` says how many values it
    /// draws for one repetition, and `expect` which of them the first row must bring back.
    pub(super) fn encode(
        &self,
        name: &str,
        values: usize,
        expect: Option<usize>,
        protocol: Protocol,
        fallback: Option<&Fallback>,
    ) -> Result<Request, StatementError> {
        let new = |text: &str, parameters: &[Parameter], name: &str| {
            let statement = Statement::new(text, parameters, protocol, name)?;
            Ok(match fallback {
                Some(fallback) => statement.or_unnamed(fallback),
                None => statement,
            })
        };
        let Sending { transaction, repeat, pipeline } = self.sending;
        let mut statements = Vec::new();
        if transaction {
            statements.push(new("BEGIN", &[], &format!("{name}.begin"))?);
        }
        for repetition in 0..repeat {
            for (number, file) in self.list.iter().enumerate() {
                let parameter = |param: &Param| {
                    let hole = param.parameter.hole + repetition * values;
                    Parameter { hole, ..param.parameter }
                };
                let parameters: Vec<_> = file.params.iter().map(parameter).collect();
                let statement = match self.list.len() {
                    1 => new(&file.text, &parameters, name)?,
                    _ => new(&file.text, &parameters, &format!("{name}.{}", number + 1))?,
                };
                statements.push(match expect.filter(|_| number == 0) {
                    Some(hole) => statement.expect_first_column(hole + repetition * values),
                    None => statement,
                });
            }
        }
        if transaction {
            statements.push(new("COMMIT", &[], &format!("{name}.commit"))?);
        }
        Ok(match statements.len() {
            1 => Request::Postgres(statements.remove(0)),
            _ => Request::PostgresBatch(Batch::new(statements, pipeline).into()),
        })
    }
}
