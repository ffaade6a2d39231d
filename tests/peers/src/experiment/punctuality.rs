//! Open loops: how late requests leave.

use std::time::Duration;

use super::{Bench, Entry, Interrupted, Section, null_server};
use crate::client::{Client, Load, Quantiles, Report};
use crate::server::{Holds, Notes};
use crate::spread::Spread;
use crate::verdict::{Goal, Missing};
use crate::work::{self, Server};

const COLUMNS: &[&str] = &["requests/s", "late p50 us", "p99 us", "p99.9 us"];

const ABOUT: &str = "Open loops on null servers of our own: how late requests leave. Where the \
    server saw it: how late they arrive behind the most punctual one, with the way and the server's \
    own jitter. pgbench has random gaps and tells its lag itself.";

/// One round of one client.
struct Round {
    report: Report,
    /// As the server saw them come. Not of clients with Poisson gaps: their schedule is not known.
    arrivals: Option<Quantiles>,
}

/// On a null server.
pub(crate) fn punctuality(
    bench: &Bench<'_>,
    work: &work::Punctuality,
) -> Result<Section, Interrupted> {
    let name = match work.server {
        Server::Http => "HTTP",
        Server::Postgres => "Postgres",
    };
    let title = format!("Punctuality, {name}");
    let mut section = Section::new(title, ABOUT, COLUMNS);
    let clients: Vec<&Client> = std::iter::once(&work.ours).chain(&work.peers).collect();
    for &rate in &work.rates {
        let cell = format!("{rate}/s");
        bench.say(&format!("{}: {cell}", section.title));
        let rounds = bench
            .rounds(bench.rounds.rounds, &clients, |client| round(bench, work, rate, client))?;
        for (client, rounds) in clients.iter().zip(&rounds) {
            match rounds {
                Err(why) => section.entries.push(Entry::failed(&cell, client.name(), why)),
                Ok(rounds) => section.entries.extend(entries(&cell, client.name(), rounds)),
            }
        }
        for goal in work.goals.iter().filter(|goal| goal.rate == rate) {
            let measured = match &rounds[0] {
                Err(why) => Err(Missing::Ours(why.clone())),
                Ok(rounds) => {
                    let own = rounds.iter().filter_map(|round| round.report.lateness);
                    let spread = spread(own, &goal.quantile);
                    spread.ok_or_else(|| Missing::Ours(format!("it says no {}", goal.quantile)))
                }
            };
            let what = format!("{}, {cell}: our lateness {}, us", section.title, goal.quantile);
            section.goals.push(Goal { what, at_most: goal.us, measured });
        }
    }
    Ok(section)
}

fn round(
    bench: &Bench<'_>,
    work: &work::Punctuality,
    rate: f64,
    client: &Client,
) -> Result<Round, String> {
    let (server, target) = null_server(work.server, Holds::default(), bench.cores)?;
    let seconds = bench.rounds.http_seconds;
    let requests = (rate * seconds) as u64;
    let connections = work.connections;
    let load = Load {
        target: &target,
        connections,
        reconnect: false,
        rate: Some(rate),
        seconds,
        requests,
    };
    let report = bench.run(client, &load)?;
    let notes = server.stop()?;
    let arrivals = (work.server == Server::Http).then(|| arrivals(&notes, rate));
    Ok(Round { report, arrivals })
}

/// What a client says itself, and what the server saw, each as far as there is such a thing.
fn entries(cell: &str, client: &str, rounds: &[Round]) -> Vec<Entry> {
    let entry = |client: String, lateness: Vec<Quantiles>| {
        let rate = Spread::new(rounds.iter().map(|round| round.report.rate));
        let late = ["p50", "p99", "p99.9"].map(|name| spread(lateness.iter().copied(), name));
        let figures = std::iter::once(rate).chain(late).collect();
        Entry { cell: cell.to_owned(), client, figures, note: None }
    };
    let own: Vec<_> = rounds.iter().filter_map(|round| round.report.lateness).collect();
    let seen: Vec<_> = rounds.iter().filter_map(|round| round.arrivals).collect();
    let own = (!own.is_empty()).then(|| entry(client.to_owned(), own));
    let seen = (!seen.is_empty()).then(|| entry(format!("{client}, as the server saw it"), seen));
    own.into_iter().chain(seen).collect()
}

fn spread(quantiles: impl IntoIterator<Item = Quantiles>, name: &str) -> Option<Spread> {
    let value = |quantiles: Quantiles| {
        let named = quantiles.named();
        named.into_iter().find(|(other, _)| *other == name).and_then(|(_, value)| value)
    };
    Spread::new(quantiles.into_iter().filter_map(value))
}

/// How late requests arrived that were to leave at even gaps. The first instant of the schedule
/// is not known: the most punctual request counts as on time.
fn arrivals(notes: &Notes, rate: f64) -> Quantiles {
    let late = |(number, received): (usize, &Duration)| {
        received.as_secs_f64() * 1e6 - number as f64 * 1e6 / rate
    };
    let late: Vec<f64> = notes.received.iter().enumerate().map(late).collect();
    let least = late.iter().copied().fold(f64::INFINITY, f64::min);
    Quantiles::of(late.into_iter().map(|late| late - least).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_late_by_how_far_they_are_behind_the_most_punctual_one() {
        // Every 100 us; the third 30 us late, the last one 10 us.
        let received = [0, 100, 230, 300, 410].map(Duration::from_micros).to_vec();
        let quantiles = arrivals(&Notes { received, sent: Vec::new() }, 10_000.0);
        let close = |value: Option<f64>, to: f64| (value.unwrap() - to).abs() < 1e-6;
        assert!(close(quantiles.p50, 0.0) && close(quantiles.max, 30.0), "{quantiles:?}");
        assert_eq!(spread([quantiles], "p99").unwrap().median(), quantiles.p99.unwrap());
    }
}
