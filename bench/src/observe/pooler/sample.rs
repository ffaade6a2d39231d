//! What a pooler's console shows once a second.

use std::sync::Arc;

use super::dialect::Dialect;
use super::{
    ClientLimit, Counters, Figures, FullPool, Pools, REMEDY, Totals, WHAT, figures, settings,
    version,
};
use crate::observe::ObserveError;
use crate::observe::session::{Answer, Session};
use crate::observe::table::{Row, number, sum};

/// A pooler at one instant: all of its processes together. What its console does not show is
/// unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PoolerSample {
    pub(crate) pools: Option<Pools>,
    /// Those that have no connection left for the clients that wait.
    pub(crate) full: Option<Vec<FullPool>>,
    /// Of each of its processes.
    pub(crate) counters: Option<Counters>,
    /// Everything else that SHOW POOLS, DATABASES and LISTS count.
    pub(crate) figures: Figures,
    /// How many clients it takes.
    pub(crate) clients_max: Option<u64>,
    /// Of databases that take so many clients and no more.
    pub(crate) client_limits: Vec<ClientLimit>,
}

/// A pooler's console, or those of several processes behind one port (so_reuseport), each by a
/// socket of its own.
pub(crate) struct PoolerSource {
    consoles: Vec<Console>,
}

struct Console {
    session: Session,
    /// Commands that it has answered: where it refuses them later, that is of the moment.
    answered: Vec<&'static str>,
    /// Commands that it does not know, with what it says.
    refused: Vec<(&'static str, String)>,
    /// Looks over this connection.
    looks: u64,
    settings: Arc<Row>,
    /// Settings that were changed while we looked.
    changes: Vec<String>,
    version: Option<String>,
    dialect: Dialect,
}

/// Without the answers to these little is to be seen of a pooler. Who refuses one of them is asked
/// again, others are not.
const NEEDED: [&str; 3] = ["SHOW POOLS", "SHOW DATABASES", "SHOW STATS"];

/// A RELOAD or a SET may change the settings; they are a hundred rows.
pub(in crate::observe) const CONFIG_EVERY: u64 = 10;

impl PoolerSource {
    /// Nothing is opened yet.
    pub(crate) fn new(conninfos: &[String]) -> Result<Self, ObserveError> {
        let console = |conninfo: &String| {
            Ok(Console {
                session: Session::new(WHAT, conninfo, REMEDY)?,
                answered: Vec::new(),
                refused: Vec::new(),
                looks: 0,
                settings: Arc::default(),
                changes: Vec::new(),
                version: None,
                dialect: Dialect::default(),
            })
        };
        Ok(Self { consoles: conninfos.iter().map(console).collect::<Result<_, _>>()? })
    }

    /// Looks once. Where one of several processes does not answer, the sum is unknown.
    pub(crate) async fn look(&mut self) -> Result<PoolerSample, ObserveError> {
        let mut all = Vec::with_capacity(self.consoles.len());
        let mut counted = Vec::with_capacity(self.consoles.len());
        for console in &mut self.consoles {
            let (sample, totals) = console.look().await?;
            all.push(sample);
            counted.push(totals);
        }
        let counters = counted.into_iter().collect::<Option<_>>().map(Counters::of_each);
        Ok(PoolerSample { counters, ..PoolerSample::sum(all) })
    }

    /// Its version, as it says it, once it was looked at.
    pub(crate) fn version(&self) -> Option<&str> {
        self.consoles.first()?.version.as_deref()
    }

    /// Its settings by name, as they were last seen; of several processes the first one's.
    pub(crate) fn settings(&self) -> Option<Arc<Row>> {
        let settings = &self.consoles.first()?.settings;
        (!settings.is_empty()).then(|| Arc::clone(settings))
    }

    /// What is to be known of its figures.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let [console] = &self.consoles[..]
            && console.settings.get("so_reuseport").is_some_and(|on| on == "1")
        {
            notes.push(
                "so_reuseport is on, and its console shows one process of several: list the socket \
                 of each in `console`"
                    .to_owned(),
            );
        }
        for console in &self.consoles {
            let needed = console.refused.iter().filter(|(command, _)| NEEDED.contains(command));
            notes.extend(needed.map(|(command, problem)| {
                format!("its console does not answer {command} ({problem}): that is not seen")
            }));
            if !console.changes.is_empty() {
                let changes = console.changes.join(", ");
                notes.push(format!("its settings were changed meanwhile: {changes}"));
            }
        }
        notes
    }
}

