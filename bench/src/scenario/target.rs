//! A scenario's targets and operations, encoded for the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{Opening, SECOND, Target};
use socket2::SockAddr;
use ureq::http::Uri;
use wire::http::Expect;
use wire::postgres::{Parameter, Statement, parameter_type};
use wire::{Operation, Request};

use super::file::{OperationFile, Scenario};
use super::variables::Variables;
use super::{ProtocolFile, ScenarioError};
use crate::conninfo::Conninfo;

/// k6's own limit for a request.
const TIMEOUT_NS: u64 = 60 * SECOND;

/// Where each target of a run listens, for people.
pub(crate) type Places = BTreeMap<String, String>;

impl Scenario {
    /// The target called `name` with every operation, ready for the engine.
    pub(crate) fn engine_target(
        &self,
        name: &str,
        connections: u32,
        token: Option<&str>,
        places: &mut Places,
    ) -> Result<Target, ScenarioError> {
        let file = self.target(name)?;
        let (address, opening, operations) = match (&file.url, &file.conninfo) {
            (Some(url), None) => {
                let endpoint = Endpoint::parse(name, url)?;
                places.insert(name.into(), url.clone());
                let operations = self.each(|operation| operation.http(name, &endpoint, token))?;
                let opening = secured(endpoint.tls, Opening::Http);
                (endpoint.address, opening, operations)
            }
            (None, Some(conninfo)) => {
                let bad = |error| ScenarioError::Conninfo { target: name.into(), error };
                let conninfo =
                    Conninfo::parse(conninfo).and_then(Conninfo::reached).map_err(bad)?;
                places.insert(name.into(), conninfo.place());
                let login = conninfo.login().map_err(|error| {
                    ScenarioError::value(format!("targets.{name}.conninfo"), error.to_string())
                })?;
                let operations = self.each(|operation| operation.sql(name, file.protocol))?;
                let address = conninfo.address().map_err(bad)?;
                let opening = Opening::Postgres(Arc::new(login));
                (address, secured(conninfo.tls().map_err(bad)?, opening), operations)
            }
            _ => {
                let problem = "needs either url (a gateway) or conninfo (Postgres or a pooler)";
                return Err(ScenarioError::value(format!("targets.{name}"), problem));
            }
        };
        Ok(Target {
            name: name.into(),
            address,
            opening,
            operations: operations.into(),
            connections,
            opening_at_once: 1,
            timeout_ns: TIMEOUT_NS,
        })
    }

    fn each(
        &self,
        encode: impl Fn(&OperationFile) -> Result<Operation, ScenarioError>,
    ) -> Result<Vec<Operation>, ScenarioError> {
        self.operations.iter().map(encode).collect()
    }
}

fn secured(tls: Option<Arc<wire::tls::Config>>, opening: Opening) -> Opening {
    match tls {
        Some(config) => Opening::Secured(config, Box::new(opening)),
        None => opening,
    }
}

/// How long an address of a host may take to accept a connection where there are others to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A GraphQL endpoint.
#[derive(Debug)]
struct Endpoint {
    address: SockAddr,
    tls: Option<Arc<wire::tls::Config>>,
    host: String,
    path: String,
}

