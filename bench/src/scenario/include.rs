//! `include = "nova.toml"`: another file's targets, auth, operations, processes and what to
//! observe, under this file's own.

use std::path::{Path, PathBuf};

use super::mistake::{Mistake, Mistakes, Source, list};
use super::node::{self, Node, Table, Value};
use super::{Lookup, fields};

/// What an included file may give; the rest of it is not looked at.
const MERGED: [&str; 5] = ["targets", "auth", "operations", "processes", "observe"];

/// The files that a scenario was read from, the first one first.
pub(super) struct Files<'a> {
    pub(super) sources: Vec<Source>,
    /// The folder of each, which paths in it are relative to.
    pub(super) folders: Vec<PathBuf>,
    lookup: Lookup<'a>,
    mistakes: &'a Mistakes,
    /// Files that are being read, to find a circle.
    open: Vec<PathBuf>,
}

impl<'a> Files<'a> {
    pub(super) fn new(lookup: Lookup<'a>, mistakes: &'a Mistakes) -> Self {
        Self { sources: Vec::new(), folders: Vec::new(), lookup, mistakes, open: Vec::new() }
    }

    /// Reads the file called `name` with what it includes.
    pub(super) fn read(&mut self, name: &str, text: String) -> Node {
        let path = Path::new(name);
        let file = self.sources.len();
        let folder = path.parent().unwrap_or(Path::new(""));
        self.sources.push(Source { name: name.into(), text });
        self.folders.push(folder.into());
        self.open.push(path.canonicalize().unwrap_or_else(|_| path.into()));
        let mut root = node::parse(file, &self.sources[file], self.lookup, self.mistakes);
        if let Value::Table(table) = &mut root.value
            && let Some(include) = table.get("include")
            && let Some(other) = self.included(include, folder)
        {
            merge(table, other);
        }
        self.open.pop();
        root
    }

    fn included(&mut self, include: &Node, folder: &Path) -> Option<Table> {
        let name = fields::text(include, "include", self.mistakes)?;
        let path = folder.join(name);
        let wrong = |message: String| Mistake::syntax(&include.place, message);
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(at) = self.open.iter().position(|open| *open == canonical) {
            let names = self.open[at..].iter().map(|path| path.display().to_string());
            let names: Vec<_> = names.collect();
            let message = format!("`{name}` includes itself");
            let circle = list(names.iter().map(String::as_str));
            let help = match names.len() {
                1 => "leave it out".into(),
                _ => format!("the circle is {circle}: leave one of the includes out"),
            };
            self.mistakes.push(wrong(message).help(help));
            return None;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => match self.read(&path.display().to_string(), text).value {
                Value::Table(table) => Some(table),
                _ => None,
            },
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let help = "the path of `include` is relative to the file it is in";
                self.mistakes.push(wrong(message).help(help));
                None
            }
        }
    }
}

/// Adds what `other` has to `table`, whose own entries go before.
fn merge(table: &mut Table, other: Table) {
    for (key, mut theirs) in other.0 {
        if !MERGED.contains(&key.name.as_str()) {
            continue;
        }
        match table.get_mut(&key.name) {
            None => table.0.push((key, theirs)),
            Some(ours) => match key.name.as_str() {
                // Another token is another way in: the two are never mixed.
                "auth" => {}
                "targets" => merge_targets(ours, theirs),
                "operations" => merge_operations(ours, &mut theirs),
                _ => merge_keys(ours, theirs),
            },
        }
    }
}

/// Adds the keys that are not there yet.
fn merge_keys(ours: &mut Node, theirs: Node) {
    let (Value::Table(ours), Value::Table(theirs)) = (&mut ours.value, theirs.value) else {
        return;
    };
    for (key, node) in theirs.0 {
        if ours.get(&key.name).is_none() {
            ours.0.push((key, node));
        }
    }
}

/// As [`merge_keys`], in each target; a target is somewhere else only as a whole.
fn merge_targets(ours: &mut Node, theirs: Node) {
    let (Value::Table(ours), Value::Table(theirs)) = (&mut ours.value, theirs.value) else {
        return;
    };
    for (key, mut node) in theirs.0 {
        match ours.get_mut(&key.name) {
            None => ours.0.push((key, node)),
            Some(target) => {
                let place = ["url", "conninfo"];
                if let Value::Table(own) = &target.value
                    && place.iter().any(|key| own.get(key).is_some())
                    && let Value::Table(other) = &mut node.value
                {
                    other.0.retain(|(key, _)| !place.contains(&key.name.as_str()));
                }
                merge_keys(target, node);
            }
        }
    }
}

/// As [`merge_keys`], in each operation of the same name; theirs come first, in their order.
fn merge_operations(ours: &mut Node, theirs: &mut Node) {
    let (Value::List(ours), Value::List(theirs)) = (&mut ours.value, &mut theirs.value) else {
        return;
    };
    let name = |node: &Node| match &node.value {
        Value::Table(table) => table.get("name").map(|name| name.value.clone()),
        _ => None,
    };
    let mut all = Vec::with_capacity(ours.len() + theirs.len());
    for theirs in theirs.drain(..) {
        let same = ours.iter().position(|own| name(own).is_some() && name(own) == name(&theirs));
        all.push(match same {
            Some(at) => {
                let mut own = ours.remove(at);
                merge_keys(&mut own, theirs);
                own
            }
            None => theirs,
        });
    }
    all.append(ours);
    *ours = all;
}
