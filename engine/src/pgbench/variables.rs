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
    names: Arc<[Box<[u8]>]>,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    is_set: bool,
    /// What it is in an expression; of one that was set as text it is found when it is first needed.
    value: Option<Value>,
    text: Vec<u8>,
}

impl Variables {
    /// None of these is set.
    pub(super) fn new(names: Arc<[Box<[u8]>]>) -> Self {
        let cells = vec![Cell::default(); names.len()];
        Self { names, cells }
    }

    pub(super) fn name(&self, slot: Slot) -> &[u8] {
        &self.names[slot.0 as usize]
    }

    /// Its name in messages.
    pub(super) fn shown_name(&self, slot: Slot) -> Box<str> {
        String::from_utf8_lossy(self.name(slot)).into()
    }

    /// Sets the variable called `name` to a text, if there is one.
    pub(super) fn set_text_of(&mut self, name: impl Fn(&[u8]) -> bool, text: &[u8]) {
        for (cell, own) in self.cells.iter_mut().zip(&*self.names) {
            if name(own) {
                cell.is_set = true;
                cell.value = None;
                cell.text.clear();
                cell.text.extend_from_slice(text);
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
    pub(super) fn text(&self, slot: Slot) -> Option<&[u8]> {
        let cell = &self.cells[slot.0 as usize];
        cell.is_set.then_some(&*cell.text)
    }

    pub(super) fn value(&self, slot: Slot) -> Result<Value, EvaluationError> {
        let cell = &self.cells[slot.0 as usize];
        if let Some(value) = cell.value {
            return Ok(value);
        }
        let name = || self.shown_name(slot);
        if !cell.is_set {
            return Err(EvaluationError::Undefined(name()));
        }
        let text = || String::from_utf8_lossy(&cell.text).into();
        let value = std::str::from_utf8(&cell.text).ok().and_then(Value::read);
        value.ok_or_else(|| EvaluationError::Malformed { name: name(), text: text() })
    }
}
