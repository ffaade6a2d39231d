//! One table of a scenario file, read key by key. What is wrong is reported, and reading goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use engine::{MILLISECOND, Nanos};

use super::mistake::{Mistake, Mistakes, Place, nearest, suggest};
use super::node::{Node, Table, Value};
use crate::duration;

/// A table whose keys are asked for by name; [`Fields::finish`] reports those nobody asked for.
pub(super) struct Fields<'a> {
    pub(super) place: &'a Place,
    /// What it is called in messages, as in `[load]`.
    what: String,
    table: &'a Table,
    known: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<Missing>>,
    pub(super) mistakes: &'a Mistakes,
}

/// A mistake that is none where one of `names` was only misspelt.
struct Missing {
    names: Vec<String>,
    mistake: Mistake,
}

impl<'a> Fields<'a> {
    /// Reads `node`, called `what`; `None` where it is no table.
    pub(super) fn new(
        node: &'a Node,
        what: impl Into<String>,
        mistakes: &'a Mistakes,
    ) -> Option<Self> {
        let what = what.into();
        match &node.value {
            Value::Table(table) => {
                let known = RefCell::new(Vec::new());
                let missing = RefCell::default();
                Some(Self { place: &node.place, what, table, known, missing, mistakes })
            }
            Value::Unknown => None,
            _ => {
                mistakes.push(wrong(node, &what, "a table"));
                None
            }
        }
    }

    /// The value of `name`, which k6 may write in camel case.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(name);
        let (own, alias) = (self.table.get(name), self.table.get(&camel(name)));
        match (own, alias) {
            (Some(own), Some(alias)) if !std::ptr::eq(own, alias) => {
                let message = format!("`{}` and `{name}` are the same", camel(name));
                self.mistakes.push(Mistake::error(&alias.place, message).help("keep one of them"));
                Some(own)
            }
            (own, alias) => own.or(alias),
        }
    }

    /// The value of `name`, reported where it is missing.
    pub(super) fn required(&self, name: &'static str, help: &str) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() {
            self.missing(name, help);
        }
        node
    }

    /// Reports that `name` is missing, unless it turns out to be misspelt.
    pub(super) fn missing(&self, name: &str, help: &str) {
        self.missing_all(&[name], format!("{} has no `{name}`", self.what), help);
    }

    /// Reports that all of `names` are missing, unless one of them turns out to be misspelt.
    pub(super) fn missing_all(&self, names: &[&str], message: String, help: &str) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mistake = Mistake::error(self.place, message).help(help);
        self.missing.borrow_mut().push(Missing { names, mistake });
    }

    /// Reports keys that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        let is_known =
            |name: &str| known.iter().any(|known| *known == name || camel(known) == name);
        for (key, _) in self.table.0.iter().filter(|(key, _)| !is_known(&key.name)) {
            let mistake =
                Mistake::error(&key.place, format!("{} has no key `{}`", self.what, key.name));
            self.mistakes.push(mistake.help(suggest(&key.name, known.iter().copied())));
            if let Some(meant) = nearest(&key.name, known.iter().copied()) {
                self.missing
                    .borrow_mut()
                    .retain(|missing| !missing.names.iter().any(|name| name == meant));
            }
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Option<&'a str> {
        self.get(name).and_then(|node| text(node, name, self.mistakes))
    }

    pub(super) fn boolean(&self, name: &'static str) -> Option<bool> {
        let node = self.get(name)?;
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => self.wrong(node, name, "true or false"),
        }
    }

    /// A whole number in `range`.
    pub(super) fn count(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.get(name)?;
        let in_range =
            |number: &i64| u64::try_from(*number).is_ok_and(|number| range.contains(&number));
        match &node.value {
            Value::Integer(number) if in_range(number) => Some(*number as u64),
            Value::Integer(number) => {
                let (from, to) = (range.start(), range.end());
                let to = if *to > u64::from(u32::MAX) { "on".into() } else { format!("to {to}") };
                let message =
                    format!("`{name}` must be a whole number from {from} {to}, not {number}");
                self.mistakes.push(Mistake::error(&node.place, message));
                None
            }
            _ => self.wrong(node, name, "a whole number"),
        }
    }

    /// A number of 0 or more.
    pub(super) fn number(&self, name: &'static str) -> Option<f64> {
        self.get(name).and_then(|node| number(node, name, self.mistakes))
    }

    pub(super) fn duration(&self, name: &'static str) -> Option<Nanos> {
        self.get(name).and_then(|node| length(node, name, self.mistakes))
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let node = self.get(name)?;
        let given = text(node, name, self.mistakes)?;
        let found = words.iter().find(|(word, _)| *word == given);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let all = format!("it is one of {}", known.join(", "));
            let help = match nearest(given, known) {
                Some(meant) => format!("did you mean `{meant}`? {all}"),
                None => all,
            };
            let message = format!("`{name}` can't be `{given}`");
            self.mistakes.push(Mistake::error(&node.place, message).help(help));
        }
        found.map(|(_, value)| *value)
    }

    /// A list's nodes.
    pub(super) fn list(&self, name: &'static str) -> Option<&'a [Node]> {
        let node = self.get(name)?;
        match &node.value {
            Value::List(nodes) => Some(nodes),
            _ => self.wrong(node, name, "a list"),
        }
    }

    /// A table's entries.
    pub(super) fn entries(&self, name: &'static str) -> Option<&'a Table> {
        let node = self.get(name)?;
        match &node.value {
            Value::Table(table) => Some(table),
            _ => self.wrong(node, name, "a table"),
        }
    }

    fn wrong<T>(&self, node: &Node, name: &str, wanted: &str) -> Option<T> {
        if !node.is_unknown() {
            self.mistakes.push(wrong(node, &format!("`{name}`"), wanted));
        }
        None
    }
}

impl Drop for Fields<'_> {
    /// Reports what is missing, whether the table was read to its end or not.
    fn drop(&mut self) {
        for missing in self.missing.take() {
            self.mistakes.push(missing.mistake);
        }
    }
}

