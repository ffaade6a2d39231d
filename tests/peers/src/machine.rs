//! What the figures were made on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::cores::Cores;
use crate::programs;

/// The machine, and the versions of everything that took part.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// As in 2026-11-25.
    pub(crate) date: String,
    /// Of this repository.
    pub(crate) commit: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) pinned: Cores,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) system: String,
    /// The load average of the last minute, before the run.
    pub(crate) load: f64,
    pub(crate) versions: BTreeMap<&'static str, String>,
}

/// More than this runs besides.
const LOAD_CALM: f64 = 0.3;

impl Machine {
    /// This one.
    pub(crate) fn this(pinned: Cores) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name| field(&cpuinfo, name).unwrap_or("unknown");
        let memory = read("/proc/meminfo");
        let memory = self::field(&memory, "MemTotal").and_then(first_number).unwrap_or(0.0);
        let release = read("/etc/os-release");
        let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Self {
            date: said("date", &["--utc", "+%F"]),
            commit: said("git", &["describe", "--always", "--dirty"]),
            cpu: format!("{}, family {}", field("model name"), field("cpu family")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            pinned,
            memory_gib: (memory / 1024.0 / 1024.0).round() as u64,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: system.unwrap_or("unknown").trim_matches('"').to_owned(),
            load: first_number(&read("/proc/loadavg")).unwrap_or(0.0),
            versions: programs::versions(),
        }
    }

    /// A warning, where something else runs.
    pub(crate) fn warning(&self) -> Option<String> {
        let busy = self.load > LOAD_CALM;
        busy.then(|| {
            format!(
                "the load average was {} before the run: others were using the machine",
                self.load
            )
        })
    }

    /// A name for the machine's file of results, as in `amd-epyc-family-26-2-cores`.
    pub(crate) fn slug(&self) -> String {
        let name = format!("{} {} cores", self.cpu, self.cores).to_lowercase();
        let words =
            name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }

    /// As Markdown.
    pub(crate) fn text(&self) -> String {
        let Cores { server, client } = self.pinned;
        let mut text = format!(
            "{}, commit {}: {} ({} cores, {} GiB), Linux {}, {}. Servers on core {server}, the \
             client on core {client}.\n",
            self.date, self.commit, self.cpu, self.cores, self.memory_gib, self.kernel, self.system
        );
        if let Some(warning) = self.warning() {
            text.push_str(&format!("\n**{warning}.**\n"));
        }
        let versions: Vec<_> = self.versions.values().map(String::as_str).collect();
        text.push_str(&format!("\n{}.\n", versions.join("; ")));
        text
    }
}

/// The value of the first `name : value` or `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok();
    let output = output.filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".into(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_proc_files() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nMemTotal:       24630000 kB\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "MemTotal").and_then(first_number), Some(24_630_000.0));
        assert_eq!(field(text, "cpu family"), None);
    }

    #[test]
    fn a_busy_machine_is_named_and_every_tool_has_its_line() {
        let mut machine = Machine::this(Cores { server: 0, client: 1 });
        machine.cpu = "AMD EPYC(tm), family 26".into();
        machine.cores = 2;
        assert_eq!(machine.slug(), "amd-epyc-tm-family-26-2-cores");
        machine.load = 0.1;
        assert_eq!(machine.warning(), None);
        machine.load = 2.5;
        assert!(machine.text().contains("load average was 2.5"));
        assert_eq!(machine.versions.len(), 8);
    }
}
