//! This machine: whether it can generate a load on time.

use std::collections::BTreeSet;

use super::Finding;
use super::facts::{Facts, Machine, Process};

/// What is wrong with it.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let machine = &facts.machine;
    let all = [io_uring(machine), workers(machine), clock_source(machine), governor(machine)];
    all.into_iter().flatten().chain(same_core(facts)).collect()
}

fn io_uring(machine: &Machine) -> Option<Finding> {
    let problem = machine.ring.as_ref()?.as_ref().err()?;
    let problem = problem.split_once(": it needs").map_or(&**problem, |(short, _)| short);
    let (seen, remedy) = match machine.io_uring_disabled {
        Some(value @ 1..) => (
            format!("kernel.io_uring_disabled is {value}: {problem}"),
            "sysctl kernel.io_uring_disabled=0",
        ),
        _ => (
            problem.to_owned(),
            "in a container, let its seccomp profile allow io_uring_setup; else Linux 6.1 or \
             later, and enough memory that may be locked (ulimit -l)",
        ),
    };
    Some(Finding::warning(
        "io-uring",
        seen,
        "requests go over epoll with --driver monoio: dearer, and less punctual",
        remedy,
    ))
}

fn workers(machine: &Machine) -> Option<Finding> {
    let cores = machine.cores?;
    match machine.workers {
        Some(workers) if workers > cores => Some(Finding::problem(
            "workers",
            format!("{workers} workers are asked for, and there are {cores} cores to run on"),
            "a worker that shares a core sends late whenever the other one runs",
            format!("--workers {}", (cores - 1).max(1)),
        )),
        Some(_) => None,
        None if cores == 1 => Some(Finding::warning(
            "workers",
            "there is 1 core to run on",
            "the generator shares it with the system and with servers on this machine: requests \
             leave late whenever they run",
            "give it two cores or more, and leave one to others",
        )),
        None => None,
    }
}

fn clock_source(machine: &Machine) -> Option<Finding> {
    let source = machine.clock_source.as_deref()?;
    // On ARM the counter that user space may read is this one.
    let is_fast = matches!(source, "tsc" | "arch_sys_counter");
    (!is_fast).then(|| {
        Finding::warning(
            "clock-source",
            format!("the clock source is {source}"),
            "reading the time may need a system call of a microsecond or more, which each latency \
             then holds",
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource where \
             available_clocksource beside it lists tsc; else take another machine",
        )
    })
}

fn governor(machine: &Machine) -> Option<Finding> {
    let governors = machine.governors.as_ref()?;
    let slow: Vec<_> = governors.iter().filter(|(name, _)| *name != "performance").collect();
    let of = |(name, cores): &(&String, &usize)| format!("{name} on {cores}");
    (!slow.is_empty()).then(|| {
        let all: usize = governors.values().sum();
        let slow: Vec<_> = slow.iter().map(of).collect();
        Finding::warning(
            "cpu-governor",
            format!("the CPU governor is not performance: {} of {all} cores", slow.join(", ")),
            "cores slow down between requests: latencies at a low load are longer, and differ from \
             run to run",
            "cpupower frequency-set -g performance",
        )
    })
}

/// A pooler has few threads, PgBouncer one: a worker on its core takes what it needs.
fn same_core(facts: &Facts) -> Vec<Finding> {
    let workers: BTreeSet<u32> = facts.machine.worker_cores.iter().copied().collect();
    let local = facts.targets.iter().filter_map(|(name, target)| {
        let process = target.listener.as_ref()?;
        let is_pooler = target.pooler.is_some() || process.program == "pgbouncer";
        is_pooler.then_some((name, process))
    });
    let servers: BTreeSet<i32> =
        facts.targets.values().filter_map(|target| Some(target.listener.as_ref()?.pid)).collect();
    local.filter_map(|(name, process)| beside(name, process, &workers, servers.len())).collect()
}

fn beside(
    name: &str,
    process: &Process,
    workers: &BTreeSet<u32>,
    servers: usize,
) -> Option<Finding> {
    let own: BTreeSet<u32> = process.cores.as_ref()?.iter().copied().collect();
    let (program, pid) = (&process.program, process.pid);
    let shared: Vec<u32> = own.intersection(workers).copied().collect();
    let free: Vec<u32> = own.difference(workers).copied().collect();
    if shared.is_empty() {
        return None;
    }
    let reason = match program.as_str() {
        "pgbouncer" => {
            "PgBouncer has one thread: while the generator runs on its core, no request gets through"
        }
        _ => "while the generator runs on its core, no request gets through there",
    };
    if free.is_empty() {
        return Some(Finding::problem(
            "same-core",
            format!(
                "{program} of {name} (pid {pid}) may only run on {}, where the generator is",
                cores(&shared)
            ),
            reason,
            format!("taskset -cp CORE {pid} with another core, or fewer --workers"),
        ));
    }
    (free.len() < servers).then(|| {
        Finding::note(
            "same-core",
            format!(
                "{program} of {name} (pid {pid}) may run on {}, where the generator is; {} left to \
                 {servers} servers on this machine",
                cores(&shared),
                match free.len() {
                    1 => format!("{} is", cores(&free)),
                    _ => format!("{} are", cores(&free)),
                }
            ),
            reason,
            format!("taskset -cp {} {pid}, or generate the load on another machine", free[0]),
        )
    })
}

