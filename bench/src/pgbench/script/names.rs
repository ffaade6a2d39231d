//! The variables of all scripts of a run.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use engine::pgbench::Slot;

use crate::pgbench::workload::Encoding;

/// The names of variables, each with its place.
#[derive(Debug)]
pub(in crate::pgbench) struct Names {
    names: RefCell<Vec<Box<[u8]>>>,
    encoding: Cell<Encoding>,
}

impl Names {
    /// None, in UTF-8.
    pub(in crate::pgbench) fn new() -> Self {
        Self { names: RefCell::default(), encoding: Cell::new(Encoding::Utf8) }
    }

    /// The names that come next are of a script that was read so.
    pub(in crate::pgbench) fn read_as(&self, encoding: Encoding) {
        self.encoding.set(encoding);
    }

    /// The place of the variable called `name`.
    pub(in crate::pgbench) fn slot(&self, name: &str) -> Slot {
        let name = self.encoding.get().encode(name);
        let mut names = self.names.borrow_mut();
        let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        Slot(place as u32)
    }

    /// All of them, in the order of their places.
    pub(in crate::pgbench) fn all(&self) -> Arc<[Box<[u8]>]> {
        self.names.borrow().iter().cloned().collect()
    }
}

/// What is wrong with the name of a variable that has none that one can have.
pub(crate) fn invalid_name(name: &str) -> String {
    format!(
        "invalid variable name: \"{name}\": letters, digits and _ can be in one, no digit first"
    )
}
