//! pgbench's tables on a private stack, and the sums that must agree.

use std::process::Command;

use serde_json::Value;

use crate::{Ended, Stack};

/// A stack with pgbench's tables at scale 1.
pub struct Tables {
    /// The stack.
    pub stack: Stack,
    /// A connection to its Postgres.
    pub client: postgres::Client,
}

impl Tables {
    /// Starts a stack and fills them; `options` are those of `poolbench stack up`.
    pub fn up(options: &[&str]) -> Self {
        let stack = Stack::small(options);
        let client = stack.connect("postgres");
        let filled = Command::new("pgbench")
            .args(["--initialize", "--quiet", stack.target("postgres")])
            .output()
            .expect("pgbench is installed");
        assert!(filled.status.success(), "{filled:?}");
        Self { stack, client }
    }

    /// Runs `poolbench pgbench` with these options on a target.
    pub fn ours(&self, options: &[&str], target: &str) -> Ended {
        let target = self.stack.target(target);
        self.stack.home.run(&[&["pgbench"], options, &[target]].concat())
    }

    /// Runs pgbench with these options on a target. Its files lie where the stack's do.
    pub fn theirs(&self, options: &[&str], target: &str) -> Ended {
        let mut command = Command::new("pgbench");
        command.args(options).arg(self.stack.target(target));
        command.output().expect("pgbench is installed").into()
    }

    /// What `poolbench pgbench` says of a target.
    pub fn json(&self, options: &[&str], target: &str) -> Value {
        let ended = self.ours(&[options, &["--json=-"]].concat(), target);
        assert_eq!(ended.code, 0, "{options:?} {ended:?}");
        ended.json()["arms"][0].take()
    }

    /// Fails unless what was added to accounts, tellers and branches is what the history says.
    pub fn assert_balanced(&mut self) {
        let row = self
            .client
            .query_one(
                "SELECT (SELECT sum(abalance) FROM pgbench_accounts), \
                 (SELECT sum(tbalance)::int8 FROM pgbench_tellers), \
                 (SELECT sum(bbalance)::int8 FROM pgbench_branches), \
                 (SELECT coalesce(sum(delta), 0)::int8 FROM pgbench_history)",
                &[],
            )
            .expect("sums");
        let sums: [i64; 4] = [0, 1, 2, 3].map(|column| row.get(column));
        assert!(sums.iter().all(|sum| *sum == sums[3]), "{sums:?}");
    }

    /// Sets the balances to 0.
    pub fn reset_balances(&mut self) {
        let zero = "UPDATE pgbench_accounts SET abalance = 0 WHERE abalance <> 0; \
                    UPDATE pgbench_tellers SET tbalance = 0; UPDATE pgbench_branches SET bbalance = 0";
        self.client.batch_execute(zero).expect("pgbench's tables");
    }

    /// How many lines the history has.
    pub fn history(&mut self) -> u64 {
        let row = self.client.query_one("SELECT count(*) FROM pgbench_history", &[]);
        row.expect("a count").get::<_, i64>(0) as u64
    }
}

/// A whole number of a summary.
pub fn number(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap_or_else(|| panic!("{key} is a number: {summary}"))
}
