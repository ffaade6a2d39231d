use engine::{Random, SECOND};

use super::simulated::Target;
use super::*;

const SEEDS: u64 = 100;

fn settings() -> Settings {
    Settings {
        start: 50.0,
        min: 1.0,
        max: 1e6,
        width: 0.05,
        is_whole: false,
        trial_ns: 5 * SECOND,
        hold_ns: 60 * SECOND,
    }
}

/// What a search came to: whether the limit is where it says, its trials, and the interval's width.
struct Result {
    is_right: bool,
    trials: u32,
    width: f64,
}

fn search(target: Target, seed: u64) -> Result {
    let mut search = Search::new(settings(), 1);
    let mut trials = 0;
    while let Some(trial) = search.next(None) {
        let is_met = target.is_met(trial.load, trial.duration_ns, trials, seed);
        search.report(&trial, &Verdict::Judged(vec![is_met]));
        trials += 1;
        assert!(trials < 200, "the search ends");
    }
    let found = search.found().remove(0);
    let (low, high) = (found.interval.0.unwrap_or(0.0), found.interval.1.unwrap_or(f64::INFINITY));
    let limit = target.limit(trials);
    Result { is_right: low <= limit && limit <= high, trials, width: high / low - 1.0 }
}

/// Growth to the first failure, then bisection: one trial a load, each believed.
fn plain_bisection(target: Target, seed: u64) -> Result {
    let Settings { start, width, trial_ns, .. } = settings();
    let (mut low, mut high, mut trials) = (0.0, f64::INFINITY, 0);
    while high > low * (1.0 + width) {
        let load = match (low, high) {
            (0.0, f64::INFINITY) => start,
            (low, f64::INFINITY) => low * 2.0,
            (0.0, high) => high / 2.0,
            (low, high) => (low * high).sqrt(),
        };
        let is_met = target.is_met(load, trial_ns, trials, seed);
        *if is_met { &mut low } else { &mut high } = load;
        trials += 1;
    }
    let limit = target.limit(trials);
    Result { is_right: low <= limit && limit <= high, trials, width: high / low - 1.0 }
}

/// A line of the table: right answers of [`SEEDS`], trials on average, the median width.
fn line(name: &str, results: &[Result]) -> (usize, f64, String) {
    let right = results.iter().filter(|result| result.is_right).count();
    let mean = |of: fn(&Result) -> f64| results.iter().map(of).sum::<f64>() / results.len() as f64;
    let trials = mean(|result| f64::from(result.trials));
    let mut widths: Vec<_> = results.iter().map(|result| result.width * 100.0).collect();
    widths.sort_by(f64::total_cmp);
    let width = widths[widths.len() / 2];
    let line = format!(
        "{name:<34}{right:>4} of {SEEDS} right, {trials:>5.1} trials, width {width:>4.1} %"
    );
    (right, trials, line)
}

