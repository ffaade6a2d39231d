//! ErrorResponse: what it says and which class of failure it is (Postgres manual, 55.8 "Error and
//! Notice Message Fields", appendix A "PostgreSQL Error Codes").

use crate::{Class, Code, Failure};

/// The fields of an ErrorResponse that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse<'a> {
    /// The severity that is never translated, or the translated one where that is missing.
    pub(super) severity: &'a [u8],
    pub(super) sqlstate: [u8; 5],
    pub(super) message: &'a [u8],
}

impl<'a> ErrorResponse<'a> {
    /// Reads a body: a type byte and a zero-ended string each. Fields that are missing are empty.
    pub(super) fn parse(mut body: &'a [u8]) -> Self {
        let mut error = Self { severity: b"", sqlstate: *b"     ", message: b"" };
        while let Some((&field, rest)) = body.split_first().filter(|(field, _)| **field != 0) {
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            let value = &rest[..end];
            match field {
                b'V' => error.severity = value,
                b'S' if error.severity.is_empty() => error.severity = value,
                b'C' => error.sqlstate = value.try_into().unwrap_or(error.sqlstate),
                b'M' => error.message = value,
                _ => {}
            }
            body = rest.get(end + 1..).unwrap_or(b"");
        }
        error
    }

    /// Whether the server closes the connection after this.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self.severity, b"FATAL" | b"PANIC")
    }

    /// Keeps the raw code and the message.
    pub(super) fn keep(&self, failure: &mut Failure) {
        failure.set(Code::SqlState(self.sqlstate), self.message);
    }

    /// The class of failure. PgBouncer sends 08P01 or 58000 for most of its own errors, so there
    /// its message decides; everywhere else the SQLSTATE does.
    pub(super) fn class(&self) -> Class {
        if matches!(&self.sqlstate, b"08P01" | b"58000" | b"XX000")
            && let Some(class) = pooler_class(self.message)
        {
            return class;
        }
        match &self.sqlstate {
            b"57P01" | b"57P02" | b"57P03" | b"57P05" => Class::Unavailable,
            b"26000" | b"42P05" => Class::PoolingIncompatible,
            [b'0', b'8', ..] => Class::PoolerOther,
            [b'2', b'8', ..] => Class::Auth,
            [b'4', b'0', ..] => Class::Retryable,
            [b'5', b'3', ..] => Class::Capacity,
            b"58000" => Class::PoolerOther,
            _ => Class::Sql,
        }
    }
}

/// Messages of PgBouncer 1.18 to 1.25, each with its class; matched as a part of the message.
/// "SASL authentication failed" and "password authentication failed" carry 28P01 from 1.19 on and
/// 08P01 before.
const POOLER_MESSAGES: &[(&str, Class)] = &[
    ("no more connections allowed", Class::Capacity),
    ("max_client_conn", Class::Capacity),
    ("max_user_connections", Class::Capacity),
    ("max_db_connections", Class::Capacity),
    ("query_wait_timeout", Class::WaitTimeout),
    ("query_wait_notify", Class::WaitTimeout),
    ("client_login_timeout", Class::WaitTimeout),
    ("client_idle_timeout", Class::PoolerOther),
    ("idle_transaction_timeout", Class::PoolerOther),
    ("query_timeout", Class::PoolerOther),
    ("SASL authentication failed", Class::Auth),
    ("password authentication failed", Class::Auth),
    ("authentication failed", Class::Auth),
    ("no such user", Class::Auth),
    ("not allowed", Class::Auth),
    ("login rejected", Class::Auth),
    ("SSL required", Class::Tls),
    ("no such database", Class::Unavailable),
    ("does not allow connections", Class::Unavailable),
    ("is disabled", Class::Unavailable),
    ("pgbouncer cannot connect to server", Class::Unavailable),
    ("server login has been failing", Class::Unavailable),
    ("server_login_retry", Class::Unavailable),
    ("server conn crashed", Class::Unavailable),
    ("server closed the connection", Class::Unavailable),
    ("server shutting down", Class::Unavailable),
    ("the database system is", Class::Unavailable),
    ("database removed", Class::Unavailable),
    ("prepared statement did not exist", Class::PoolingIncompatible),
    ("unsupported startup parameter", Class::PoolingIncompatible),
    ("not supported", Class::PoolingIncompatible),
];

fn pooler_class(message: &[u8]) -> Option<Class> {
    let matches = |part: &str| memchr::memmem::find(message, part.as_bytes()).is_some();
    POOLER_MESSAGES.iter().find(|(part, _)| matches(part)).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(sqlstate: &str, message: &str) -> Class {
        let body = format!("SERROR\0VERROR\0C{sqlstate}\0M{message}\0\0");
        ErrorResponse::parse(body.as_bytes()).class()
    }

    #[test]
    fn sqlstates_and_pooler_messages_fall_into_their_classes() {
        for (sqlstate, message, expected) in [
            ("22012", "division by zero", Class::Sql),
            ("42601", "syntax error", Class::Sql),
            ("28P01", "password authentication failed for user \"nova\"", Class::Auth),
            ("28000", "no pg_hba.conf entry", Class::Auth),
            ("40001", "could not serialize access", Class::Retryable),
            ("40P01", "deadlock detected", Class::Retryable),
            ("53300", "sorry, too many clients already", Class::Capacity),
            ("57P01", "terminating connection due to administrator command", Class::Unavailable),
            ("57014", "canceling statement due to statement timeout", Class::Sql),
            ("26000", "prepared statement \"s1\" does not exist", Class::PoolingIncompatible),
            ("42P05", "prepared statement \"s1\" already exists", Class::PoolingIncompatible),
            ("08P01", "no more connections allowed (max_client_conn)", Class::Capacity),
            ("08P01", "query_wait_timeout", Class::WaitTimeout),
            ("08P01", "SASL authentication failed", Class::Auth),
            ("08P01", "no such database: nope", Class::Unavailable),
            ("08P01", "SSL required", Class::Tls),
            ("08P01", "something new", Class::PoolerOther),
            ("58000", "server conn crashed?", Class::Unavailable),
        ] {
            assert_eq!(class(sqlstate, message), expected, "{sqlstate} {message}");
        }
    }

    #[test]
    fn a_body_without_fields_or_without_ends_is_read_as_far_as_it_goes() {
        assert_eq!(ErrorResponse::parse(b"").sqlstate, *b"     ");
        let cut = ErrorResponse::parse(b"VFATAL\0C57P01\0Mterminat");
        assert!(cut.is_fatal());
        assert_eq!((cut.sqlstate, cut.message), (*b"57P01", &b"terminat"[..]));
    }
}
