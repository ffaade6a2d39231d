//! The token that the gateways ask for.

use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};

use super::fields::{self, Fields};
use super::mistake::Mistake;
use super::node::Value;
use super::target::Endpoint;
use super::{Scenario, ScenarioError, jwt};

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A token from a login is renewed at the latest so long before it expires…
const RENEWAL_LEAD: Duration = Duration::from_secs(60);
/// …or, where it does not live that long, when so much of its life is left: a quarter.
const RENEWAL_SHARE: u32 = 4;

/// Where the token comes from. In this order: `[auth] jwt`, `[auth.login]`, and where the scenario
/// has neither, the variable JWT_TOKEN.
#[derive(Debug, Clone, Default)]
pub(crate) enum AuthFile {
    /// None is sent.
    #[default]
    None,
    /// `[auth] jwt`.
    Jwt(String),
    /// `[auth.login]`.
    Login(LoginFile),
    /// JWT_TOKEN of the command line or the environment.
    Environment(String),
}

/// A mutation that gives a token.
#[derive(Debug, Clone)]
pub(crate) struct LoginFile {
    query: String,
    variables: Json,
    /// Where the token stands in the reply, as in `data.login.token`.
    token: String,
}

/// Reads `[auth]`; `jwt_token` is the variable's value.
pub(super) fn read(root: &Fields<'_>, jwt_token: Option<String>) -> AuthFile {
    let otherwise = || jwt_token.map_or(AuthFile::None, AuthFile::Environment);
    let Some(node) = root.get("auth") else { return otherwise() };
    let Some(fields) = Fields::new(node, "[auth]", root.mistakes) else { return AuthFile::None };
    let (jwt, login) = (fields.get("jwt"), fields.get("login"));
    let jwt_text = fields.text("jwt").map(|text| text.trim().to_owned());
    let login_file = login.and_then(|login| {
        let fields = Fields::new(login, "[auth.login]", root.mistakes)?;
        fields.required("query", "the mutation that gives a token");
        fields.required("token", "where it stands in the reply, as in \"data.login.token\"");
        let (query, token) = (fields.text("query"), fields.text("token"));
        let variables = fields.get("variables").and_then(|node| match &node.value {
            Value::Table(_) => node.json(),
            _ => {
                root.mistakes.push(fields::wrong(node, "`variables`", "a table"));
                None
            }
        });
        fields.finish();
        let variables = variables.unwrap_or_else(|| json!({}));
        Some(LoginFile { query: query?.into(), variables, token: token?.into() })
    });
    if let (Some(_), Some(login)) = (jwt, login) {
        let message = "[auth] has `jwt` and `login`: there is one token only";
        root.mistakes.push(Mistake::error(&login.place, message).help("keep one of them"));
    }
    if let (Some(node), Some("")) = (jwt, jwt_text.as_deref()) {
        let mistake = Mistake::error(&node.place, "`jwt` is empty");
        root.mistakes.push(mistake.help("leave it out where the gateway asks for no token"));
    }
    fields.finish();
    match (jwt_text, login_file) {
        (Some(jwt), _) => AuthFile::Jwt(jwt),
        (None, Some(login)) => AuthFile::Login(login),
        (None, None) => otherwise(),
    }
}

/// The token for the gateway at `url`, which has not expired; from a login where there is one.
pub(crate) fn token(scenario: &Scenario, url: &str) -> Result<Option<String>, ScenarioError> {
    let (token, origin, remedy) = match &scenario.auth {
        AuthFile::None => return Ok(None),
        AuthFile::Jwt(token) => (token.clone(), "[auth] jwt", "put a fresh one there"),
        AuthFile::Environment(token) => {
            (token.clone(), "JWT_TOKEN", "set it to a fresh one, or add [auth.login]")
        }
        AuthFile::Login(login) => {
            let token = login.token_from(url)?;
            (token, "[auth.login]", "are the gateway's clock and this one the same?")
        }
    };
    let now = SystemTime::now();
    match jwt::expiry(&token) {
        Some(expiry) if expiry <= now => Err(ScenarioError::Auth(format!(
            "the token of {origin} {}: {remedy}",
            jwt::describe(expiry, now)
        ))),
        _ => Ok(Some(token)),
    }
}

/// When the next login is due for a token that a login gave at `now`; `None` where the token does
/// not expire or comes from somewhere else.
pub(super) fn renewal_due(scenario: &Scenario, token: &str, now: SystemTime) -> Option<SystemTime> {
    let AuthFile::Login(_) = scenario.auth else { return None };
    let left = jwt::expiry(token)?.duration_since(now).ok()?;
    Some(now + (left - RENEWAL_LEAD.min(left / RENEWAL_SHARE)))
}

impl LoginFile {
    fn token_from(&self, url: &str) -> Result<String, ScenarioError> {
        self.login(url).map_err(|problem| {
            ScenarioError::Auth(format!(
                "the login at {url} gave no token: {problem}; check [auth] login, or set jwt"
            ))
        })
    }

    fn login(&self, url: &str) -> Result<String, String> {
        let body = json!({ "query": self.query, "variables": self.variables });
        let reply = post(url, None, &body)?;
        if let Some(message) = reply.pointer("/errors/0/message").and_then(Json::as_str) {
            return Err(message.to_owned());
        }
        let pointer = format!("/{}", self.token.replace('.', "/"));
        let token = reply.pointer(&pointer).and_then(Json::as_str);
        token.map(Into::into).ok_or_else(|| format!("there is no text at {}", self.token))
    }
}

/// One GraphQL request outside the load, and its reply, whatever its status.
pub(super) fn post(url: &str, token: Option<&str>, body: &Json) -> Result<Json, String> {
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(LOGIN_TIMEOUT))
        .http_status_as_error(false);
    let endpoint = Endpoint::parse(url)?;
    if endpoint.is_secured {
        config = config.tls_config(crate::tls::for_ureq(&endpoint.host)?);
    }
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.post(url).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.send(body.to_string()).map_err(|error| error.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    serde_json::from_str(&text)
        .map_err(|_| format!("HTTP {}, and not JSON", response.status().as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_renewed_in_good_time_and_a_given_token_never() {
        let login = LoginFile { query: String::new(), variables: json!({}), token: String::new() };
        let with = |auth| Scenario { auth, ..Scenario::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = |exp: u64| {
            use base64::Engine as _;
            let payload = json!({ "exp": exp }).to_string();
            let coded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
            format!("e30.{coded}.c2ln")
        };
        let in_seconds = |auth, exp| {
            let due = renewal_due(&with(auth), &token(exp), now)?;
            Some(due.duration_since(now).unwrap().as_secs())
        };
        assert_eq!(in_seconds(AuthFile::Login(login.clone()), 1_003_600), Some(3540));
        assert_eq!(in_seconds(AuthFile::Login(login.clone()), 1_000_020), Some(15));
        assert_eq!(in_seconds(AuthFile::Login(login.clone()), 999_999), None);
        assert_eq!(in_seconds(AuthFile::Jwt(token(1_003_600)), 1_003_600), None);
        assert_eq!(renewal_due(&with(AuthFile::Login(login)), "opaque", now), None);
    }
}
