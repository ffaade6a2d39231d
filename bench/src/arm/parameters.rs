//! The settings of each arm's sessions, told and compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use wire::postgres::Parameters;

use super::Arm;

/// The settings that an arm's server told of, by name, with every value that some connection has.
/// Empty over HTTP, and before they are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionParameters(BTreeMap<String, BTreeSet<String>>);

/// A value; a list of them where connections differ.
impl Serialize for SessionParameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Shown<'a> {
            One(&'a str),
            Several(&'a BTreeSet<String>),
        }
        serializer.collect_map(self.0.iter().map(|(name, values)| match values.first() {
            Some(value) if values.len() == 1 => (name, Shown::One(value)),
            _ => (name, Shown::Several(values)),
        }))
    }
}

impl SessionParameters {
    /// From what connections were told, each set of settings once.
    pub(crate) fn new(sets: &[Parameters]) -> Self {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in sets.iter().flat_map(Parameters::iter) {
            all.entry(name.to_owned()).or_default().insert(value.to_owned());
        }
        Self(all)
    }

    /// A setting's value, one of them where connections differ.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// The names of those that both know and that differ, each with both values. A pooler need not
    /// pass on all that its server says.
    pub(crate) fn differing<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a str, [String; 2])> {
        let shown = |values: &BTreeSet<String>| {
            values.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
        };
        let both = self.0.iter().filter_map(|(name, ours)| Some((name, ours, other.0.get(name)?)));
        // Each client has a name of its own.
        let differ =
            both.filter(|(name, ours, theirs)| *name != "application_name" && ours != theirs);
        differ.map(move |(name, ours, theirs)| (name.as_str(), [shown(ours), shown(theirs)]))
    }
}

/// Where the sessions of two arms have other settings, which names the difference.
pub(crate) fn difference(one: &Arm, other: &Arm) -> Option<String> {
    let differing = one.parameters.differing(&other.parameters);
    let named: Vec<_> =
        differing.map(|(name, [ours, theirs])| format!("{name} {ours} and {theirs}")).collect();
    (!named.is_empty()).then(|| {
        format!(
            "sessions of {} and {} begin with other settings ({}): what lies between them holds that \
             too; set both alike",
            one.kind.name,
            other.kind.name,
            named.join(", ")
        )
    })
}

/// The names of the settings in which some of the arms differ.
pub(crate) fn differing_names(arms: &[Arm]) -> BTreeSet<String> {
    let pairs = arms.iter().flat_map(|one| arms.iter().map(move |other| (one, other)));
    let differing = pairs.flat_map(|(one, other)| one.parameters.differing(&other.parameters));
    differing.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
impl SessionParameters {
    /// Of connections that were all told the same.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let one = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), BTreeSet::from([(*value).to_owned()]))
        };
        Self(pairs.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ARMS;

    fn told(pooled: SessionParameters, direct: SessionParameters) -> Option<String> {
        let [mut one, mut other] = [&ARMS[2], &ARMS[3]].map(|kind| Arm::new(kind, None));
        (one.parameters, other.parameters) = (pooled, direct);
        let told = difference(&one, &other);
        assert_eq!(told.is_none(), differing_names(&[one, other]).is_empty());
        told
    }

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let direct =
            [("TimeZone", "UTC"), ("application_name", "direct"), ("server_version", "15.14")];
        let pooled = [("TimeZone", "UTC"), ("application_name", "pooled"), ("is_superuser", "on")];
        let of = SessionParameters::of;
        assert_eq!(told(of(&pooled), of(&direct)), None, "only what both know is compared");
        assert_eq!(told(of(&[]), of(&direct)), None, "HTTP has none");
        let tokyo = of(&[("TimeZone", "Asia/Tokyo"), ("server_version", "15.13")]);
        assert_eq!(
            told(tokyo, of(&direct)).unwrap(),
            "sessions of pooler and direct begin with other settings (TimeZone Asia/Tokyo and UTC, \
             server_version 15.13 and 15.14): what lies between them holds that too; set both alike"
        );
    }

    #[test]
    fn connections_of_one_arm_that_differ_have_all_of_their_values() {
        let mut mixed = SessionParameters::of(&[("DateStyle", "ISO, DMY"), ("TimeZone", "UTC")]);
        mixed.0.entry("DateStyle".into()).or_default().insert("ISO, MDY".into());
        let json = serde_json::to_string(&mixed).unwrap();
        assert_eq!(json, r#"{"DateStyle":["ISO, DMY","ISO, MDY"],"TimeZone":"UTC"}"#);
        let words = told(mixed, SessionParameters::of(&[("DateStyle", "ISO, DMY")])).unwrap();
        assert!(words.contains("(DateStyle ISO, DMY or ISO, MDY and ISO, DMY)"), "{words}");
    }
}