impl Endpoint {
    fn parse(target: &str, url: &str) -> Result<Self, ScenarioError> {
        let bad = |problem: &str| {
            ScenarioError::value(format!("targets.{target}.url"), format!("{url}: {problem}"))
        };
        let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(bad("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        let port = authority.port_u16().unwrap_or(default_port);
        let address = crate::address::reach(authority.host(), port, CONNECT_TIMEOUT)
            .map_err(|error| bad(&format!("cannot resolve the host: {error}")))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let is_secured = default_port == 443;
        let tls = is_secured.then(|| crate::tls::https(authority.host())).transpose();
        let tls = tls.map_err(|problem| bad(&problem))?;
        Ok(Self { address, tls, host: authority.as_str().into(), path: path.into() })
    }
}

impl OperationFile {
    fn place(&self, field: &str) -> String {
        format!("operations.{}.{field}", self.name)
    }

    /// Whether it may be sent again when a stale connection swallowed it.
    fn is_idempotent(&self) -> bool {
        let is_read = |sql: &str| {
            let verb = sql.trim_start().get(..6).unwrap_or_default();
            verb.eq_ignore_ascii_case("select")
        };
        let is_mutation = |query: &str| query.trim_start().starts_with("mutation");
        let writes = self.writes.unwrap_or_else(|| {
            self.graphql.as_deref().is_some_and(is_mutation)
                || self.sql.as_deref().is_some_and(|sql| !is_read(sql))
        });
        !writes
    }

    /// The value that the reply must carry, and where.
    fn expectation(&self, variables: &Variables) -> Result<Option<(usize, &str)>, ScenarioError> {
        let mut entries = self.expect.iter();
        let Some((name, path)) = entries.next() else { return Ok(None) };
        if entries.next().is_some() {
            return Err(ScenarioError::value(self.place("expect"), "one entry is all it can hold"));
        }
        let hole = self.hole("expect", name, variables)?;
        Ok(Some((hole, path)))
    }

    fn hole(&self, field: &str, name: &str, variables: &Variables) -> Result<usize, ScenarioError> {
        variables.hole(name).ok_or_else(|| {
            let problem =
                format!("there is no variable {name}; the variables are: {}", variables.names());
            ScenarioError::value(self.place(field), problem)
        })
    }

    fn http(
        &self,
        target: &str,
        endpoint: &Endpoint,
        token: Option<&str>,
    ) -> Result<Operation, ScenarioError> {
        let variables = self.variables()?;
        let query = self.graphql.as_deref().ok_or_else(|| {
            let problem = format!("is missing, and target {target} speaks GraphQL");
            ScenarioError::value(self.place("graphql"), problem)
        })?;
        let bad = |field, error: &dyn std::error::Error| {
            ScenarioError::value(self.place(field), error.to_string())
        };
        let body = variables.graphql_body(query);
        let mut request = wire::http::Request::new(&endpoint.path, &endpoint.host, body)
            .map_err(|error| bad("graphql", &error))?;
        if let Some(token) = token {
            request = request
                .with_header("Authorization", &format!("Bearer {token}"))
                .map_err(|error| ScenarioError::Auth(error.to_string()))?;
        }
        if let Some((hole, path)) = self.expectation(&variables)? {
            let expect = Expect::parse(path, hole).map_err(|error| bad("expect", &error))?;
            request = request.with_expect(expect);
        }
        Ok(self.operation(Request::Http(request)))
    }

    fn sql(&self, target: &str, protocol: ProtocolFile) -> Result<Operation, ScenarioError> {
        let variables = self.variables()?;
        let sql = self.sql.as_deref().ok_or_else(|| {
            let problem = format!("is missing, and target {target} speaks SQL");
            ScenarioError::value(self.place("sql"), problem)
        })?;
        let parameters: Result<Vec<_>, _> =
            self.params.iter().map(|param| self.parameter(param, &variables)).collect();
        let mut statement = Statement::new(sql, &parameters?, protocol.into(), &self.name)
            .map_err(|error| ScenarioError::value(self.place("sql"), error.to_string()))?;
        if let Some((hole, _)) = self.expectation(&variables)? {
            statement = statement.expect_first_column(hole);
        }
        Ok(self.operation(Request::Postgres(statement)))
    }

    fn parameter(&self, param: &str, variables: &Variables) -> Result<Parameter, ScenarioError> {
        let (name, type_name) = param.split_once(':').unwrap_or((param, ""));
        let hole = self.hole("params", name, variables)?;
        let type_oid = match type_name {
            "" => 0,
            name => parameter_type(name).ok_or_else(|| {
                let problem = format!(
                    "{param}: {name} is not a type that is known here; leave it out to let the \
                     server infer it"
                );
                ScenarioError::value(self.place("params"), problem)
            })?,
        };
        Ok(Parameter { hole, type_oid })
    }

    fn operation(&self, request: Request) -> Operation {
        Operation { name: self.name.clone(), idempotent: self.is_idempotent(), request }
    }
}
