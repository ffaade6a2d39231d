//! Statements against the database.

use std::sync::mpsc;
use std::time::Duration;

use postgres::Client;
use postgres::error::ErrorPosition;
use postgres::types::Type;

use super::super::mistake::Mistake;
use super::super::operation::OperationFile;
use super::super::statements::{Param, StatementFile};
use super::{OFFLINE, Scenario, TargetFile, counted, mistake_in, value};
use crate::conninfo::{Conninfo, with_sources};

/// How long a login and all statements of a target may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One statement and the types that the scenario gives its parameters; 0 for those it leaves to
/// the server.
#[derive(Clone)]
struct Question {
    sql: String,
    oids: Vec<u32>,
}

/// What the server says of a statement.
enum Answer {
    /// It fits; this is what the server takes the parameters for, if nobody tells it.
    Fits(Vec<Type>),
    /// It does not: the server's words, and where in the text (from 1, in characters).
    Wrong { message: String, position: Option<usize> },
}

/// Logs in, and prepares every statement where `is_asked`. Gives a line about it.
pub(super) fn ask(
    scenario: &Scenario,
    target: &TargetFile,
    is_asked: bool,
    mistakes: &mut Vec<Mistake>,
) -> String {
    let statements = scenario.operations.iter().flat_map(|operation| {
        let list = operation.sql.iter().flat_map(|sql| &sql.list);
        list.map(move |statement| (operation, statement))
    });
    let statements: Vec<_> = statements.filter(|_| is_asked).collect();
    let question = |(_, statement): &(&OperationFile, &StatementFile)| Question {
        sql: statement.text.clone(),
        oids: statement.params.iter().map(|param| param.parameter.type_oid).collect(),
    };
    let questions: Vec<_> = statements.iter().map(question).collect();
    let answers = Conninfo::parse(target.conninfo.as_deref().unwrap_or_default())
        .map_err(|error| error.to_string())
        .and_then(|conninfo| {
            let place = conninfo.place();
            let answers = within_time(conninfo, questions);
            answers.map_err(|problem| format!("{place} can't be asked: {problem}"))
        });
    let answers = match answers {
        Ok(answers) => answers,
        Err(problem) => {
            mistakes.push(target.mistake("conninfo", problem).help(OFFLINE));
            return String::new();
        }
    };
    for ((operation, statement), answer) in statements.iter().zip(answers) {
        compare(operation, statement, answer, mistakes);
    }
    match is_asked {
        true => format!("{} prepared", counted(statements.len(), "SQL statement")),
        false => "the login works; statements were prepared on the server behind it".into(),
    }
}

/// A peer that accepts and then is silent must not hold up the command: a thread waits for it.
fn within_time(conninfo: Conninfo, questions: Vec<Question>) -> Result<Vec<Answer>, String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(prepare(conninfo, &questions));
    });
    let silence = format!("no answer within {} s", TIMEOUT.as_secs());
    receiver.recv_timeout(TIMEOUT).unwrap_or(Err(silence))
}

fn prepare(conninfo: Conninfo, questions: &[Question]) -> Result<Vec<Answer>, String> {
    let mut client = conninfo.connect()?;
    let answers = questions.iter().map(|question| prepare_one(&mut client, question));
    answers.collect::<Result<_, _>>().map_err(|error| with_sources(&error))
}

/// In a transaction: through a pooler, what is prepared and closed stays on one server connection.
fn prepare_one(client: &mut Client, question: &Question) -> Result<Answer, postgres::Error> {
    let inferred = attempt(client, &question.sql, &[])?;
    let types: Vec<_> =
        question.oids.iter().map(|oid| Type::from_oid(*oid).unwrap_or(Type::UNKNOWN)).collect();
    if types.iter().all(|ty| *ty == Type::UNKNOWN) {
        return Ok(inferred);
    }
    Ok(match (attempt(client, &question.sql, &types)?, inferred) {
        (Answer::Fits(_), Answer::Fits(inferred)) => Answer::Fits(inferred),
        (told, _) => told,
    })
}

fn attempt(client: &mut Client, sql: &str, types: &[Type]) -> Result<Answer, postgres::Error> {
    let mut transaction = client.transaction()?;
    let answer = match transaction.prepare_typed(sql, types) {
        Ok(statement) => Answer::Fits(statement.params().to_vec()),
        Err(error) => match error.as_db_error() {
            Some(told) => Answer::Wrong {
                message: format!("{} (SQLSTATE {})", told.message(), told.code().code()),
                position: match told.position() {
                    Some(ErrorPosition::Original(at)) => Some(*at as usize),
                    _ => None,
                },
            },
            None => return Err(error),
        },
    };
    transaction.rollback()?;
    Ok(answer)
}

fn compare(
    operation: &OperationFile,
    statement: &StatementFile,
    answer: Answer,
    mistakes: &mut Vec<Mistake>,
) {
    let StatementFile { text, params, node } = statement;
    match answer {
        Answer::Wrong { message, position } => {
            let before: String =
                text.chars().take(position.unwrap_or(1).saturating_sub(1)).collect();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = format!("operation {}: Postgres says: {message}", operation.name);
            mistakes.push(match position {
                Some(_) => mistake_in(node, line, column, message),
                None => Mistake::error(&node.place, message),
            });
        }
        Answer::Fits(inferred) => {
            for (number, (param, inferred)) in params.iter().zip(&inferred).enumerate() {
                mistakes.extend(compare_type(operation, number + 1, param, inferred));
            }
        }
    }
}

/// Types that an index of one of them serves alike (Postgres manual, 11.10 "Operator Classes and
/// Operator Families").
fn family(ty: &Type) -> u32 {
    match *ty {
        Type::INT2 | Type::INT4 | Type::INT8 => Type::INT8.oid(),
        Type::FLOAT4 | Type::FLOAT8 => Type::FLOAT8.oid(),
        Type::VARCHAR | Type::TEXT => Type::TEXT.oid(),
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => Type::TIMESTAMP.oid(),
        ref other => other.oid(),
    }
}

/// The declared type against the one the server would take, and both against the values.
fn compare_type(
    operation: &OperationFile,
    number: usize,
    param: &Param,
    inferred: &Type,
) -> Option<Mistake> {
    let declared = Type::from_oid(param.parameter.type_oid);
    let ty = declared.as_ref().unwrap_or(inferred);
    let generator = &operation.variables.generators[param.parameter.hole];
    let fits = match *ty {
        Type::INT2 => value::is_integer(generator, (i16::MIN.into(), i16::MAX.into())),
        Type::INT4 => value::is_integer(generator, (i32::MIN.into(), i32::MAX.into())),
        Type::INT8 => value::is_integer(generator, (i64::MIN, i64::MAX)),
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => value::is_number(generator),
        Type::BOOL => value::is_boolean(generator) || value::is_text(generator),
        Type::UUID => value::is_text(generator),
        _ => true,
    };
    if !fits {
        let drawn = value::describe(generator);
        let message = format!("operation {}: ${number} is {ty}, and gets {drawn}", operation.name);
        return Some(Mistake::error(&param.node.place, message));
    }
    if declared.is_some() && family(ty) != family(inferred) {
        let given = param.type_name.as_deref().unwrap_or_default();
        let message = format!(
            "operation {}: ${number} is declared {given}, and Postgres would take {inferred}",
            operation.name
        );
        let help = "with another type an index may not be used";
        return Some(Mistake::warning(&param.node.place, message).help(help));
    }
    None
}
