//! Made-up measurements on two targets, through the same code as real ones.

use engine::pgbench::{CommandFailures, Conflicts, ScriptReport};
use engine::{Random, Recording, SECOND, StreamReport};
use wire::postgres::Protocol;
use wire::{Class, Code, Failure, Outcome};

use super::experiment::Scripts;
use super::summary::{Results, Summary};
use super::target::Target;
use super::workload::Source;
use super::{Length, Plan, PlannedTarget, Vacuum, find};
use crate::arm::{Arm, ArmKind, Block};
use crate::generator::GeneratorOptions;
use crate::head::Head;

const BLOCKS: u64 = 20;

impl Plan {
    /// So many targets, each for 6 s, and two scripts.
    pub(super) fn example(targets: &[&str]) -> Self {
        let source = |name: &str, weight| {
            let builtin = find(name).unwrap();
            Source::new(builtin.title.into(), builtin.text.into(), weight)
        };
        let target = |name: &&str| PlannedTarget {
            name: (*name).into(),
            conninfo: vec!["host=127.0.0.1 dbname=shop user=shop".into()],
            consoles: Vec::new(),
        };
        Self {
            targets: targets.iter().map(target).collect(),
            block_ns: 300_000_000,
            scripts: vec![source("simple-update", 3), source("select-only", 1)],
            has_builtin: true,
            protocol: Protocol::Extended,
            clients: 8,
            length: Length::Duration(6 * SECOND),
            graceful_stop_ns: 30 * SECOND,
            rate: None,
            connects: false,
            latency_limit_ns: Some(3_000_000),
            tries_max: Some(5),
            scale: None,
            variables: Vec::new(),
            reports_commands: true,
            details_failures: true,
            vacuum: Vacuum::None,
            log: None,
            progress_ns: None,
            has_timestamps: false,
            is_debug: false,
            shows_failures: false,
            generator: GeneratorOptions::default(),
            seed: 1,
        }
    }
}

impl Summary {
    /// The first target takes 1 ms at the median, each next one 0.2 ms more.
    pub(crate) fn example(targets: &[&str]) -> Self {
        let plan = Plan::example(targets);
        let mut arms = Vec::new();
        let mut all = Vec::new();
        let mut prepared = Vec::new();
        for (number, name) in targets.iter().enumerate() {
            let target = Target::example(&plan, &plan.targets[number]);
            let mut scripts = Scripts::new(&plan, &target);
            let mut arm = Arm::new(&ArmKind::named(name), None);
            for round in 0..BLOCKS {
                let (recording, commands) = block(number, round, target.workload.recordings());
                scripts.commands.merge(&commands);
                scripts.blocks.push((recording.completed() as f64, 3e8));
                arm.push(Block::of(
                    StreamReport { planned: 100, ..StreamReport::new(recording) },
                    plan.block_ns,
                    1_000_000,
                ));
            }
            let mut report = ScriptReport::default();
            let conflicts = Conflicts {
                retried: 9,
                retries: 12,
                serialization_failures: 15,
                deadlock_failures: 5,
            };
            report.conflicts = vec![conflicts, Conflicts::default()];
            report.command_retries = vec![0, 12, 0, 0, 0, 0];
            report.above_limit = vec![4, 2];
            let mut first = Failure::default();
            first.set(Code::SqlState(*b"40001"), b"could not serialize access");
            let (script, line, class, count) = (0, 6, Class::Retryable, 32);
            report.failures = vec![CommandFailures { script, line, class, count, first }];
            scripts.report = report;
            arms.push(arm);
            all.push(scripts);
            prepared.push(target);
        }
        let head = Head::example("pgbench", 6 * SECOND);
        let results = Results {
            plan: &plan,
            arms: &arms,
            targets: &prepared,
            scripts: &all,
            threads: 1,
            steady: Vec::new(),
            observations: None,
            lost_names: Vec::new(),
            is_whole: true,
        };
        results.summary(head)
    }
}

/// What a block measured: of transactions, and of commands.
fn block(target: usize, round: u64, recordings: usize) -> (Recording, Recording) {
    let mut transactions = Recording::new(2);
    let mut commands = Recording::new(recordings - 2);
    let mut failure = Failure::default();
    failure.set(Code::SqlState(*b"40001"), b"could not serialize access due to concurrent update");
    for number in 0..100 {
        let took = 700_000.0
            + 200_000.0 * target as f64
            + 400_000.0 * Random::new(round, number).exponential();
        let took = took as u64;
        let script = usize::from(number % 4 == 3);
        let outcome = match number {
            0 => Outcome::Failed(Class::Retryable),
            _ => Outcome::Ok,
        };
        transactions.record(script, outcome, &failure, (0, 1000, took));
        for command in if script == 0 { 0..5 } else { 5..6 } {
            commands.record(command, Outcome::Ok, &failure, (0, 0, took / 5));
        }
    }
    (transactions, commands)
}
