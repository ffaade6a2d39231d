//! The comparison in virtual time, against layers whose costs are known.

use engine::driver::sim::{Event, Peer, Sim};
use engine::null_server::{self, Speaks};
use engine::{ConnectionId, Ending, MILLISECOND, Nanos, Random, Stream, Worker};

use super::arms::{choose, pairs, parse};
use super::cost::latencies;
use super::level::Level;
use super::{Plan, schedule};
use crate::arm::{Arm, ArmKind, Block};
use crate::statistics::{Estimate, FixedWidth};

/// What a layer adds to a request, in ns: at least so much, and on average so much more, distributed
/// exponentially.
struct Layer(f64, f64);

const GATEWAY: Layer = Layer(200e3, 300e3);
const POOLER: Layer = Layer(50e3, 100e3);
const POSTGRES: Layer = Layer(100e3, 50e3);
/// What disturbs all requests of a round alike.
const ROUND: Layer = Layer(0.0, 30e3);

impl Layer {
    fn draw(&self, random: &mut Random) -> f64 {
        self.0 + self.1 * random.exponential()
    }
}

fn layer(name: &str) -> Layer {
    match name {
        "gateway" => GATEWAY,
        "pooler" => POOLER,
        _ => POSTGRES,
    }
}

/// Servers that take as long as the layers on their way do together.
struct Stack {
    kinds: Vec<ArmKind>,
    seed: u64,
    requests: u64,
    round_ns: f64,
}

impl Stack {
    fn time_ns(&mut self, arm: usize) -> f64 {
        self.requests += 1;
        let mut random = Random::new(self.seed, self.requests);
        let layers = self.kinds[arm].layers.iter();
        layers.map(|name| layer(name).draw(&mut random)).sum::<f64>() + self.round_ns
    }
}

impl Peer for Stack {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        vec![(now + 1000, Event::Connected)]
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, _: &[u8]) -> Vec<(Nanos, Event)> {
        const REPLY: &[u8] =
            b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"data\":{\"user\":{\"id\":1}}}";
        let arm = id as usize / CONNECTIONS as usize;
        vec![(now + self.time_ns(arm) as u64, Event::Bytes(REPLY.into()))]
    }
}

const CONNECTIONS: u32 = 20;

fn plan(arms: &[&str], seed: u64) -> Plan {
    Plan {
        arms: arms.iter().map(|name| parse(name).unwrap()).collect(),
        block_ns: 100 * MILLISECOND,
        rates: vec![1000.0],
        connections: CONNECTIONS,
        seed,
        ..Plan::example()
    }
}

/// A comparison as far as it has come.
struct Comparison {
    plan: Plan,
    worker: Worker,
    sim: Sim<Stack>,
    level: Level,
    rounds: u64,
}

impl Comparison {
    fn begin(plan: Plan) -> Self {
        let kinds = choose(&plan.arms, |_| true).unwrap();
        let address = "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap();
        let target = || null_server::target(address.into(), Speaks::Http, CONNECTIONS);
        let targets: Vec<_> = kinds.iter().map(|_| target()).collect();
        let mut worker = Worker::new(0, 1, targets.into());
        let arms = kinds.iter().map(|kind| Arm::new(kind, None)).collect();
        let stack = Stack { kinds, seed: plan.seed, requests: 0, round_ns: 0.0 };
        let mut sim = Sim::new(&worker, stack);
        sim.open(&mut worker);
        let level = Level::new(plan.rates[0], arms);
        Self { plan, worker, sim, level, rounds: 0 }
    }

    fn round(&mut self) {
        let mut random = Random::new(!self.plan.seed, self.rounds);
        self.sim.peer.round_ns = ROUND.draw(&mut random);
        let order = schedule::shuffled(1, self.level.arms.len(), self.plan.seed, self.rounds);
        for turn in order {
            let load = self.plan.load(self.level.rate, self.plan.block_ns);
            let seed = self.plan.block_seed(self.rounds);
            let stream = Stream { target: turn.arm, seed, ..null_server::stream(load) };
            self.worker.begin(&null_server::phase(stream), self.sim.now() + MILLISECOND);
            self.sim.run(&mut self.worker, Worker::is_drained);
            let now = self.sim.now();
            let ended = self.worker.finish(Ending::Complete, now, &mut self.sim);
            let (mut report, piece) = ended.expect("a phase was begun");
            report.streams = piece.streams;
            self.level.arms[turn.arm].push(Block::new(report, self.plan.block_ns, Vec::new()));
        }
        self.rounds += 1;
    }

