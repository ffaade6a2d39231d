//! What became of a request.

use std::fmt;

use crate::tls::Fault;

/// The result of one request: it worked, or it failed in one of the ways a report groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The reply was complete, well-formed, free of errors, and the one that was asked for.
    Ok,
    /// The request failed.
    Failed(Class),
}

impl Outcome {
    /// Whether the request succeeded.
    pub fn is_ok(self) -> bool {
        self == Outcome::Ok
    }
}

macro_rules! classes {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a request failed. The names (see [`Class::name`]) are stable: they are the keys of
        /// `errors` in summary.json.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])+ $variant,)+
        }

        impl Class {
            /// Every class, in the order of the enum: `ALL[class as usize] == class`.
            pub const ALL: &[Class] = &[$(Class::$variant,)+];
            /// How many classes there are.
            pub const COUNT: usize = Class::ALL.len();

            /// The class's name in reports and in summary.json.
            pub fn name(self) -> &'static str {
                match self { $(Class::$variant => $name,)+ }
            }
        }
    };
}

classes! {
    /// 2xx with a non-empty `errors` list and no `data` (GraphQL specification, section 7.1).
    GraphqlError = "graphql_error",
    /// 2xx with both `data` and a non-empty `errors` list: a partial result.
    GraphqlPartial = "graphql_partial",
    /// 2xx and well-formed JSON without `data`, and without errors to explain it.
    NoData = "no_data",
    /// A body that is not a GraphQL response: not JSON, or JSON that does not end where the body does.
    NotGraphql = "not_graphql",
    /// A body in a content encoding that was not asked for (RFC 9110, section 8.4).
    ContentEncoding = "content_encoding",
    /// A body whose media type can't hold one GraphQL response, such as multipart/mixed.
    MediaType = "media_type",
    /// An HTTP status that no other class covers; the code says which.
    Status = "status",
    /// The credentials were refused: HTTP 401 and 403, SQLSTATE class 28, a login failure.
    Auth = "auth",
    /// Too many clients or connections for the server: HTTP 429, SQLSTATE class 53, max_client_conn.
    Capacity = "capacity",
    /// The pooler gave up waiting for a server connection (query_wait_timeout,
    /// client_login_timeout).
    WaitTimeout = "wait_timeout",
    /// The server, or the one behind it, can't serve now: HTTP 502, 503, 504, SQLSTATE 57P01 to
    /// 57P05 and 3D000, a pooler that has no server or no such database.
    Unavailable = "unavailable",
    /// The same statement may succeed when tried again: SQLSTATE class 40 and 55P03.
    Retryable = "retryable",
    /// The client needs what the pooler or its pool mode can't give, such as a prepared name that is
    /// gone (SQLSTATE 26000, 42P05) or a startup parameter that it does not track.
    PoolingIncompatible = "pooling_incompatible",
    /// Any other error that the pooler itself raised.
    PoolerOther = "pooler_other",
    /// Any other SQL error; the code is its SQLSTATE.
    Sql = "sql",
    /// The request was cancelled, as we had asked for: SQLSTATE 57014, "due to user request".
    Cancelled = "cancelled",
    /// The request was cancelled, and we had not asked for it: a CancelRequest that was meant for
    /// another request hit it, or an administrator did.
    WrongCancel = "wrong_cancel",
    /// The reply carries another request's identity: it was handed to the wrong client.
    WrongReply = "wrong_reply",
    /// The reply is well-formed but does not carry the identity that was asked for.
    EmptyReply = "empty_reply",
    /// The peer broke the protocol; the connection can't be used any further.
    Protocol = "protocol_violation",
    /// The reply, or a part of it that must be held, is larger than the named limit.
    TooLarge = "too_large",
    /// An idle connection was closed by the peer just as it was used: not a byte of a reply came.
    StaleConnection = "stale_connection",
    /// The connection was lost in the middle of a request.
    Disconnected = "disconnected",
    /// The connection could not be made.
    ConnectFailed = "connect_failed",
    /// The connection could not be secured, or not be kept secure; the code says why.
    Tls = "tls",
    /// No complete reply within the time limit.
    Timeout = "timeout",
}

impl Class {
    /// Whether it says something of the connection and of whoever hands it out, not of the request.
    pub fn is_of_connection(self) -> bool {
        matches!(
            self,
            Class::Auth
                | Class::Capacity
                | Class::WaitTimeout
                | Class::Unavailable
                | Class::StaleConnection
                | Class::Disconnected
                | Class::ConnectFailed
                | Class::Tls
        )
    }
}

/// The peer's own code for a failure: kept raw, beside our class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Code {
    /// There is none.
    #[default]
    None,
    /// An HTTP status code.
    Status(u16),
    /// A five-character SQLSTATE (Postgres manual, appendix A).
    SqlState([u8; 5]),
    /// Why TLS failed.
    Tls(Fault),
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::None => Ok(()),
            Code::Status(status) => write!(f, "HTTP {status}"),
            Code::Tls(fault) => write!(f, "TLS: {fault}"),
            Code::SqlState(state) => write!(f, "SQLSTATE {}", String::from_utf8_lossy(state)),
        }
    }
}

/// The last failure of a session in the peer's words, for the first message of each class in a
/// report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The peer's code.
    pub code: Code,
    /// The peer's message, cut at [`Failure::MESSAGE_BYTES_MAX`].
    pub message: String,
}

impl Failure {
    /// Longer messages are cut here: they are for people to read.
    pub const MESSAGE_BYTES_MAX: usize = 200;

    /// Keeps `code` and the start of `message`, reusing the space of the failure before.
    pub fn set(&mut self, code: Code, message: &[u8]) {
        self.code = code;
        self.message.clear();
        for chunk in message[..message.len().min(Self::MESSAGE_BYTES_MAX)].utf8_chunks() {
            self.message.push_str(chunk.valid());
        }
    }
}
