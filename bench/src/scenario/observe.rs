//! `[observe]`: what is looked at during a run beside the targets and their processes.

use super::fields::{self, Fields};
use super::mistake::Mistake;
use super::node::{Node, Value};
use super::target::Endpoint;

/// The section.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObserveFile {
    /// Addresses of Prometheus text.
    pub(crate) prometheus: Vec<String>,
}

/// Reads `[observe]`.
pub(super) fn read(root: &Fields<'_>) -> ObserveFile {
    let Some(node) = root.get("observe") else { return ObserveFile::default() };
    let Some(fields) = Fields::new(node, "[observe]", root.mistakes) else {
        return ObserveFile::default();
    };
    let address = |node: &Node| {
        let text = fields::text(node, "prometheus", fields.mistakes)?;
        if let Err(problem) = Endpoint::parse(text) {
            let help = "write it as in http://127.0.0.1:9187/metrics";
            let message = format!("`prometheus`: {problem}");
            fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        }
        Some(text.to_owned())
    };
    let nodes = match fields.get("prometheus") {
        Some(Node { value: Value::List(nodes), .. }) => nodes.iter().collect(),
        node => Vec::from_iter(node),
    };
    let prometheus = nodes.into_iter().filter_map(address).collect();
    fields.finish();
    ObserveFile { prometheus }
}
