//! `[thresholds]` of a scenario file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

/// By metric, one or several thresholds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct ThresholdsFile(pub(super) BTreeMap<String, Entries>);

impl ThresholdsFile {
    /// How many there are, over all metrics.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(|entries| entries.0.len()).sum()
    }
}

/// One threshold, or a list of them.
#[derive(Debug, Clone)]
pub(super) struct Entries(pub(super) Vec<ThresholdFile>);

/// `"p(95)<100"`, or a table with more.
#[derive(Debug, Clone)]
pub(super) struct ThresholdFile {
    pub(super) threshold: String,
    pub(super) abort_on_fail: bool,
    pub(super) delay_abort_eval: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ThresholdTable {
    threshold: String,
    #[serde(default, alias = "abort_on_fail")]
    abort_on_fail: bool,
    #[serde(alias = "delay_abort_eval")]
    delay_abort_eval: Option<String>,
}

impl From<String> for ThresholdFile {
    fn from(threshold: String) -> Self {
        Self { threshold, abort_on_fail: false, delay_abort_eval: None }
    }
}

impl From<ThresholdTable> for ThresholdFile {
    fn from(table: ThresholdTable) -> Self {
        let ThresholdTable { threshold, abort_on_fail, delay_abort_eval } = table;
        Self { threshold, abort_on_fail, delay_abort_eval }
    }
}

impl<'de> Deserialize<'de> for ThresholdFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor)
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = ThresholdFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a threshold as in \"p(95)<100\", or a table with `threshold`")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        ThresholdTable::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of thresholds, as in [\"p(95)<100\"]")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Entries(vec![text.to_owned().into()]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        OneVisitor.visit_map(map).map(|one| Entries(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
