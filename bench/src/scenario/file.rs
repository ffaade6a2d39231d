//! What a scenario file can hold.

use std::collections::BTreeMap;

use engine::Nanos;
use serde::Deserialize;

use super::ScenarioError;
use crate::band::BandFile;
use crate::check::CheckFile;
use crate::duration;
use crate::threshold::ThresholdsFile;

/// A scenario file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Its name in reports.
    pub(crate) name: String,
    /// The servers that load can go to.
    pub(crate) targets: BTreeMap<String, TargetFile>,
    /// Credentials for the gateways.
    #[serde(default)]
    pub(crate) auth: AuthFile,
    /// What is asked for.
    pub(crate) operations: Vec<OperationFile>,
    /// How `run` loads its target.
    #[serde(default)]
    pub(crate) load: LoadFile,
    /// By target, the pid of its process on this machine, or a file that holds it.
    #[serde(default)]
    pub(crate) processes: BTreeMap<String, String>,
    /// What a run must keep to.
    #[serde(default)]
    pub(crate) thresholds: ThresholdsFile,
    /// What is counted about each reply.
    #[serde(default)]
    pub(crate) checks: Vec<CheckFile>,
    /// How numbers are read, in place of what is built in.
    #[serde(default)]
    pub(crate) bands: Vec<BandFile>,
    /// Tags of everything that is measured.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// One server. Either `url` or `conninfo` says where.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetFile {
    /// A GraphQL endpoint.
    pub(crate) url: Option<String>,
    /// A Postgres server or a pooler.
    pub(crate) conninfo: Option<String>,
    /// How statements are sent.
    #[serde(default)]
    pub(crate) protocol: ProtocolFile,
    /// The pooler's admin console.
    pub(crate) console: Option<String>,
    /// Who may read pg_stat_activity; the target's own login where it is not given.
    pub(crate) observer: Option<String>,
    /// The application_name under which Postgres sees this target's backends.
    pub(crate) backends: Option<String>,
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProtocolFile {
    Simple,
    #[default]
    Extended,
    Prepared,
}

impl From<ProtocolFile> for wire::postgres::Protocol {
    fn from(protocol: ProtocolFile) -> Self {
        match protocol {
            ProtocolFile::Simple => Self::Simple,
            ProtocolFile::Extended => Self::Extended,
            ProtocolFile::Prepared => Self::Prepared,
        }
    }
}

/// Credentials for the gateways: a token, or a login that gives one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthFile {
    /// The token itself.
    pub(crate) jwt: Option<String>,
    /// A mutation that gives one.
    pub(crate) login: Option<LoginFile>,
}

/// A mutation that gives a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginFile {
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) variables: toml::Table,
    /// Where the token stands in the reply, as in `data.login.token`.
    pub(crate) token: String,
}

/// One operation, as GraphQL and as SQL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperationFile {
    pub(crate) name: String,
    /// Its share of all requests, relative to the others'.
    #[serde(default = "one")]
    pub(crate) weight: u32,
    pub(crate) graphql: Option<String>,
    #[serde(default)]
    pub(crate) variables: toml::Table,
    /// More variables, for the SQL alone.
    #[serde(default)]
    pub(crate) sql_variables: toml::Table,
    pub(crate) sql: Option<String>,
    /// What `$1`, `$2`, … are: a variable's name and a type, as in `id:int8`.
    #[serde(default)]
    pub(crate) params: Vec<String>,
    /// A variable that the reply must carry, and where: a JSON path, and in SQL the first column.
    #[serde(default)]
    pub(crate) expect: BTreeMap<String, String>,
    /// Whether it writes; a mutation does. What writes is never sent twice.
    pub(crate) writes: Option<bool>,
}

fn one() -> u32 {
    1
}

/// How `run` loads its target.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadFile {
    #[serde(default)]
    pub(crate) executor: Executor,
    pub(crate) vus: Option<u32>,
    /// Iterations a second.
    pub(crate) rate: Option<f64>,
    /// As in `30s` or `5m`.
    pub(crate) duration: Option<String>,
    /// The least and the most, uniform between.
    pub(crate) think_time: Option<[String; 2]>,
}

/// k6's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Executor {
    #[default]
    ConstantVus,
    ConstantArrivalRate,
}

impl LoadFile {
    /// How long, if it says so.
    pub(crate) fn duration(&self) -> Result<Option<Nanos>, ScenarioError> {
        self.duration.as_deref().map(|text| parse("load.duration", text)).transpose()
    }

    /// The least and the most think time, if it says so.
    pub(crate) fn think_time(&self) -> Result<Option<(Nanos, Nanos)>, ScenarioError> {
        let Some([least, most]) = &self.think_time else { return Ok(None) };
        let least = parse("load.think_time", least)?;
        let most = parse("load.think_time", most)?;
        if least > most {
            let problem = "the least think time comes first, then the most";
            return Err(ScenarioError::value("load.think_time", problem));
        }
        Ok(Some((least, most)))
    }

    /// The rate of an open loop.
    pub(crate) fn rate(&self) -> Result<f64, ScenarioError> {
        self.rate.filter(|rate| *rate > 0.0 && rate.is_finite()).ok_or_else(|| {
            ScenarioError::value("load.rate", "constant-arrival-rate needs a rate above 0")
        })
    }
}

fn parse(place: &str, text: &str) -> Result<Nanos, ScenarioError> {
    duration::parse(text).map_err(|problem| ScenarioError::value(place, problem))
}
