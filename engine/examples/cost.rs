//! What a request and a connection cost on each driver, against a server that does nothing.
//!
//! `cargo run --release -p poolbench-engine --example cost -- cpu` alternates short phases of all
//! drivers and prints the median of each one's CPU time a request; `... -- memory 10000` opens so
//! many connections to a server in a process of its own and prints this process' resident memory;
//! `... -- profile 'uring over io_uring' 64` loads one driver for a profiler to look at.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::driver::{DriverKind, Options};
use engine::null_server::{NullServer, Speaks, phase, stream, target};
use engine::{Fleet, Gaps, Load, MILLISECOND, PhaseReport, SECOND, Target};

const ROUNDS: usize = 7;
const PHASE_NS: u64 = 300 * MILLISECOND;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cpu"] => cpu(),
        ["memory", connections] => memory(connections.parse().expect("a number"), Speaks::Http),
        ["serve"] => serve(),
        ["profile", name, connections] => profile(name, connections.parse().expect("a number")),
        _ => {
            println!(
                "usage: cost cpu | cost memory CONNECTIONS | cost profile \"DRIVER over IO\" CONNECTIONS"
            )
        }
    }
}

/// Runs one stream to its end.
fn run(fleet: &mut Fleet, load: Load) -> PhaseReport {
    fleet.run(&phase(stream(load)), |_| ControlFlow::Continue(())).expect("runs")
}

fn fleet(options: &Options, target: Target) -> Fleet {
    let cores = core_affinity::get_core_ids().expect("cores");
    let last = cores[cores.len() - 1..].to_vec();
    let mut fleet = Fleet::start(vec![target], &last, options, Arc::new(AtomicBool::new(false)));
    fleet.open().expect("the server answers");
    fleet
}

/// The server's, while the driver has the last one.
fn first_core() -> Option<core_affinity::CoreId> {
    core_affinity::get_core_ids()?.first().copied()
}

fn median(mut values: Vec<u64>) -> (u64, u64, u64) {
    values.sort_unstable();
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// Every driver, and what can be had on top.
fn variants() -> Vec<(String, Options)> {
    let plain = DriverKind::ALL
        .map(|kind| (format!("{} over {}", kind.name(), kind.io()), Options::new(kind)));
    let stamps = Options { stamps: true, ..Options::new(DriverKind::Uring) };
    plain.into_iter().chain([("uring with stamps".into(), stamps)]).collect()
}

fn cpu() {
    for speaks in Speaks::ALL {
        for connections in [1, 16, 64, 256, 1000] {
            let server = NullServer::start(speaks, first_core()).unwrap();
            let variants = variants();
            let start = |(_, options): &(_, Options)| {
                fleet(options, target(server.address(), speaks, connections))
            };
            let mut fleets: Vec<_> = variants.iter().map(start).collect();
            let all = fleets.len() * connections as usize;
            assert_eq!(server.wait_for_connections(all), all);
            let mut sent = 0;
            let load = Load::ConstantVus { vus: connections, duration_ns: PHASE_NS };
            let mut costs = vec![Vec::new(); fleets.len()];
            for round in 0..=ROUNDS {
                for step in 0..fleets.len() {
                    let index = (step + round) % fleets.len();
                    let report = run(&mut fleets[index], load.clone());
                    sent += report.streams[0].sent;
                    // The first round warms up.
                    if round > 0 {
                        costs[index].push(report.cpu_ns / report.completed().max(1));
                    }
                }
            }
            assert_eq!(server.requests(), sent, "the server saw what was sent");
            for ((name, _), costs) in variants.iter().zip(costs) {
                let (median, least, most) = median(costs);
                println!(
                    "{speaks:?} {connections:4} connections, {name:20}: {median:6} ns of CPU a \
                     request ({least} to {most})",
                );
            }
        }
    }
    for spin_ns in [0, 50_000] {
        for kind in DriverKind::ALL {
            let server = NullServer::start(Speaks::Http, first_core()).unwrap();
            let options = Options { spin_ns, ..Options::new(kind) };
            let mut fleet = fleet(&options, target(server.address(), Speaks::Http, 16));
            let report = run(
                &mut fleet,
                Load::ConstantArrivalRate {
                    rate: 5000.0,
                    gaps: Gaps::Uniform,
                    duration_ns: 2 * SECOND,
                    pre_allocated_vus: 16,
                    max_vus: 16,
                },
            );
            let lateness = report.streams[0].recording.whole().lateness.clone();
            println!(
                "5000/s, spin {:2} us, {:11} over {:8}: late by {:5} ns at p50, {:7} ns at p99, \
                 {:6} ns of CPU a request",
                spin_ns / 1000,
                kind.name(),
                kind.io(),
                lateness.value_at_quantile(0.5),
                lateness.value_at_quantile(0.99),
                report.cpu_ns / report.completed().max(1),
            );
        }
    }
}

/// One driver at full load for as long as a profiler needs.
fn profile(name: &str, connections: u32) {
    let variant = variants().into_iter().find(|(other, _)| other == name);
    let (_, options) = variant.expect("the name of a driver as `cpu` prints it");
    let server = NullServer::start(Speaks::Http, first_core()).unwrap();
    let target = target(server.address(), Speaks::Http, connections);
    let mut fleet = fleet(&options, target);
    let load = Load::ConstantVus { vus: connections, duration_ns: 4 * SECOND };
    let report = run(&mut fleet, load);
    let (requests, cpu_ns) = (report.completed(), report.cpu_ns);
    println!("{requests} requests, {} ns of CPU each", cpu_ns / requests.max(1));
}

/// The server in a process of its own, until its standard input ends.
fn serve() {
    let server = NullServer::start(Speaks::Http, None).unwrap();
    println!("{}", server.address().as_socket().expect("an address"));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn memory(connections: u32, speaks: Speaks) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let address: SocketAddr = line.trim().parse().expect("an address");
    for kind in DriverKind::ALL {
        let before = resident();
        let mut fleet = fleet(&Options::new(kind), target(address.into(), speaks, connections));
        let opened = resident();
        let load = Load::ConstantVus { vus: connections, duration_ns: SECOND };
        let report = run(&mut fleet, load).streams.remove(0);
        println!(
            "{} over {}: {} KiB resident before, {} KiB with {connections} connections open, {} \
             KiB after {} requests ({} failed); {} bytes of our own a connection",
            kind.name(),
            kind.io(),
            before,
            opened,
            resident(),
            report.sent,
            report.recording.whole().failures().map(|(_, count, _)| count).sum::<u64>(),
            fleet.connection_bytes(),
        );
    }
    drop(child.stdin.take());
    let _ = child.wait();
}

/// This process' resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
