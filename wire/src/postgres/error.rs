//! ErrorResponse: what it says and which class of failure it is (Postgres manual, 55.8 "Error and
//! Notice Message Fields", appendix A "PostgreSQL Error Codes").

use memchr::memmem;

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

    /// The class of failure: for the codes that a pooler gives to whatever it has to say, what its
    /// message says; for every other, and for messages that no line fits, what the SQLSTATE says.
    /// Whether we asked for a cancel is the session's to know.
    pub(super) fn class(&self) -> Class {
        if self.is_of_cancel() {
            return Class::WrongCancel;
        }
        let by_message =
            POOLER_CODES.contains(&&self.sqlstate).then(|| pooler_class(self.message)).flatten();
        by_message.unwrap_or_else(|| sqlstate_class(&self.sqlstate))
    }

    /// Whether a CancelRequest ended the statement, and no time limit of the server: one SQLSTATE
    /// stands for both.
    fn is_of_cancel(&self) -> bool {
        &self.sqlstate == b"57014" && memmem::find(self.message, b"user request").is_some()
    }

    /// Whether a named statement is not there, or another one is, as it happens where a pooler
    /// hands a client's statements to whichever server connection is free.
    pub(super) fn is_of_statement_name(&self) -> bool {
        self.class() == Class::PoolingIncompatible
            && (matches!(&self.sqlstate, b"26000" | b"42P05")
                || memmem::find(self.message, b"prepared statement").is_some())
    }
}

/// SQLSTATEs by their first characters: a class, or one condition of a class that is otherwise
/// [`Class::Sql`] (Postgres manual, appendix A "PostgreSQL Error Codes").
const SQLSTATES: &[(&str, Class)] = &[
    ("08", Class::PoolerOther),            // connection exception
    ("26000", Class::PoolingIncompatible), // invalid_sql_statement_name: prepared elsewhere
    ("28", Class::Auth),                   // invalid authorization specification
    ("3D000", Class::Unavailable),         // invalid_catalog_name: no such database
    ("40", Class::Retryable),              // transaction rollback: serialization, deadlock
    ("42P05", Class::PoolingIncompatible), // duplicate_prepared_statement
    ("53", Class::Capacity),               // insufficient resources: too_many_connections, memory
    ("55P03", Class::Retryable),           // lock_not_available: NOWAIT, lock_timeout
    ("57P0", Class::Unavailable),          // *_shutdown, cannot_connect_now, database_dropped
    ("58000", Class::PoolerOther),         // system_error, by which poolers mean themselves
];

/// The codes that PgBouncer gives to errors of its own: 08P01 in general, in some versions 58000
/// for errors that end no connection. Version 1.18 passes a server's refusal on under 08P01 too;
/// later versions keep the server's code.
const POOLER_CODES: [&[u8; 5]; 2] = [b"08P01", b"58000"];

/// What such a message says, by a part of it; the first line that fits decides. All others are
/// [`Class::PoolerOther`]: query_timeout, idle transaction timeout, client_idle_timeout, bouncer
/// config error and the like. (PgBouncer 1.18 to 1.25: the texts that client.c, objects.c,
/// server.c, janitor.c, prepare.c and admin.c hand to disconnect_client and disconnect_server; and
/// what Postgres answers to a login.)
const POOLER_MESSAGES: &[(&str, Class)] = &[
    // May quote any refusal of the server, so it comes first.
    ("(server_login_retry)", Class::Unavailable),
    ("query_wait_timeout", Class::WaitTimeout),
    ("client_login_timeout", Class::WaitTimeout),
    ("(max_client_conn)", Class::Capacity),
    ("(max_db_client_connections)", Class::Capacity),
    ("(max_user_client_connections)", Class::Capacity),
    ("too many clients already", Class::Capacity),
    ("too many connections for", Class::Capacity),
    ("connection slots are reserved", Class::Capacity),
    ("bouncer resources exhaustion", Class::Capacity),
    ("prepared statement", Class::PoolingIncompatible),
    ("statement pooling mode", Class::PoolingIncompatible),
    ("startup parameter", Class::PoolingIncompatible),
    ("PQexec disallowed", Class::PoolingIncompatible),
    ("not supported", Class::PoolingIncompatible),
    ("authentication failed", Class::Auth),
    ("login failed", Class::Auth),
    ("login rejected", Class::Auth),
    ("no such user", Class::Auth),
    ("no username supplied", Class::Auth),
    ("empty password", Class::Auth),
    ("too long", Class::Auth),
    ("SSL required", Class::Tls),
    ("no pg_hba.conf entry", Class::Auth),
    ("role \"", Class::Auth),
    ("not allowed", Class::Auth),
    // `database "x"` is disabled, does not exist, is not accepting connections.
    ("database \"", Class::Unavailable),
    ("no such database", Class::Unavailable),
    ("database removed", Class::Unavailable),
    ("the database system is", Class::Unavailable),
    ("server conn crashed", Class::Unavailable),
    ("server shutting down", Class::Unavailable),
    ("server DNS lookup failed", Class::Unavailable),
    ("connect failed", Class::Unavailable),
    ("connect timeout", Class::Unavailable),
    ("cannot connect to server", Class::Unavailable),
];

