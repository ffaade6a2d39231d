//! The variables of all scripts of a run.

use std::cell::RefCell;
use std::sync::Arc;

use engine::pgbench::Slot;

/// The names of variables, each with its place.
#[derive(Debug, Default)]
pub(in crate::pgbench) struct Names(RefCell<Vec<Box<str>>>);

impl Names {
    /// The place of the variable called `name`.
    pub(in crate::pgbench) fn slot(&self, name: &str) -> Slot {
        let mut names = self.0.borrow_mut();
        let place = names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            names.push(name.into());
            names.len() - 1
        });
        Slot(place as u32)
    }

    /// All of them, in the order of their places.
    pub(in crate::pgbench) fn all(&self) -> Arc<[Box<str>]> {
        self.0.borrow().iter().cloned().collect()
    }
}

/// What is wrong with the name of a variable that has none that one can have.
pub(crate) fn invalid_name(name: &str) -> String {
    format!(
        "invalid variable name: \"{name}\": letters, digits and _ can be in one, no digit first"
    )
}
