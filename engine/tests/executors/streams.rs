//! Several streams at once.

use std::sync::Arc;

use engine::driver::sim::Sim;
use engine::{Ending, Load, Nanos, Stream, StreamReport, Worker};

use crate::rig::{Instants, MS, S, START, constant_rate, phase, stream, target};

#[test]
fn streams_start_at_their_offsets_and_are_recorded_apart() {
    let first = stream(Load::ConstantVus { vus: 2, duration_ns: 2 * S }, (0, 0));
    let load = constant_rate(10.0, S, (6, 6));
    let second = Stream { start_ns: 5 * S, ..stream(load, (0, 0)) };
    // Numbers count in each stream: on one target they would come twice.
    let second = Stream { target: 1, ..second };
    let latency = |_, now: Nanos| if now < 5 * S { 100 * MS } else { 300 * MS };
    for workers in 1..=3 {
        let phase = phase(vec![first.clone(), second.clone()]);
        let worker_targets = Arc::new([target(2, 2), target(6, 6)]);
        let mut reports: Option<Vec<StreamReport>> = None;
        let mut instants = Vec::new();
        for index in 0..workers {
            let mut worker = Worker::new(index, workers, worker_targets.clone());
            let mut sim = Sim::new(&worker, Instants { latency: &latency, instants: Vec::new() });
            sim.open(&mut worker);
            worker.begin(&phase, START);
            sim.run(&mut worker, Worker::is_drained);
            let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
            instants.extend(sim.peer.instants);
            match &mut reports {
                None => reports = Some(rest.streams),
                Some(all) => all.iter_mut().zip(&rest.streams).for_each(|(a, b)| a.merge(b)),
            }
        }
        instants.sort_unstable();
        let closed = (0..20).flat_map(|n| [n * 100 * MS; 2]);
        let open = (0..10).map(|n| 5 * S + n * 100 * MS);
        assert_eq!(instants, closed.chain(open).collect::<Vec<_>>(), "{workers} workers");
        let reports = reports.unwrap();
        assert_eq!((reports[0].iterations, reports[1].iterations), (40, 10));
        assert_eq!((reports[0].vus.max, reports[1].vus.max), (2, 6));
        let [fast, slow] = [0, 1].map(|n| reports[n].recording.whole().response.max());
        assert!(fast < 101 * MS && slow > 299 * MS, "{fast} {slow}");
    }
}

#[test]
fn streams_on_one_target_share_its_connections_and_no_user_waits() {
    let closed = |vus| stream(Load::ConstantVus { vus, duration_ns: S }, (0, 0));
    let phase = phase(vec![closed(3), closed(3), closed(1)]);
    for workers in 1..=4 {
        let targets = Arc::new([target(7, 7)]);
        let (mut late, mut iterations) = (0, 0);
        for index in 0..workers {
            let mut worker = Worker::new(index, workers, targets.clone());
            let mut sim =
                Sim::new(&worker, Instants { latency: &|_, _| 100 * MS, instants: vec![] });
            sim.open(&mut worker);
            worker.begin(&phase, START);
            sim.run(&mut worker, Worker::is_drained);
            let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
            late += rest.streams.iter().map(|stream| stream.late).sum::<u64>();
            iterations += rest.streams.iter().map(|stream| stream.iterations).sum::<u64>();
        }
        assert_eq!((late, iterations), (0, 70), "{workers} workers");
    }
}
