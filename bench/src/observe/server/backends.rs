//! Postgres' backends, as far as a role sees them.

use std::collections::BTreeMap;

/// Backends of clients at one instant by application_name, the observer's own left out.
///
/// Of other roles' backends Postgres shows names and numbers alone to a role that has not the
/// privileges of pg_read_all_stats, neither what they do nor whether they are of clients (Postgres
/// manual, 28.2.2 "Viewing Statistics"): where there are such, nobody knows how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backends {
    of_clients: BTreeMap<String, u64>,
    hidden: BTreeMap<String, u64>,
}

/// Which rows of pg_stat_activity are of clients, or may be. The system's own processes have no
/// database or no role.
pub(super) const CLIENTS: &str = "pid <> pg_backend_pid() AND (backend_type = 'client backend' \
     OR backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL)";

impl Backends {
    /// Adds so many of one name; of hidden ones only that is known.
    pub(crate) fn add(&mut self, name: &str, count: u64, is_hidden: bool) {
        let all = if is_hidden { &mut self.hidden } else { &mut self.of_clients };
        *all.entry(name.to_owned()).or_default() += count;
    }

    /// How many there are; `None` where some are hidden.
    pub(crate) fn all(&self) -> Option<u64> {
        (!self.has_hidden()).then(|| self.of_clients.values().sum())
    }

    /// How many have this application_name; `None` where one of them is hidden.
    pub(crate) fn named(&self, name: &str) -> Option<u64> {
        let is_hidden = self.hidden.contains_key(name);
        (!is_hidden).then(|| self.of_clients.get(name).copied().unwrap_or_default())
    }

    /// Whether there are some of which nothing else is known.
    pub(crate) fn has_hidden(&self) -> bool {
        !self.hidden.is_empty()
    }
}

#[cfg(test)]
impl Backends {
    /// Those of one name.
    pub(crate) fn of(name: &str, count: u64) -> Self {
        let mut backends = Self::default();
        backends.add(name, count, false);
        backends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_makes_its_name_and_the_sum_unknown_and_no_zero() {
        let mut backends = Backends::of("nova", 5);
        backends.add("psql", 1, false);
        assert_eq!((backends.all(), backends.named("nova")), (Some(6), Some(5)));
        assert_eq!((backends.named("other"), backends.has_hidden()), (Some(0), false));
        backends.add("psql", 2, true);
        assert_eq!((backends.all(), backends.named("psql")), (None, None));
        assert_eq!((backends.named("nova"), backends.has_hidden()), (Some(5), true));
    }
}