fn sqlstate_class(sqlstate: &[u8; 5]) -> Class {
    let line = SQLSTATES.iter().find(|(start, _)| sqlstate.starts_with(start.as_bytes()));
    line.map_or(Class::Sql, |(_, class)| *class)
}

fn pooler_class(message: &[u8]) -> Option<Class> {
    let fits = |part: &str| memmem::find(message, part.as_bytes()).is_some();
    POOLER_MESSAGES.iter().find(|(part, _)| fits(part)).map(|(_, class)| *class)
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
            ("57014", "canceling statement due to statement timeout", Class::Sql),
            ("57014", "canceling statement due to user request", Class::WrongCancel),
            ("P0001", "no such database, says a function", Class::Sql),
            ("28P01", "password authentication failed for user \"nova\"", Class::Auth),
            ("28000", "no pg_hba.conf entry", Class::Auth),
            ("40001", "could not serialize access", Class::Retryable),
            ("40P01", "deadlock detected", Class::Retryable),
            ("55P03", "canceling statement due to lock timeout", Class::Retryable),
            ("53300", "sorry, too many clients already", Class::Capacity),
            ("57P01", "terminating connection due to administrator command", Class::Unavailable),
            ("57P03", "the database system is starting up", Class::Unavailable),
            ("3D000", "database \"nope\" does not exist", Class::Unavailable),
            ("26000", "prepared statement \"s1\" does not exist", Class::PoolingIncompatible),
            ("42P05", "prepared statement \"s1\" already exists", Class::PoolingIncompatible),
            ("08P01", "prepared statement did not exist", Class::PoolingIncompatible),
            ("08P01", "prepared statement name is already in use", Class::PoolingIncompatible),
            ("08P01", "unsupported startup parameter: search_path", Class::PoolingIncompatible),
            (
                "08P01",
                "transaction blocks not allowed in statement pooling mode",
                Class::PoolingIncompatible,
            ),
            ("08P01", "no more connections allowed (max_client_conn)", Class::Capacity),
            ("08P01", "client connections exceeded (max_user_client_connections)", Class::Capacity),
            ("08P01", "sorry, too many clients already", Class::Capacity),
            ("08P01", "query_wait_timeout", Class::WaitTimeout),
            ("08P01", "client_login_timeout (server down)", Class::WaitTimeout),
            ("08P01", "SASL authentication failed", Class::Auth),
            ("08P01", "\"trust\" authentication failed", Class::Auth),
            ("08P01", "not allowed", Class::Auth),
            (
                "08P01",
                "server login has been failing, try again later (server_login_retry)",
                Class::Unavailable,
            ),
            (
                "08P01",
                "server login has been failing, cached error: password authentication failed for \
                 user \"nova\" (server_login_retry)",
                Class::Unavailable,
            ),
            ("08P01", "no such database: nope", Class::Unavailable),
            ("08P01", "database \"nova\" is disabled", Class::Unavailable),
            ("08P01", "server shutting down", Class::Unavailable),
            ("08P01", "SSL required", Class::Tls),
            ("58000", "server conn crashed?", Class::Unavailable),
            ("08P01", "query timeout", Class::PoolerOther),
            ("08P01", "something new", Class::PoolerOther),
            ("58000", "something new", Class::PoolerOther),
        ] {
            assert_eq!(class(sqlstate, message), expected, "{sqlstate} {message}");
        }
    }

    #[test]
    fn no_line_of_the_table_is_out_of_reach() {
        for (part, expected) in POOLER_MESSAGES {
            assert_eq!(class("08P01", part), *expected, "an earlier line takes {part}");
        }
        for (start, expected) in SQLSTATES {
            assert_eq!(class(&format!("{start:0<5}"), ""), *expected, "an earlier line: {start}");
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
