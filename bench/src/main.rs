//! The `poolbench` command.

#![forbid(unsafe_code)]

mod address;
mod arm;
mod command;
mod conninfo;
mod cores;
mod duration;
mod interrupt;
mod layers;
mod nova;
mod observe;
mod remedy;
mod rig;
mod run;
mod scenario;
mod stack;
mod statistics;
mod table;
mod tls;
mod validity;

use std::io::{self, Write};
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
        Err(error) => failed(&error.to_string(), error.exit_code()),
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "poolbench: {message}");
    ExitCode::from(code)
}
