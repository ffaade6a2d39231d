//! The `poolbench` command.

#![forbid(unsafe_code)]

mod address;
mod arm;
mod band;
mod cancel;
mod check;
mod churn;
mod command;
mod conninfo;
mod cores;
mod cursor;
mod doctor;
mod duration;
mod generator;
mod head;
mod interrupt;
mod layers;
mod limit;
mod limiter;
mod metric;
mod nova;
mod observe;
mod pace;
mod page;
mod pgbench;
mod remedy;
mod rig;
mod rules;
mod run;
mod scenario;
mod series;
mod stack;
mod statistics;
mod sweep;
mod table;
mod threshold;
mod tls;
mod validity;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use command::{Cli, exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::INVALID } else { exit::OK });
        }
    };
    if let Err(error) = interrupt::install() {
        return failed(&format!("cannot handle signals: {error}"), exit::FAILED);
    }
    match cli.run() {
        Ok(code) => ExitCode::from(code),
        // The alternate form has colours, which are left out where nobody sees them.
        Err(error) => failed(&format!("{error:#}"), error.exit_code()),
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "poolbench: {message}");
    ExitCode::from(code)
}
