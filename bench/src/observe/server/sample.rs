//! What Postgres' views show once a second.

use std::collections::{BTreeMap, BTreeSet};

use super::{REMEDY, WHAT};
use crate::observe::ObserveError;
use crate::observe::session::{Answer, Session};
use crate::observe::table::{Row, number, risen};

/// Postgres at one instant. What this version does not show, or not to this role, is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerSample {
    /// Backends of clients by application_name, the observer's own left out.
    pub(crate) backends: BTreeMap<String, u64>,
    /// The same by state: `active`, `idle`, `idle in transaction`, ….
    pub(crate) states: BTreeMap<String, u64>,
    /// What active backends wait for, as in `Lock:tuple`; `running` for those that do not wait
    /// (Postgres manual, 28.2.3 "pg_stat_activity", table "Wait Event Types").
    pub(crate) waits: BTreeMap<String, u64>,
    /// What Postgres has counted, by view and column as in `wal.wal_bytes`.
    pub(crate) counters: Counted,
    /// How many backends there may be.
    pub(crate) connections_max: Option<u64>,
}

/// What the cumulative statistics system has counted (Postgres manual, 28.2), by view and column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted(BTreeMap<String, u64>);

impl Counted {
    /// What was counted since `earlier`. A view of which a counter has fallen is left out: nobody
    /// knows what it lost.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let fallen = self.fallen(earlier);
        let mut both = self.0.clone();
        both.retain(|name, _| !fallen.contains(view_of(name)));
        // What has fallen is not in it any more.
        Self(risen(&both, &earlier.0).unwrap_or_default())
    }

    /// Whether a view began to count anew since `earlier`: after a restart, or pg_stat_reset. The
    /// sums over pg_stat_statements fall whenever it makes room for other statements.
    pub(crate) fn has_begun_anew(&self, earlier: &Self) -> bool {
        self.fallen(earlier).into_iter().any(|view| view != STATEMENTS)
    }

    fn fallen(&self, earlier: &Self) -> BTreeSet<&str> {
        let has_fallen =
            |(name, now): &(&String, &u64)| earlier.0.get(*name).is_some_and(|then| then > now);
        self.0.iter().filter(has_fallen).map(|(name, _)| view_of(name)).collect()
    }

    /// Every counter with its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

/// Of a counter's name.
fn view_of(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

const STATEMENTS: &str = "statements";

/// A view of counters and the question for it. All columns are asked for where versions differ.
struct View {
    name: &'static str,
    query: &'static str,
}

const ACTIVITY: &str = "SELECT application_name, state, wait_event_type, wait_event, \
     count(*) AS backends FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1, 2, 3, 4";

const VIEWS: [View; 5] = [
    View {
        name: "database",
        query: "SELECT * FROM pg_stat_database WHERE datname = current_database()",
    },
    View { name: "bgwriter", query: "SELECT * FROM pg_stat_bgwriter" },
    // Since version 17 it has what was the background writer's.
    View { name: "checkpointer", query: "SELECT * FROM pg_stat_checkpointer" },
    // Since version 14.
    View { name: "wal", query: "SELECT * FROM pg_stat_wal" },
    // Where it is installed; without the texts, which it would read from a file.
    View {
        name: STATEMENTS,
        query: "SELECT sum(calls) AS calls, sum(rows) AS rows, \
                sum(total_exec_time)::bigint AS total_exec_time_ms, \
                sum(shared_blks_read) AS shared_blks_read FROM pg_stat_statements(false)",
    },
];

/// Columns of the views that are numbers and count nothing.
const NO_COUNTERS: [&str; 2] = ["datid", "numbackends"];

/// A connection that only looks.
pub(crate) struct ServerSource {
    session: Session,
    /// The views that this server has and this role may read, where that is known.
    views: Option<Vec<&'static View>>,
    version: Option<String>,
    connections_max: Option<u64>,
}

impl ServerSource {
    /// Nothing is opened yet.
    pub(crate) fn new(conninfo: &str) -> Result<Self, ObserveError> {
        let session = Session::new(WHAT, conninfo, REMEDY)?;
        Ok(Self { session, views: None, version: None, connections_max: None })
    }

    /// Its version, as in `15.18`, once it was looked at.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Looks once: one round trip, one transaction, nothing prepared. What the server refuses all of
    /// a sudden is nothing that was seen; which views there are is asked again then.
    pub(crate) async fn look(&mut self) -> Result<ServerSample, ObserveError> {
        if self.session.open().await? {
            self.views = None;
        }
        let views = match self.views.take() {
            Some(views) => views,
            None => self.learn().await?,
        };
        let queries = views.iter().map(|view| view.query);
        let query = [ACTIVITY].into_iter().chain(queries).collect::<Vec<_>>().join("; ");
        let mut tables = match self.session.ask(&query).await? {
            Answer::Tables(tables) => tables.into_iter(),
            Answer::Refusal { message, .. } => return Err(self.session.fault(message)),
        };
        let activity = tables.next().unwrap_or_default();
        let mut sample =
            ServerSample { connections_max: self.connections_max, ..ServerSample::of(&activity) };
        for (view, rows) in views.iter().zip(tables) {
            rows.iter().for_each(|row| sample.count(view.name, row));
        }
        self.views = Some(views);
        Ok(sample)
    }

    /// Which views there are, and what does not change while the server runs.
    async fn learn(&mut self) -> Result<Vec<&'static View>, ObserveError> {
        let mut views = Vec::new();
        for view in &VIEWS {
            match self.session.ask(view.query).await? {
                Answer::Tables(_) => views.push(view),
                Answer::Refusal { code, .. } if is_of_absence(&code) => {}
                Answer::Refusal { message, .. } => return Err(self.session.fault(message)),
            }
        }
        let settings = "SELECT current_setting('server_version') AS version, \
                        current_setting('max_connections') AS max_connections";
        let tables = match self.session.ask(settings).await? {
            Answer::Tables(tables) => tables,
            Answer::Refusal { message, .. } => return Err(self.session.fault(message)),
        };
        let row = tables.first().and_then(|rows| rows.first());
        let version = row.and_then(|row| row.get("version"));
        self.version = version.map(|text| text.split(' ').next().unwrap_or_default().to_owned());
        self.connections_max = row.and_then(|row| number(row, "max_connections"));
        Ok(views)
    }
}

