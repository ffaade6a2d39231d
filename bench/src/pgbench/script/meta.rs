//! Backslash commands.

use engine::Nanos;
use engine::pgbench::{Amount, KeepRows, is_variable_name};

use super::{Names, Problem, What, expression, invalid_name, is_space};

/// What a backslash command is.
#[derive(Debug)]
pub(super) enum Meta {
    Command(What),
    /// It belongs to the statement before it.
    KeepRows(KeepRows),
}

/// A word, with where it begins in the script.
type Word<'a> = (usize, &'a str);

/// Reads the command behind the backslash before `from`; where the script goes on.
pub(super) fn read(text: &str, from: usize, names: &Names) -> Result<(Meta, usize), Problem> {
    let next = end_of_line(text, from);
    let mut rest = Words { text: &text[..next], at: from };
    let Some((at, name)) = rest.next() else {
        let message = format!("a backslash without a command: {COMMANDS}");
        return Err(Problem::new(from - 1, message));
    };
    let at = at - 1;
    let meta = match &*name.to_ascii_lowercase() {
        "set" => set(at, rest, names)?,
        "if" => Meta::Command(What::If(rest.expression(names)?)),
        "elif" => Meta::Command(What::Elif(rest.expression(names)?)),
        "else" => rest.none(name, What::Else)?,
        "endif" => rest.none(name, What::Endif)?,
        "startpipeline" => rest.none(name, What::StartPipeline)?,
        "syncpipeline" => rest.none(name, What::SyncPipeline)?,
        "endpipeline" => rest.none(name, What::EndPipeline)?,
        "sleep" => sleep(at, rest, names)?,
        "gset" => keep_rows(name, rest, true)?,
        "aset" => keep_rows(name, rest, false)?,
        "setshell" | "shell" => {
            let message = format!(
                "\\{name} starts a program, which is not done here: let SQL find the value, and keep \
                 it with \\gset"
            );
            return Err(Problem::new(at, message));
        }
        _ => {
            let message = format!("invalid command \"\\{name}\": {COMMANDS}");
            return Err(Problem::new(at, message));
        }
    };
    Ok((meta, next))
}

const COMMANDS: &str = "the commands are \\set, \\gset, \\aset, \\if, \\elif, \\else, \\endif, \
                        \\sleep, \\startpipeline, \\syncpipeline and \\endpipeline";

fn set(at: usize, mut rest: Words<'_>, names: &Names) -> Result<Meta, Problem> {
    let Some((place, name)) = rest.next() else {
        let message = "missing argument in command \"set\": \\set NAME EXPRESSION";
        return Err(Problem::new(at, message));
    };
    if !is_variable_name(name.bytes()) {
        return Err(Problem::new(place, invalid_name(name)));
    }
    let slot = names.slot(name);
    Ok(Meta::Command(What::Set(slot, rest.expression(names)?)))
}

fn sleep(at: usize, rest: Words<'_>, names: &Names) -> Result<Meta, Problem> {
    let words: Vec<_> = rest.collect();
    let (amount, unit) = match *words {
        [] => {
            let message = "missing argument in command \"sleep\": \\sleep NUMBER [us | ms | s]";
            return Err(Problem::new(at, message));
        }
        [amount] => match amount.1.strip_prefix(':') {
            Some(_) => (amount, None),
            // The unit may stand at the number.
            None => {
                let digits = amount.1.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = amount.1.split_at(digits);
                let unit = (!unit.is_empty()).then_some((amount.0 + digits, unit));
                ((amount.0, number), unit)
            }
        },
        [amount, unit] => (amount, Some(unit)),
        [_, _, more, ..] => {
            let message = format!("too many arguments in command \"sleep\": \"{}\"", more.1);
            return Err(Problem::new(more.0, message));
        }
    };
    let unit_ns: Nanos = match unit.map(|(at, unit)| (at, unit.to_ascii_lowercase())) {
        None => 1_000_000_000,
        Some((at, unit)) => match &*unit {
            "us" => 1000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => {
                let message = format!("unrecognized time unit \"{unit}\": must be us, ms or s");
                return Err(Problem::new(at, message));
            }
        },
    };
    let amount = match (amount.1.strip_prefix(':'), amount.1.parse::<i64>()) {
        (Some(name), _) if is_variable_name(name.bytes()) => Amount::Variable(names.slot(name)),
        (None, Ok(number)) => Amount::Constant(number),
        _ => {
            let message = format!("invalid sleep time \"{}\": a number or a variable", amount.1);
            return Err(Problem::new(amount.0, message));
        }
    };
    Ok(Meta::Command(What::Sleep(amount, unit_ns)))
}

fn keep_rows(name: &str, mut rest: Words<'_>, is_single: bool) -> Result<Meta, Problem> {
    let prefix = match rest.next() {
        None => "",
        Some((_, prefix)) if is_variable_name(prefix.bytes()) => prefix,
        Some((at, prefix)) => return Err(Problem::new(at, invalid_name(prefix))),
    };
    rest.end(|| format!("\\{name} takes one prefix"))?;
    Ok(Meta::KeepRows(KeepRows { prefix: prefix.into(), is_single }))
}

/// A command ends with its line, unless a backslash is the line's last character.
fn end_of_line(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(length) = text[at..].find('\n') {
        at += length + 1;
        let line = &text[from..at - 1];
        if !line.strip_suffix('\r').unwrap_or(line).ends_with('\\') {
            return at;
        }
    }
    text.len()
}

/// The words of a command from `at` on.
#[derive(Clone, Copy)]
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let is_end =
            |(at, c): (usize, char)| (is_space(c) || is_continued(&rest[at..])).then_some(at);
        let length = rest.char_indices().find_map(is_end).unwrap_or(rest.len());
        let word = (self.at, &rest[..length]);
        self.at += length;
        (length > 0).then_some(word)
    }
}

fn is_continued(text: &str) -> bool {
    text.starts_with("\\\n") || text.starts_with("\\\r\n")
}

impl Words<'_> {
    fn skip_space(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next()
            && (is_space(c) || is_continued(&self.text[self.at..]))
        {
            self.at += c.len_utf8();
        }
    }

    /// All the rest is one expression.
    fn expression(self, names: &Names) -> Result<engine::pgbench::Expression, Problem> {
        let text = &self.text[self.at..];
        expression::read(text, names)
            .map_err(|problem| Problem { at: self.at + problem.at, ..problem })
    }

    fn end(mut self, why: impl Fn() -> String) -> Result<(), Problem> {
        match self.next() {
            Some((at, word)) => {
                Err(Problem::new(at, format!("unexpected argument \"{word}\": {}", why())))
            }
            None => Ok(()),
        }
    }

    fn none(self, name: &str, what: What) -> Result<Meta, Problem> {
        self.end(|| format!("\\{name} takes none"))?;
        Ok(Meta::Command(what))
    }
}
