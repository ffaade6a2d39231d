//! Whether percentiles are right: beside those of a server that knows.

use std::time::Duration;

use super::{Bench, Entry, Interrupted, Section, null_server};
use crate::client::{Client, Load, Quantiles};
use crate::server::{Holds, Notes};
use crate::spread::Spread;
use crate::verdict::{Goal, Missing};
use crate::work::{self, Server, Tolerance};

const COLUMNS: &[&str] =
    &["p50 ms", "p90 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms", "off, of what is allowed"];

const ABOUT: &str = "Open loops on a server of our own that holds each reply for 2 ms, one in a \
    hundred for 50 ms, and stalls for 1 s every 10 s. It knows what each request took from when it \
    was due: the last column says how far the worst percentile is off, in units of what is allowed. \
    The first row is the truth of poolbench's rounds; each client is held against that of its own.";

const HOLDS: Holds = Holds {
    usual: Duration::from_millis(2),
    rare: Duration::from_millis(50),
    stall: Duration::from_secs(1),
    stall_at: Duration::from_secs(4),
};

/// One round of one client.
struct Round {
    reported: Quantiles,
    truth: Quantiles,
}

/// On a server of our own that holds replies and stalls.
pub(crate) fn truth(bench: &Bench<'_>, work: &work::Truth) -> Result<Section, Interrupted> {
    let mut section = Section::new(format!("Truth, {}/s", work.rate), ABOUT, COLUMNS);
    let clients: Vec<&Client> = std::iter::once(bench.ours).chain(&work.peers).collect();
    for &connections in &work.connections {
        let cell = format!("{connections} connections");
        bench.say(&format!("{}: {cell}", section.title));
        let rounds = bench.rounds(bench.rounds.truth_rounds, &clients, |client| {
            round(bench, work.rate, connections, client)
        })?;
        if let Ok(rounds) = &rounds[0] {
            let truth = rounds.iter().map(|round| round.truth).collect();
            section.entries.push(entry(&cell, "the server's own", truth, None));
        }
        for (client, rounds) in clients.iter().zip(&rounds) {
            section.entries.push(match rounds {
                Err(why) => Entry::failed(&cell, client.name(), why),
                Ok(rounds) => {
                    let reported = rounds.iter().map(|round| round.reported).collect();
                    entry(&cell, client.name(), reported, off(rounds, work.tolerance))
                }
            });
        }
        let measured = rounds[0].as_ref().map_err(|why| Missing::Ours(why.clone()));
        let measured = measured.and_then(|rounds| {
            let off = off(rounds, work.tolerance);
            off.ok_or_else(|| Missing::Ours("it says no percentile".into()))
        });
        let Tolerance { share, us } = work.tolerance;
        let allowed = format!("{} % or {us} us", share * 100.0);
        let title = &section.title;
        let what = format!("{title}, {cell}: our worst percentile off, in units of {allowed}");
        section.goals.push(Goal { what, at_most: 1.0, measured });
    }
    Ok(section)
}

fn round(bench: &Bench<'_>, rate: f64, connections: u32, client: &Client) -> Result<Round, String> {
    let (server, target) = null_server(Server::Http, HOLDS, bench.cores)?;
    let seconds = bench.rounds.truth_seconds;
    let requests = (rate * seconds) as u64;
    let load = Load {
        target: &target,
        connections,
        reconnect: false,
        rate: Some(rate),
        seconds,
        requests,
    };
    let report = bench.run(client, &load)?;
    let reported = report.latency.ok_or("it says no latency")?;
    Ok(Round { reported, truth: responses(&server.stop()?, rate) })
}

/// What each request took from when it was due, as the server knows it: requests are due at even
/// gaps, and the most punctual one arrived on time.
fn responses(notes: &Notes, rate: f64) -> Quantiles {
    let due = |number: usize| number as f64 * 1e6 / rate;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let late = notes.received.iter().enumerate().map(|(number, at)| us(*at) - due(number));
    let start = late.fold(f64::INFINITY, f64::min);
    let sent = notes.sent.iter().enumerate().filter(|(_, sent)| !sent.is_zero());
    Quantiles::of(sent.map(|(number, sent)| us(*sent) - due(number) - start).collect())
}

/// In each round, how far the worst percentile is off, in units of what is allowed.
fn off(rounds: &[Round], tolerance: Tolerance) -> Option<Spread> {
    let worst = |round: &Round| {
        let pairs = round.reported.named().into_iter().zip(round.truth.named());
        let off = pairs.filter_map(|((_, reported), (_, truth))| {
            let truth = truth?;
            Some((reported? - truth).abs() / (tolerance.share * truth).max(tolerance.us))
        });
        off.fold(f64::NAN, f64::max)
    };
    Spread::new(rounds.iter().map(worst))
}

fn entry(cell: &str, client: &str, rounds: Vec<Quantiles>, off: Option<Spread>) -> Entry {
    let each = rounds.iter().map(Quantiles::named).collect::<Vec<_>>();
    let column = |at: usize| Spread::new(each.iter().filter_map(|named| Some(named[at].1? / 1e3)));
    let figures = (0..COLUMNS.len() - 1).map(column).chain([off]).collect();
    Entry { cell: cell.to_owned(), client: client.to_owned(), figures, note: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { share: 0.02, us: 100.0 };

    #[test]
    fn a_response_counts_from_when_it_was_due_though_it_could_not_leave() {
        // Due every 10 ms; the third had to wait for 30 ms.
        let ms = |values: [u64; 4]| values.map(Duration::from_millis).to_vec();
        let notes = Notes { received: ms([0, 10, 50, 50]), sent: ms([2, 12, 52, 52]) };
        let named = responses(&notes, 100.0).named().map(|(_, value)| value.unwrap().round());
        assert_eq!((named[0], named[5]), (2000.0, 32000.0));
    }

    #[test]
    fn the_worst_percentile_counts_against_the_larger_tolerance() {
        let quantiles = |p50: f64, max: f64| Quantiles {
            p50: Some(p50),
            max: Some(max),
            ..Quantiles::default()
        };
        let round = Round { reported: quantiles(2050.0, 990e3), truth: quantiles(2000.0, 1e6) };
        // 50 of 100 us, and 10 of 20 ms.
        assert_eq!(off(&[round], TOLERANCE).unwrap().median(), 0.5);
        let blind = Round { reported: quantiles(2000.0, 52e3), truth: quantiles(2000.0, 1e6) };
        assert!(off(&[blind], TOLERANCE).unwrap().median() > 40.0);
        assert_eq!(off(&[], TOLERANCE), None);
    }
}