/// Whether an SQLSTATE says that this server has no such view, or not for this role: class 42, and
/// 55000 of an extension whose library is not loaded (Postgres manual, appendix A). Others are of this
/// moment: a time limit, a conflict with recovery.
fn is_of_absence(code: &str) -> bool {
    code.starts_with("42") || code == "55000"
}

impl ServerSample {
    /// The rows of [`ACTIVITY`].
    fn of(activity: &[Row]) -> Self {
        let mut sample = Self::default();
        let text = |row: &Row, name: &str| row.get(name).cloned().unwrap_or_default();
        for row in activity {
            let count = number(row, "backends").unwrap_or_default();
            let state = text(row, "state");
            *sample.backends.entry(text(row, "application_name")).or_default() += count;
            if state == "active" {
                let wait = match text(row, "wait_event_type").as_str() {
                    "" => "running".to_owned(),
                    kind => format!("{kind}:{}", text(row, "wait_event")),
                };
                *sample.waits.entry(wait).or_default() += count;
            }
            // It is not shown to a role that may not know.
            if !state.is_empty() {
                *sample.states.entry(state).or_default() += count;
            }
        }
        sample
    }

    fn count(&mut self, view: &str, row: &Row) {
        for (column, cell) in row.iter().filter(|(name, _)| !NO_COUNTERS.contains(&name.as_str())) {
            // Times are in ms with a fraction.
            let number = cell.parse::<f64>().ok().filter(|number| *number >= 0.0);
            if let Some(number) = number {
                let name = format!("{view}.{column}");
                *self.counters.0.entry(name).or_default() += number as u64;
            }
        }
    }

    /// Backends of clients.
    pub(crate) fn connections(&self) -> u64 {
        self.backends.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    #[test]
    fn activity_is_counted_by_name_by_state_and_by_what_is_waited_for() {
        let backend = |name, state, kind, event, count| {
            row(&[
                ("backends", count),
                ("state", state),
                ("wait_event", event),
                ("application_name", name),
                ("wait_event_type", kind),
            ])
        };
        let sample = ServerSample::of(&[
            backend("nova", "active", "Lock", "tuple", "3"),
            backend("nova", "active", "", "", "2"),
            backend("psql", "idle", "Client", "ClientRead", "1"),
            backend("secret", "", "", "", "4"),
        ]);
        let map = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(sample.backends, map(&[("nova", 5), ("psql", 1), ("secret", 4)]));
        assert_eq!(sample.states, map(&[("active", 5), ("idle", 1)]));
        assert_eq!(sample.waits, map(&[("Lock:tuple", 3), ("running", 2)]));
        assert_eq!(sample.connections(), 10);
    }

    #[test]
    fn counters_have_their_views_name_and_other_columns_are_none() {
        let mut sample = ServerSample::default();
        sample.count(
            "database",
            &row(&[
                ("datid", "5"),
                ("datname", "nova"),
                ("numbackends", "8"),
                ("xact_commit", "120"),
                ("blk_read_time", "1.75"),
                ("stats_reset", "2026-01-01 00:00:00+00"),
                ("checksum_failures", ""),
            ]),
        );
        let counted: Vec<_> = sample.counters.iter().collect();
        assert_eq!(counted, [("database.blk_read_time", 1), ("database.xact_commit", 120)]);
        let counted = |pairs: &[(&str, u64)]| {
            Counted(pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
        };
        let before = counted(&[("database.xact_commit", 100), ("wal.wal_bytes", 7)]);
        let risen = sample.counters.since(&before);
        assert_eq!(risen.iter().collect::<Vec<_>>(), [("database.xact_commit", 20)]);
        // One view is reset, the other goes on; in the third, statements were thrown out.
        let after =
            counted(&[("database.xact_commit", 3), ("wal.wal_bytes", 9), ("statements.calls", 5)]);
        let risen = after.since(&before);
        assert_eq!(risen.iter().collect::<Vec<_>>(), [("wal.wal_bytes", 2)]);
        assert!(after.has_begun_anew(&before));
        let fewer = counted(&[("statements.calls", 4), ("wal.wal_bytes", 9)]);
        assert!(!fewer.has_begun_anew(&after));
        assert_eq!(fewer.since(&after).iter().collect::<Vec<_>>(), [("wal.wal_bytes", 0)]);
    }
}
