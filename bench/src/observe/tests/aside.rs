//! A pooler that is watched beside a load.

use std::time::Duration;

use engine::driver::Clock;

use super::scripted::{Answer, Console};
use super::{Aside, ObserverThread, POOLS};

const EVERY: Duration = Duration::from_millis(2);

#[test]
fn a_console_that_is_lost_is_watched_again_through_another_connection() {
    let console = Console::start(vec![
        ("SHOW VERSION", vec![Answer::Version("PgBouncer 1.24.0")]),
        ("SHOW POOLS", vec![POOLS, Answer::Close, POOLS]),
    ]);
    let clock = Clock::start();
    let mut pooler = Aside::of(&ObserverThread::start(&[]), vec![console.conninfo.clone()]);
    let watch = pooler.watch_pools(EVERY, clock).unwrap();
    while console.count("SHOW POOLS") < 4 {
        std::thread::yield_now();
    }
    let looks = pooler.seen(watch);
    assert!(looks.len() >= 3 && looks.iter().all(|look| look.pools.cl_waiting == Some(3)));
    assert!(looks.is_sorted_by(|one, other| one.at_ns < other.at_ns), "{looks:?}");
    assert_eq!(console.count("SHOW VERSION"), 2, "it was opened again, once");
    let error = pooler.gaps.error.unwrap();
    assert!(error.starts_with("the pooler's console at 127.0.0.1"), "{error}");
    assert!(pooler.gaps.failures >= 1);
}
