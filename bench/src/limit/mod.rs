//! The highest load that still meets its goals.

pub(crate) mod search;
