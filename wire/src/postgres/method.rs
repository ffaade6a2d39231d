//! How a server asks who logs in.

use std::fmt;

/// How a server asks who logs in (Postgres manual, 55.2.2 "Start-up").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// It asks nothing: it trusts the client, or knows it by its certificate or by the socket's peer.
    #[default]
    Unasked,
    /// For the password as it is.
    Password,
    /// For its MD5 hash.
    Md5,
    /// For a proof that the client knows it, SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
}

impl Method {
    /// What the body of an Authentication message asks for, if it is the first of a method (Postgres
    /// manual, 55.7 "Message Formats").
    pub(super) fn asked(body: &[u8]) -> Option<Self> {
        match body.first_chunk().copied().map(i32::from_be_bytes)? {
            3 => Some(Self::Password),
            5 => Some(Self::Md5),
            10 => Some(Self::ScramSha256),
            _ => None,
        }
    }

    /// As pg_hba.conf writes it, and `none` where nothing is asked.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unasked => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 => "scram-sha-256",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
