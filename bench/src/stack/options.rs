//! What can be chosen about a stack.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// The sizes of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct Options {
    /// Server connections of PgBouncer's pool
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=150))]
    pub(crate) pool_size: u32,

    /// When PgBouncer gives a server connection to another client
    #[arg(long, value_name = "MODE", value_enum, default_value_t = PoolMode::Transaction)]
    pub(crate) pool_mode: PoolMode,

    /// PgBouncer processes behind one port, each with a pool of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    #[serde(default = "one")]
    pub(crate) poolers: u32,

    /// Database connections of each gateway
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) gateway_pool_size: u32,

    /// Threads of each gateway
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) gateway_threads: u32,

    /// Rows of the table of contents, with a user for every ten; the files of scenarios/nova ask for
    /// 100000
    #[arg(long, value_name = "N", default_value_t = CONTENTS, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    #[serde(default = "contents")]
    pub(crate) contents: u32,

    /// Secure everything before Postgres and PgBouncer with TLS, PgBouncer's way to Postgres too
    #[arg(long)]
    #[serde(default)]
    pub(crate) tls: bool,
}

const CONTENTS: u32 = 100_000;

fn one() -> u32 {
    1
}

fn contents() -> u32 {
    CONTENTS
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pool_size: 25,
            pool_mode: PoolMode::Transaction,
            poolers: 1,
            gateway_pool_size: 50,
            gateway_threads: 2,
            contents: CONTENTS,
            tls: false,
        }
    }
}

/// PgBouncer's `pool_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PoolMode {
    /// When the client disconnects
    Session,
    /// After each transaction
    Transaction,
    /// After each statement
    Statement,
}

impl PoolMode {
    /// As PgBouncer writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn no_flags_give_the_defaults() {
        assert_eq!(Line::parse_from(["it"]).options, Options::default());
    }
}