    /// For each pair of arms, the difference at each quantile.
    fn costs(&self, quantiles: &[f64]) -> Vec<Vec<Estimate>> {
        let pairs = pairs(&self.sim.peer.kinds);
        let drawn = (self.plan.confidence(), self.plan.seed);
        let (costs, _) = latencies(&self.level.arms, &pairs, None, quantiles, drawn);
        costs.into_iter().flatten().collect()
    }
}

const QUANTILES: [f64; 2] = [0.5, 0.95];

/// What the pairs' differences are in truth, from far more requests than any run has.
fn truth(arms: &[&str]) -> Vec<[f64; 2]> {
    const REQUESTS: usize = 400_000;
    let kinds = choose(&plan(arms, 0).arms, |_| true).unwrap();
    let mut stack = Stack { kinds: kinds.clone(), seed: u64::MAX, requests: 0, round_ns: 0.0 };
    let mut quantiles_of = |arm| {
        let mut times: Vec<_> = (0..REQUESTS)
            .map(|number| {
                stack.round_ns = ROUND.draw(&mut Random::new(1 << 40, number as u64));
                stack.time_ns(arm)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        QUANTILES.map(|quantile| times[(quantile * REQUESTS as f64) as usize])
    };
    let by_arm: Vec<_> = (0..kinds.len()).map(&mut quantiles_of).collect();
    let difference = |pair: &super::arms::Pair| {
        std::array::from_fn(|index| by_arm[pair.with][index] - by_arm[pair.without][index])
    };
    pairs(&kinds).iter().map(difference).collect()
}

const RUNS: u64 = 100;

/// In how many of the runs the interval of each pair holds the truth, at each quantile.
fn covered(arms: &[&str], truth: &[[f64; 2]]) -> Vec<[u64; 2]> {
    let mut covered = vec![[0; 2]; truth.len()];
    for run in 0..RUNS {
        let mut comparison = Comparison::begin(plan(arms, run));
        (0..24).for_each(|_| comparison.round());
        for (pair, (estimates, truth)) in comparison.costs(&QUANTILES).iter().zip(truth).enumerate()
        {
            for index in 0..QUANTILES.len() {
                covered[pair][index] += u64::from(estimates[index].holds(truth[index]));
            }
        }
    }
    covered
}

/// Of 100 intervals so many are to hold the truth; the seeds are always the same.
const COVERED_MIN: u64 = 95;
/// Where all of them hold it everywhere, they are wider than they say.
const COVERED_MEAN_MAX: f64 = 99.0;

fn assert_covered(covered: &[[u64; 2]]) {
    let all: Vec<u64> = covered.iter().flatten().copied().collect();
    assert!(all.iter().all(|count| *count >= COVERED_MIN), "{covered:?}");
    let mean = all.iter().sum::<u64>() as f64 / all.len() as f64;
    assert!(mean <= COVERED_MEAN_MAX, "{covered:?}");
}

#[test]
fn what_gateway_and_pooler_add_is_recovered() {
    let arms = ["gateway+pooler", "pooler", "direct"];
    let truth = truth(&arms);
    assert!(truth.iter().flatten().all(|ns| *ns > 100e3), "{truth:?}");
    assert_covered(&covered(&arms, &truth));
}

#[test]
fn an_arm_does_not_differ_from_itself() {
    assert_covered(&covered(&["pooler", "pooler"], &[[0.0; 2]]));
}

/// So many that a loss of two in a hundred shows.
const RUNS_UNTIL: u64 = 400;

#[test]
fn a_comparison_that_ends_once_enough_is_known_still_holds_the_truth() {
    let goal = FixedWidth { quantile: 0.5, width_ns: 17_000 };
    let arms = ["pooler", "direct"];
    let truth = truth(&arms)[0][0];
    let (mut covered, mut ends) = (0, Vec::new());
    for run in 0..RUNS_UNTIL {
        let plan = Plan { until: Some(goal), ..plan(&arms, run) };
        let mut comparison = Comparison::begin(plan);
        let found = loop {
            comparison.round();
            assert!(comparison.rounds < 200, "it ends");
            if FixedWidth::looks_after(comparison.rounds) {
                let found = comparison.costs(&[goal.quantile])[0][0];
                if goal.is_met(&[found]) {
                    break found;
                }
            }
        };
        covered += u64::from(found.holds(truth));
        ends.push(comparison.rounds);
    }
    assert!(ends.iter().min() < ends.iter().max(), "{ends:?}");
    // Of a binomial(400, 0.95) the mean is 380, and three standard deviations are 13.
    assert!((380..=393).contains(&covered), "{covered} of {RUNS_UNTIL}, ended after {ends:?}");
}