impl Console {
    /// What it shows, and apart from that what its process has counted.
    async fn look(&mut self) -> Result<(PoolerSample, Option<Totals>), ObserveError> {
        if self.session.open().await? {
            self.refused.clear();
            self.looks = 0;
            self.version = version(&self.show("SHOW VERSION").await?);
            self.dialect = self.version.as_deref().map(Dialect::of).unwrap_or_default();
        }
        if self.looks.is_multiple_of(CONFIG_EVERY) {
            let settings = settings(&self.show("SHOW CONFIG").await?);
            self.set(settings);
        }
        self.looks += 1;
        let mut pools = self.show("SHOW POOLS").await?;
        let databases = self.show("SHOW DATABASES").await?;
        self.dialect.count_clients(&mut pools, &databases);
        let stats = self.show("SHOW STATS").await?;
        // How many clients and servers there are; SHOW CLIENTS would be a row for each of them.
        let lists = self.show("SHOW LISTS").await?;
        // With an auth_query it may have a row for each of many users.
        let waits = |row: &Row| number(row, "cl_waiting").is_some_and(|waiting| waiting > 0);
        let users = match pools.iter().any(waits) {
            true => self.show("SHOW USERS").await?,
            false => Vec::new(),
        };
        let mut figures = figures::of_view("pools", &pools);
        figures.extend(figures::of_view("databases", &databases));
        figures.extend(figures::of_lists(&lists));
        let sample = PoolerSample {
            pools: (!pools.is_empty()).then(|| Pools::new(&pools)),
            full: FullPool::find(&pools, &databases, &users, &self.settings),
            counters: None,
            figures,
            clients_max: number(&self.settings, "max_client_conn"),
            client_limits: ClientLimit::all(&databases),
        };
        Ok((sample, (!stats.is_empty()).then(|| Totals::new(&stats))))
    }

    fn set(&mut self, settings: Row) {
        if *self.settings == settings {
            return;
        }
        if !self.settings.is_empty() {
            for (name, now) in &settings {
                let then = self.settings.get(name).filter(|then| *then != now);
                self.changes.extend(then.map(|then| format!("{name} from {then:?} to {now:?}")));
            }
        }
        self.settings = Arc::new(settings);
    }

    /// The rows that a command gives; none where this console does not know it.
    async fn show(&mut self, command: &'static str) -> Result<Vec<Row>, ObserveError> {
        let is_refused = self.refused.iter().any(|(other, _)| *other == command);
        if is_refused && !NEEDED.contains(&command) {
            return Ok(Vec::new());
        }
        match self.session.ask(command).await? {
            Answer::Tables(tables) => {
                if !self.answered.contains(&command) {
                    self.answered.push(command);
                }
                self.refused.retain(|(other, _)| *other != command);
                let rows = tables.into_iter().next().unwrap_or_default();
                Ok(rows.into_iter().map(|row| self.dialect.translate(row)).collect())
            }
            Answer::Refusal { message, .. } if self.answered.contains(&command) => {
                Err(self.session.fault(format!("{command}: {message}")))
            }
            Answer::Refusal { message, .. } => {
                if !is_refused {
                    self.refused.push((command, message));
                }
                Ok(Vec::new())
            }
        }
    }
}

impl PoolerSample {
    /// Several processes together, without what each has counted.
    fn sum(mut all: Vec<Self>) -> Self {
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return only;
        }
        let pools: Option<Vec<_>> = all.iter().map(|one| one.pools).collect();
        let full: Option<Vec<_>> = all.iter().map(|one| one.full.clone()).collect();
        Self {
            pools: pools.map(|pools| Pools::sum(&pools)),
            full: full.map(|full| full.concat()),
            counters: None,
            figures: sum(all.iter().map(|one| &one.figures)),
            clients_max: all.iter().map(|one| one.clients_max).sum(),
            client_limits: all.into_iter().flat_map(|one| one.client_limits).collect(),
        }
    }
}
