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

    /// Whether a variable can be called so.
    pub(in crate::pgbench) fn is_valid(name: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        let is_digit = |c: char| c.is_ascii_digit();
        !name.is_empty() && !name.starts_with(is_digit) && name.chars().all(is_part)
    }
}
