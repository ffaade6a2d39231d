//! The token that the gateways ask for.

use std::time::Duration;

use serde_json::{Value, json};

use super::ScenarioError;
use super::file::{LoginFile, Scenario};

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The token for the gateway at `url`: the one that is given, or the one that a login gives.
pub(crate) fn token(scenario: &Scenario, url: &str) -> Result<Option<String>, ScenarioError> {
    match (&scenario.auth.jwt, &scenario.auth.login) {
        (Some(jwt), _) => Ok(Some(jwt.clone())),
        (None, Some(login)) => login_at(login, url).map(Some).map_err(|problem| {
            ScenarioError::Auth(format!(
                "the login at {url} gave no token: {problem}; check [auth] login, or set jwt"
            ))
        }),
        (None, None) => Ok(None),
    }
}

fn login_at(login: &LoginFile, url: &str) -> Result<String, String> {
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(LOGIN_TIMEOUT))
        .http_status_as_error(false);
    if url.starts_with("https:") {
        let uri: ureq::http::Uri = url.parse().map_err(|_| "not a URL".to_owned())?;
        config = config.tls_config(crate::tls::for_ureq(uri.host().unwrap_or_default())?);
    }
    let agent: ureq::Agent = config.build().into();
    let body = json!({ "query": login.query, "variables": login.variables });
    let mut response = agent
        .post(url)
        .header("Content-Type", "application/json")
        .send(body.to_string())
        .map_err(|error| error.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let reply: Value = serde_json::from_str(&text)
        .map_err(|_| format!("HTTP {}, and not JSON", response.status().as_u16()))?;
    if let Some(message) = reply.pointer("/errors/0/message").and_then(Value::as_str) {
        return Err(message.to_owned());
    }
    let pointer = format!("/{}", login.token.replace('.', "/"));
    let token = reply.pointer(&pointer).and_then(Value::as_str);
    token.map(Into::into).ok_or_else(|| format!("there is no text at {}", login.token))
}
