//! What Postgres' views show once a second.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backends, CLIENTS, REMEDY, WHAT};
use crate::observe::ObserveError;
use crate::observe::session::{Answer, Session};
use crate::observe::table::{Row, number, risen};

/// Postgres at one instant. What this version does not show, or not to this role, is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerSample {
    pub(crate) backends: Backends,
    /// What those do; `None` where some of them are hidden.
    pub(crate) activity: Option<Activity>,
    /// What Postgres has counted, by view and column as in `wal.wal_bytes`.
    pub(crate) counters: Counted,
    /// How many backends there may be.
    pub(crate) connections_max: Option<u64>,
}

/// What backends of clients do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Backends by state: `active`, `idle`, `idle in transaction`, ….
    pub(crate) states: BTreeMap<String, u64>,
    /// What active ones wait for, as in `Lock:tuple`; `running` for those that do not wait (Postgres
    /// manual, 28.2.3 "pg_stat_activity", table "Wait Event Types").
    pub(crate) waits: BTreeMap<String, u64>,
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

fn activity_query() -> String {
    format!(
        "SELECT application_name, state, wait_event_type, wait_event, backend_type, \
         count(*) AS backends FROM pg_stat_activity WHERE {CLIENTS} GROUP BY 1, 2, 3, 4, 5"
    )
}

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
    /// Who looks.
    role: Option<String>,
    /// Whether backends were hidden from that role.
    has_hidden: bool,
}

impl ServerSource {
    /// Nothing is opened yet.
    pub(crate) fn new(conninfo: &str) -> Result<Self, ObserveError> {
        let session = Session::new(WHAT, conninfo, REMEDY)?;
        let (version, connections_max, role) = (None, None, None);
        Ok(Self { session, views: None, version, connections_max, role, has_hidden: false })
    }

    /// What is to be known of its figures.
    pub(crate) fn note(&self) -> Option<String> {
        let role = self.role.as_deref().unwrap_or("the observer's role");
        self.has_hidden.then(|| {
            format!(
                "other roles' backends are hidden from {role}: how many there are and what they do is \
                 not known (GRANT pg_read_all_stats TO {role}, or pg_monitor)"
            )
        })
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
        let activity = activity_query();
        let query = [&*activity].into_iter().chain(queries).collect::<Vec<_>>().join("; ");
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
        self.has_hidden |= sample.backends.has_hidden();
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
                        current_setting('max_connections') AS max_connections, \
                        quote_ident(current_user) AS role";
        let tables = match self.session.ask(settings).await? {
            Answer::Tables(tables) => tables,
            Answer::Refusal { message, .. } => return Err(self.session.fault(message)),
        };
        let row = tables.first().and_then(|rows| rows.first());
        let version = row.and_then(|row| row.get("version"));
        self.version = version.map(|text| text.split(' ').next().unwrap_or_default().to_owned());
        self.connections_max = row.and_then(|row| number(row, "max_connections"));
        self.role = row.and_then(|row| row.get("role").cloned());
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
    /// The rows of [`activity_query`].
    fn of(activity: &[Row]) -> Self {
        let (mut backends, mut doing) = (Backends::default(), Activity::default());
        let text = |row: &Row, name: &str| row.get(name).cloned().unwrap_or_default();
        for row in activity {
            let count = number(row, "backends").unwrap_or_default();
            let state = text(row, "state");
            // NULL is for a role that may not know.
            let is_hidden = row.get("backend_type").is_some_and(String::is_empty);
            backends.add(&text(row, "application_name"), count, is_hidden);
            if state == "active" {
                let wait = match text(row, "wait_event_type").as_str() {
                    "" => "running".to_owned(),
                    kind => format!("{kind}:{}", text(row, "wait_event")),
                };
                *doing.waits.entry(wait).or_default() += count;
            }
            // There is none while a backend starts, and with track_activities off.
            if !state.is_empty() {
                *doing.states.entry(state).or_default() += count;
            }
        }
        let activity = (!backends.has_hidden()).then_some(doing);
        Self { backends, activity, ..Self::default() }
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
                ("backend_type", "client backend"),
                ("backends", count),
                ("state", state),
                ("wait_event", event),
                ("application_name", name),
                ("wait_event_type", kind),
            ])
        };
        let mut rows = vec![
            backend("nova", "active", "Lock", "tuple", "3"),
            backend("nova", "active", "", "", "2"),
            backend("psql", "idle", "Client", "ClientRead", "1"),
            backend("starting", "", "", "", "4"),
        ];
        let sample = ServerSample::of(&rows);
        let map = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let named = ["nova", "psql", "starting"].map(|name| sample.backends.named(name));
        assert_eq!((named, sample.backends.all()), ([Some(5), Some(1), Some(4)], Some(10)));
        let activity = sample.activity.unwrap();
        assert_eq!(activity.states, map(&[("active", 5), ("idle", 1)]));
        assert_eq!(activity.waits, map(&[("Lock:tuple", 3), ("running", 2)]));
        // As Postgres shows another role's to one without pg_read_all_stats.
        let hidden = [("application_name", "secret"), ("state", ""), ("backend_type", "")];
        rows.push(row(&[&hidden[..], &[("backends", "2")]].concat()));
        let sample = ServerSample::of(&rows);
        assert_eq!((sample.backends.all(), sample.activity), (None, None));
        assert_eq!(sample.backends.named("nova"), Some(5));
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