fn targets(seed: u64) -> [(&'static str, Target); 6] {
    let mut random = Random::new(seed, 77);
    let capacity = 100.0 * 200_f64.powf(random.unit());
    let servers = 2 + random.below(7);
    let curve = |noise, outliers, drift| Target::Curve { capacity, noise, outliers, drift };
    [
        ("a pool of 2 to 8 (M/M/c)", Target::Pool { servers, rate: 100.0 }),
        ("collapses", curve(0.02, 0.0, 0.0)),
        ("noisy", curve(0.3, 0.0, 0.0)),
        ("with disturbed trials", curve(0.05, 0.02, 0.0)),
        ("gets slower by 0.3 % a trial", curve(0.05, 0.0, -0.003)),
        ("gets faster by 0.3 % a trial", curve(0.05, 0.0, 0.003)),
    ]
}

#[test]
fn the_limit_is_in_the_stated_interval_with_at_most_twice_the_trials_of_bisection() {
    let mut table = String::new();
    for index in 0..targets(0).len() {
        let name = targets(0)[index].0;
        let all = |search: fn(Target, u64) -> Result| -> Vec<Result> {
            (0..SEEDS).map(|seed| search(targets(seed)[index].1, seed)).collect()
        };
        let (right, trials, ours) = line(name, &all(search));
        let (_, plain_trials, plain) = line("  plain bisection", &all(plain_bisection));
        table += &format!("{ours}\n{plain}\n");
        assert!(right >= 95, "{table}");
        assert!(trials <= 2.0 * plain_trials, "{table}");
    }
    insta::assert_snapshot!(table);
}

/// Searches goals whose limits are exactly `limits`; the trials that were made.
fn exact(settings: Settings, limits: &[f64]) -> (Vec<Trial>, Vec<Found>) {
    let mut search = Search::new(settings, limits.len());
    let mut trials = Vec::new();
    while let Some(trial) = search.next(None) {
        let met = limits.iter().map(|limit| trial.load <= *limit).collect();
        search.report(&trial, &Verdict::Judged(met));
        trials.push(trial);
        assert!(trials.len() < 200, "the search ends");
    }
    (trials, search.found())
}

#[test]
fn several_goals_share_trials_and_each_gets_its_own_limit() {
    let limits = [700.0, 400.0];
    let (trials, found) = exact(settings(), &limits);
    for (found, limit) in found.iter().zip(limits) {
        let (low, high) = (found.value.unwrap(), found.interval.1.unwrap());
        assert!(low <= limit && limit < high && low > limit * 0.95, "{found:?}");
        assert!(found.is_held && found.is_close);
    }
    let alone: usize = limits.iter().map(|limit| exact(settings(), &[*limit]).0.len()).sum();
    assert!(trials.len() < alone - 3, "{} trials and {alone}", trials.len());
}

#[test]
fn whole_loads_end_with_neighbours() {
    let settings = Settings { start: 1.0, is_whole: true, width: 0.01, ..settings() };
    let (trials, found) = exact(settings, &[7.0]);
    assert_eq!((found[0].value, found[0].is_close), (Some(7.0), true));
    assert!(trials.iter().all(|trial| trial.load.fract() == 0.0));
}

#[test]
fn a_limit_that_is_never_reached_is_at_least_the_most_that_was_tried() {
    let (_, found) = exact(Settings { max: 1000.0, ..settings() }, &[1e9]);
    assert_eq!((found[0].value, found[0].interval.1), (Some(1000.0), None));
    assert!(found[0].is_held);
    let (_, found) = exact(Settings { min: 10.0, ..settings() }, &[1.0]);
    assert_eq!((found[0].value, found[0].interval.0), (None, None));
}

#[test]
fn what_the_generator_spoils_is_tried_again_and_is_never_the_targets_failure() {
    let mut search = Search::new(settings(), 1);
    let first = search.next(None).unwrap();
    search.report(&first, &Verdict::Spoilt);
    assert_eq!(search.next(None), Some(first));
    search.report(&first, &Verdict::Judged(vec![true]));
    let second = search.next(None).unwrap();
    assert_eq!(second.load, 100.0);
    search.report(&second, &Verdict::GeneratorLimit);
    assert_eq!((search.next(None), search.generator_limit()), (None, Some(100.0)));
    assert_eq!((search.found()[0].value, search.found()[0].interval.1), (Some(50.0), None));
    let mut search = Search::new(settings(), 1);
    (0..3).for_each(|_| search.report(&first, &Verdict::Spoilt));
    assert_eq!(search.generator_limit(), Some(50.0));
}

#[test]
fn where_a_hold_fails_the_search_backs_off() {
    let mut search = Search::new(settings(), 1);
    let mut held = Vec::new();
    while let Some(trial) = search.next(None) {
        // For five seconds it bears what it does not bear for a minute.
        let limit = if trial.is_hold { 300.0 } else { 400.0 };
        held.extend(trial.is_hold.then_some(trial.load));
        search.report(&trial, &Verdict::Judged(vec![trial.load <= limit]));
    }
    let found = search.found().remove(0);
    assert!(found.value.unwrap() < held[0], "{held:?} {found:?}");
}

#[test]
fn a_limit_whose_hold_failed_is_told_as_one_that_was_not_held() {
    let mut search = Search::new(settings(), 1);
    loop {
        let trial = search.next(None).unwrap();
        let is_met = trial.load <= 400.0 && !trial.is_hold;
        search.report(&trial, &Verdict::Judged(vec![is_met]));
        if trial.is_hold {
            break;
        }
    }
    let found = search.found().remove(0);
    assert!(found.value.is_some_and(|value| value < 400.0) && !found.is_held, "{found:?}");
}

#[test]
fn what_is_left_of_the_budget_goes_to_the_hold() {
    let mut search = Search::new(settings(), 1);
    let first = search.next(Some(1000 * SECOND)).unwrap();
    search.report(&first, &Verdict::Judged(vec![true]));
    let hold = search.next(Some(30 * SECOND)).unwrap();
    assert_eq!(hold, Trial { load: 50.0, duration_ns: 30 * SECOND, is_hold: true });
    assert_eq!(search.next(Some(4 * SECOND)), None);
    search.report(&hold, &Verdict::Judged(vec![true]));
    assert_eq!(search.next(Some(30 * SECOND)), None);
    assert!(search.found()[0].is_held && !search.found()[0].is_close);
}