/// `what` has a value of the wrong type.
pub(super) fn wrong(node: &Node, what: &str, wanted: &str) -> Mistake {
    Mistake::error(&node.place, format!("{what} must be {wanted}, not {}", node.kind()))
}

/// The node's text, called `name`.
pub(super) fn text<'a>(node: &'a Node, name: &str, mistakes: &Mistakes) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Unknown => None,
        _ => {
            mistakes.push(wrong(node, &format!("`{name}`"), "a text"));
            None
        }
    }
}

/// The node's number of 0 or more, called `name`.
pub(super) fn number(node: &Node, name: &str, mistakes: &Mistakes) -> Option<f64> {
    let number = match node.value {
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        Value::Unknown => return None,
        _ => {
            mistakes.push(wrong(node, &format!("`{name}`"), "a number"));
            return None;
        }
    };
    if number.is_finite() && number >= 0.0 {
        return Some(number);
    }
    let message = format!("`{name}` can't be {number}: 0 is the least");
    mistakes.push(Mistake::error(&node.place, message));
    None
}

/// The node's duration in ns, called `name`; a plain number is milliseconds, as in k6.
pub(super) fn length(node: &Node, name: &str, mistakes: &Mistakes) -> Option<Nanos> {
    let parsed = match &node.value {
        Value::Text(text) => duration::parse(text),
        Value::Integer(number) => u64::try_from(*number)
            .ok()
            .and_then(|number| number.checked_mul(MILLISECOND))
            .ok_or_else(|| format!("{number} ms is no duration: 0 is the least")),
        Value::Unknown => return None,
        _ => {
            let wanted = "a duration such as \"30s\", or milliseconds";
            mistakes.push(wrong(node, &format!("`{name}`"), wanted));
            return None;
        }
    };
    let wrong = |problem| Mistake::error(&node.place, format!("`{name}`: {problem}"));
    parsed.map_err(|problem| mistakes.push(wrong(problem))).ok()
}

/// As k6 writes it: `startTime`, `preAllocatedVUs`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| match word {
        "vus" => all + "VUs",
        word => {
            let (initial, rest) = word.split_at(word.len().min(1));
            all + &initial.to_uppercase() + rest
        }
    })
}

#[cfg(test)]
mod tests {
    use super::camel;

    #[test]
    fn camel_case_is_k6s() {
        let names = ["vus", "start_vus", "pre_allocated_vus", "graceful_ramp_down", "time_unit"];
        let k6 = ["vus", "startVUs", "preAllocatedVUs", "gracefulRampDown", "timeUnit"];
        assert_eq!(names.map(camel), k6);
    }
}
