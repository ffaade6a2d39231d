//! A scenario's targets and operations, encoded for the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::{Opening, SECOND, Target};
use wire::http::Expect;
use wire::postgres::{Fallback, Protocol};
use wire::{Operation, Request};

use super::jwt;
use super::operation::OperationFile;
use super::target::Endpoint;
use super::{Scenario, ScenarioError};
use crate::conninfo::Conninfo;
use crate::{address, tls};

/// k6's own limit for a request.
const TIMEOUT_NS: u64 = 60 * SECOND;

/// How long an address of a host may take to accept a connection where there are others to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What people are told about the targets of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Where each listens.
    by_target: BTreeMap<String, String>,
    /// When the gateways' token expires, if it says so.
    pub(crate) token_expiry: Option<SystemTime>,
    /// Whether they were given as pgbench takes them, and not in a scenario file.
    pub(crate) are_of_pgbench: bool,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Where a target listens.
    pub(crate) fn get(&self, target: &str) -> Option<&String> {
        self.by_target.get(target)
    }

    pub(crate) fn insert(&mut self, target: String, place: String) {
        self.by_target.insert(target, place);
    }
}

impl Scenario {
    /// The target called `name` with every operation, ready for the engine. `connections` are
    /// those open before the start, and the most.
    pub(crate) fn engine_target(
        &self,
        name: &str,
        (connections, connections_max): (u32, u32),
        token: Option<&str>,
        places: &mut Places,
    ) -> Result<Target, ScenarioError> {
        let file = self.target(name)?;
        let (address, opening, operations) = match (&file.url, &file.conninfo) {
            (Some(url), _) => {
                let bad =
                    |problem: String| ScenarioError::value(format!("targets.{name}.url"), problem);
                let endpoint = Endpoint::parse(url).map_err(bad)?;
                let reached = address::reach(&endpoint.host, endpoint.port, CONNECT_TIMEOUT);
                let address = reached
                    .map_err(|error| bad(format!("{url}: cannot resolve the host: {error}")))?;
                places.insert(name.into(), url.clone());
                places.token_expiry = token.and_then(jwt::expiry);
                let operations = self.http_operations(name, &endpoint, token)?;
                let tls = endpoint.is_secured.then(|| tls::https(&endpoint.host)).transpose();
                let tls = tls.map_err(|problem| bad(format!("{url}: {problem}")))?;
                (address, secured(tls, Opening::Http), operations)
            }
            (None, conninfo) => {
                let bad = |error| ScenarioError::Conninfo { target: name.into(), error };
                let conninfo = Conninfo::parse(conninfo.as_deref().unwrap_or_default());
                let conninfo = conninfo.and_then(Conninfo::reached).map_err(bad)?;
                places.insert(name.into(), conninfo.place());
                let login = conninfo.login().map_err(|error| {
                    ScenarioError::value(format!("targets.{name}.conninfo"), error.to_string())
                })?;
                let fallback = file.unnamed_fallback.then(Fallback::new);
                let encode = |operation: &OperationFile| {
                    operation.sql(name, file.protocol, fallback.as_ref())
                };
                let operations: Result<Vec<_>, _> = self.operations.iter().map(encode).collect();
                let address = conninfo.address().map_err(bad)?;
                let opening = Opening::Postgres(Arc::new(login));
                (address, secured(conninfo.tls().map_err(bad)?, opening), operations?)
            }
        };
        Ok(Target {
            name: name.into(),
            address,
            opening,
            operations: operations.into(),
            connections,
            connections_max,
            opening_at_once: 1,
            timeout_ns: TIMEOUT_NS,
        })
    }

    fn http_operations(
        &self,
        target: &str,
        endpoint: &Endpoint,
        token: Option<&str>,
    ) -> Result<Vec<Operation>, ScenarioError> {
        let encode = |operation: &OperationFile| {
            let mut request = operation.http(target, endpoint, token)?;
            if self.is_closing {
                // RFC 9112, section 9.6.
                request = request
                    .with_header("Connection", "close")
                    .expect("a header that any request may have");
            }
            Ok(operation.operation(Request::Http(request)))
        };
        self.operations.iter().map(encode).collect()
    }

    /// The operations of a gateway with another token: what takes the old ones' place when it was
    /// renewed.
    pub(crate) fn gateway_operations(
        &self,
        target: &str,
        token: &str,
    ) -> Result<Vec<Operation>, ScenarioError> {
        let url = self.target(target)?.url.as_deref().unwrap_or_default();
        let endpoint = Endpoint::parse(url)
            .map_err(|problem| ScenarioError::value(format!("targets.{target}.url"), problem))?;
        self.http_operations(target, &endpoint, Some(token))
    }
}

fn secured(tls: Option<Arc<wire::tls::Config>>, opening: Opening) -> Opening {
    match tls {
        Some(config) => Opening::Secured(config, Box::new(opening)),
        None => opening,
    }
}

impl OperationFile {
    fn bad(&self, field: &str, problem: impl Into<String>) -> ScenarioError {
        ScenarioError::value(format!("operations.{}.{field}", self.name), problem)
    }

    fn http(
        &self,
        target: &str,
        endpoint: &Endpoint,
        token: Option<&str>,
    ) -> Result<wire::http::Request, ScenarioError> {
        let query = self.graphql.as_deref().ok_or_else(|| {
            self.bad("graphql", format!("is missing, and target {target} speaks GraphQL"))
        })?;
        let body = self.variables.graphql_body(query);
        let mut request = wire::http::Request::new(&endpoint.path, &endpoint.authority, body)
            .map_err(|error| self.bad("graphql", error.to_string()))?;
        if let Some(token) = token {
            request = request
                .with_header("Authorization", &format!("Bearer {token}"))
                .map_err(|error| ScenarioError::Auth(error.to_string()))?;
        }
        if let Some((hole, path)) = &self.expect {
            let expect = Expect::parse(path, *hole);
            let expect = expect.map_err(|error| self.bad("expect", error.to_string()))?;
            request = request.with_expect(expect);
        }
        Ok(request)
    }

    fn sql(
        &self,
        target: &str,
        protocol: Protocol,
        fallback: Option<&Fallback>,
    ) -> Result<Operation, ScenarioError> {
        let sql = self.sql.as_ref().ok_or_else(|| {
            self.bad("sql", format!("is missing, and target {target} speaks SQL"))
        })?;
        let (values, expect) = (self.variables.generators.len(), self.expect.as_ref());
        let expect = expect.map(|(hole, _)| *hole);
        let request = sql.encode(&self.name, values, expect, protocol, fallback);
        Ok(self.operation(request.map_err(|error| self.bad("sql", error.to_string()))?))
    }

    fn operation(&self, request: Request) -> Operation {
        // What writes may not be sent again when a stale connection swallowed it.
        Operation { name: self.name.clone(), idempotent: !self.writes, request, checks: Vec::new() }
    }
}
