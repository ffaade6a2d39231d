//! pgbench's own scripts.

/// A script that pgbench has.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// As it is called on the command line.
    pub(crate) name: &'static str,
    /// As it is called in the result.
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const BUILTINS: [Builtin; 3] = [
    Builtin {
        name: "tpcb-like",
        title: "<builtin: TPC-B (sort of)>",
        text: "\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
",
    },
    Builtin {
        name: "simple-update",
        title: "<builtin: simple update>",
        text: "\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
",
    },
    Builtin {
        name: "select-only",
        title: "<builtin: select only>",
        text: "\\set aid random(1, 100000 * :scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
",
    },
];

/// The one whose name begins so; an error names them all.
pub(crate) fn find(name: &str) -> Result<&'static Builtin, String> {
    let mut found = BUILTINS.iter().filter(|builtin| builtin.name.starts_with(name));
    match (found.next(), found.next()) {
        (Some(builtin), None) => Ok(builtin),
        (Some(_), Some(_)) => Err(format!("ambiguous builtin name \"{name}\"")),
        (None, _) => {
            let names: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).collect();
            Err(format!("no builtin script \"{name}\": there are {}", names.join(", ")))
        }
    }
}
