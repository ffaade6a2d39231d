//! When a token expires, as far as it says so itself.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

/// The `exp` of a JWT (RFC 7519, section 4.1.4); `None` for any other token, and for a JWT without
/// one. The signature is the gateway's business.
pub(crate) fn expiry(token: &str) -> Option<SystemTime> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let seconds = claims.get("exp")?.as_f64().filter(|seconds| *seconds >= 0.0)?;
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

const DAY_S: u64 = 24 * 60 * 60;

/// `expired at 2026-11-25T07:00:00Z, 3h 2m ago`, or `is good until … (for another …)`.
pub(crate) fn describe(expiry: SystemTime, now: SystemTime) -> String {
    let instant = Timestamp::try_from(expiry).and_then(|at| at.round(jiff::Unit::Second));
    let instant = instant.map_or_else(|_| "a time far away".into(), |at| at.to_string());
    let apart = |duration: Duration| match duration.as_secs() {
        seconds if seconds >= 2 * DAY_S => format!("{} days", seconds / DAY_S),
        seconds => {
            let seconds = seconds.try_into().unwrap_or(i64::MAX);
            format!("{:#}", SignedDuration::from_secs(seconds))
        }
    };
    match now.duration_since(expiry) {
        Ok(ago) => format!("expired at {instant}, {} ago", apart(ago)),
        Err(ahead) => format!("is good until {instant}, for another {}", apart(ahead.duration())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_expiry_of_a_jwt_is_read_and_any_other_token_has_none() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(expiry(&token(r#"{"sub":"42","exp":1764054000}"#)), at(1_764_054_000));
        assert_eq!(expiry(&token(r#"{"exp":1764054000.0}"#)), at(1_764_054_000));
        for payload in
            [r#"{"sub":"42"}"#, r#"{"exp":"soon"}"#, r#"{"exp":-1}"#, "{", "", r#"{"exp":1e300}"#]
        {
            assert_eq!(expiry(&token(payload)), None, "{payload}");
        }
        for other in ["", "secret", "a.b", "a.b.c", "a.b.c.d", "ä.ö.ü"] {
            assert_eq!(expiry(other), None, "{other}");
        }
    }

    #[test]
    fn an_expiry_is_told_with_its_instant_and_how_far_it_is() {
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_054_000);
        let after = |seconds: u64| describe(expiry, expiry + Duration::from_secs(seconds));
        assert_eq!(after(10_920), "expired at 2025-11-25T07:00:00Z, 3h 2m ago");
        assert_eq!(after(3 * DAY_S + 5), "expired at 2025-11-25T07:00:00Z, 3 days ago");
        let before = describe(expiry, expiry - Duration::from_secs(90));
        assert_eq!(before, "is good until 2025-11-25T07:00:00Z, for another 1m 30s");
    }
}
