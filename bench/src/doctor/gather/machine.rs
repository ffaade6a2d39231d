//! This machine, from /proc and /sys.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::thread;

use engine::driver::DriverChoice;
use rustix::process::{Resource, getrlimit};

use super::super::facts::Machine;
use crate::cores;

/// What can be seen of it.
pub(super) fn look(workers: Option<usize>) -> Machine {
    let chosen = cores::choose(workers);
    Machine {
        cores: thread::available_parallelism().ok().map(Into::into),
        workers,
        worker_cores: chosen.iter().filter_map(|core| core.id.try_into().ok()).collect(),
        // None is unlimited.
        open_files_max: Some(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)),
        files_in_use: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
        clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        governors: governors(Path::new("/sys/devices/system/cpu")),
        ring: Some(DriverChoice::Uring.decide().map(drop).map_err(|error| error.to_string())),
        io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled"),
        somaxconn: read("/proc/sys/net/core/somaxconn"),
    }
}

fn read<T: FromStr>(path: impl AsRef<Path>) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The governor of each core (Linux, Documentation/admin-guide/pm/cpufreq.rst).
fn governors(folder: &Path) -> Option<BTreeMap<String, usize>> {
    let mut governors = BTreeMap::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let is_core = name.to_str().and_then(|name| name.strip_prefix("cpu")).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit())
        });
        if is_core && let Some(governor) = read(entry.path().join("cpufreq/scaling_governor")) {
            *governors.entry(governor).or_default() += 1;
        }
    }
    Some(governors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn governors_are_counted_by_core_and_nothing_else_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        for (core, governor) in [
            ("cpu0", "powersave\n"),
            ("cpu1", "performance\n"),
            ("cpu12", "powersave\n"),
            ("cpufreq", "no core"),
        ] {
            let folder = folder.path().join(core).join("cpufreq");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("scaling_governor"), governor).unwrap();
        }
        fs::create_dir(folder.path().join("cpu3")).unwrap();
        let expected = BTreeMap::from([("performance".into(), 1), ("powersave".into(), 2)]);
        assert_eq!(governors(folder.path()), Some(expected));
        assert_eq!(governors(&folder.path().join("cpu3")), Some(BTreeMap::new()));
        assert_eq!(governors(&folder.path().join("nowhere")), None);
    }

    #[test]
    fn the_machine_that_the_tests_run_on_is_seen() {
        let machine = look(Some(1));
        assert!(machine.cores.unwrap() >= 1);
        assert_eq!(machine.worker_cores.len(), 1);
        assert!(machine.files_in_use.unwrap() < machine.open_files_max.unwrap());
        assert!(machine.somaxconn.unwrap() > 0);
        assert!(machine.ring.is_some());
    }
}
