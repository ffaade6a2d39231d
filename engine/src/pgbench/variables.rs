//! A client's variables.

use std::sync::Arc;

use super::{EvaluationError, Value};

/// Which variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// Whether a variable can be called so: letters, also others than Latin ones, digits and underscores,
/// and no digit first.
pub fn is_variable_name(name: impl IntoIterator<Item = u8>) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80;
    let mut name = name.into_iter();
    name.next().is_some_and(is_letter) && name.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// A client's variables. Setting one does not allocate once it has held its longest text.
#[derive(Clone, Debug)]
pub struct Variables {
    names: Arc<[Box<str>]>,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    is_set: bool,
    /// What it is in an expression; of one that was set as text it is found when it is first needed.
    value: Option<Value>,
    text: String,
}

impl Variables {
    /// None of these is set.
    pub(super) fn new(names: Arc<[Box<str>]>) -> Self {
        let cells = vec![Cell::default(); names.len()];
        Self { names, cells }
    }

    pub(super) fn name(&self, slot: Slot) -> &str {
        &self.names[slot.0 as usize]
    }

    /// Sets the variable called `name` to a text, if there is one.
    pub(super) fn set_text_of(&mut self, name: impl Fn(&str) -> bool, text: &str) {
        for (cell, own) in self.cells.iter_mut().zip(&*self.names) {
            if name(own) {
                cell.is_set = true;
                cell.value = None;
                text.clone_into(&mut cell.text);
            }
        }
    }

    pub(super) fn set(&mut self, slot: Slot, value: Value) {
        let cell = &mut self.cells[slot.0 as usize];
        cell.is_set = true;
        cell.value = Some(value);
        cell.text.clear();
        value.write(&mut cell.text);
    }

    /// What it is written as, if it was ever set.
    pub(super) fn text(&self, slot: Slot) -> Option<&str> {
        let cell = &self.cells[slot.0 as usize];
        cell.is_set.then_some(&*cell.text)
    }

    pub(super) fn value(&self, slot: Slot) -> Result<Value, EvaluationError> {
        let cell = &self.cells[slot.0 as usize];
        if let Some(value) = cell.value {
            return Ok(value);
        }
        let name = || self.name(slot).into();
        if !cell.is_set {
            return Err(EvaluationError::Undefined(name()));
        }
        Value::read(&cell.text)
            .ok_or_else(|| EvaluationError::Malformed { name: name(), text: (*cell.text).into() })
    }
}