/// `core 1`, `cores 2, 3`.
fn cores(cores: &[u32]) -> String {
    let numbers: Vec<_> = cores.iter().map(u32::to_string).collect();
    format!("core{} {}", if cores.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Level;
    use super::super::examples::facts;
    use super::*;

    fn found(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        let mut facts = facts();
        change(&mut facts);
        findings(&facts)
    }

    fn one(change: impl FnOnce(&mut Facts)) -> Finding {
        let mut found = found(change);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn the_example_machine_and_one_of_which_nothing_is_known_are_well() {
        assert_eq!(found(|_| {}), []);
        assert_eq!(found(|facts| facts.machine = Machine::default()), []);
    }

    #[test]
    fn a_ring_that_can_not_be_made_is_a_warning_with_the_setting_that_forbids_it() {
        let denied = "io_uring is not available (Operation not permitted): it needs Linux 6.1, …";
        let by_sysctl = one(|facts| {
            facts.machine.ring = Some(Err(denied.into()));
            facts.machine.io_uring_disabled = Some(2);
        });
        assert_eq!((by_sysctl.name, by_sysctl.level), ("io-uring", Level::Warning));
        assert_eq!(
            by_sysctl.seen,
            "kernel.io_uring_disabled is 2: io_uring is not available (Operation not permitted)"
        );
        assert_eq!(by_sysctl.remedy, "sysctl kernel.io_uring_disabled=0");
        let by_seccomp = one(|facts| facts.machine.ring = Some(Err(denied.into())));
        assert!(by_seccomp.remedy.contains("seccomp"), "{}", by_seccomp.remedy);
        // The sysctl alone denies nothing to who may use it all the same.
        assert_eq!(found(|facts| facts.machine.io_uring_disabled = Some(1)), []);
    }

    #[test]
    fn fewer_cores_than_workers_are_a_problem_and_a_single_core_a_warning() {
        assert_eq!(found(|facts| facts.machine.workers = Some(8)), []);
        let finding = one(|facts| facts.machine.workers = Some(9));
        assert_eq!((finding.name, finding.level), ("workers", Level::Problem));
        assert!(finding.seen.contains("9 workers") && finding.seen.contains("8 cores"));
        assert_eq!(finding.remedy, "--workers 7");
        let finding = one(|facts| facts.machine.cores = Some(1));
        assert_eq!((finding.name, finding.level), ("workers", Level::Warning));
    }

    #[test]
    fn a_slow_clock_source_is_a_warning() {
        let with = |source: &str| found(|facts| facts.machine.clock_source = Some(source.into()));
        assert_eq!(with("arch_sys_counter"), []);
        let finding = with("hpet").remove(0);
        assert_eq!((finding.name, finding.level), ("clock-source", Level::Warning));
        assert_eq!(finding.seen, "the clock source is hpet");
    }

    #[test]
    fn a_governor_that_saves_power_is_a_warning_and_none_is_well() {
        let with = |governors: &[(&str, usize)]| {
            let governors: BTreeMap<_, _> =
                governors.iter().map(|(name, cores)| ((*name).to_owned(), *cores)).collect();
            found(|facts| facts.machine.governors = Some(governors))
        };
        assert_eq!(with(&[]), []);
        assert_eq!(with(&[("performance", 8)]), []);
        let finding = with(&[("performance", 2), ("powersave", 6)]).remove(0);
        assert_eq!((finding.name, finding.level), ("cpu-governor", Level::Warning));
        assert!(finding.seen.ends_with("powersave on 6 of 8 cores"), "{}", finding.seen);
    }

    fn pinned(cores: &[u32]) -> Vec<Finding> {
        found(|facts| {
            let pooler = facts.targets.get_mut("pooler").unwrap();
            pooler.listener.as_mut().unwrap().cores = Some(cores.to_vec());
            // Workers are on 6 and 7 of 8 cores; 4 servers are here.
        })
    }

    #[test]
    fn a_pooler_pinned_to_a_workers_core_is_a_problem() {
        let finding = pinned(&[7]).remove(0);
        assert_eq!((finding.name, finding.level), ("same-core", Level::Problem));
        assert!(
            finding.seen.contains("pgbouncer of pooler (pid 102) may only run on core 7"),
            "{}",
            finding.seen
        );
        assert!(finding.remedy.contains("taskset -cp CORE 102"), "{}", finding.remedy);
        assert_eq!(pinned(&[5]), []);
    }

    #[test]
    fn a_pooler_that_may_come_to_a_workers_core_is_a_note_where_cores_are_few() {
        let finding = pinned(&[5, 6, 7]).remove(0);
        assert_eq!((finding.name, finding.level), ("same-core", Level::Note));
        assert!(
            finding.seen.ends_with(
                "cores 6, 7, where the generator is; core 5 is left to 4 servers on this machine"
            ),
            "{}",
            finding.seen
        );
        assert!(finding.remedy.starts_with("taskset -cp 5 102"), "{}", finding.remedy);
        // With a core for each server the scheduler keeps them apart.
        assert_eq!(pinned(&[0, 1, 2, 3, 4, 5, 6, 7]), []);
    }

    #[test]
    fn a_pooler_elsewhere_has_no_core_here() {
        assert_eq!(found(|facts| facts.targets.get_mut("pooler").unwrap().listener = None), []);
    }
}
