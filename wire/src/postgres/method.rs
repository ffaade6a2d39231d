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
    ScramSha256 {
        /// How often the password is hashed, on both sides of each login.
        iterations: u32,
    },
}

impl Method {
    /// What the body of an Authentication message asks for, if it is the one that says all of it:
    /// with SCRAM the server's first message (Postgres manual, 55.7 "Message Formats").
    pub(super) fn asked(body: &[u8]) -> Option<Self> {
        let (kind, data) = body.split_first_chunk()?;
        match i32::from_be_bytes(*kind) {
            3 => Some(Self::Password),
            5 => Some(Self::Md5),
            11 => Some(Self::ScramSha256 { iterations: iterations(data)? }),
            _ => None,
        }
    }

    /// As pg_hba.conf writes it, and `none` where nothing is asked.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unasked => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 { .. } => "scram-sha-256",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ScramSha256 { iterations } => write!(f, " with {iterations} iterations"),
            Self::Unasked | Self::Password | Self::Md5 => Ok(()),
        }
    }
}

/// The iteration count in a server's first SCRAM message (RFC 5802, section 5.1).
pub(super) fn iterations(server_first: &[u8]) -> Option<u32> {
    let mut fields = server_first.split(|byte| *byte == b',');
    let digits = fields.find_map(|field| field.strip_prefix(b"i="))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_told_once_all_of_it_is_known() {
        let asked =
            |kind: i32, data: &[u8]| Method::asked(&[&kind.to_be_bytes()[..], data].concat());
        assert_eq!(asked(0, b""), None);
        assert_eq!(asked(3, b""), Some(Method::Password));
        assert_eq!(asked(5, b"salt"), Some(Method::Md5));
        assert_eq!(asked(10, b"SCRAM-SHA-256\0\0"), None, "how often it hashes comes next");
        let scram = asked(11, b"r=abc,s=YQ==,i=4096").unwrap();
        assert_eq!(scram, Method::ScramSha256 { iterations: 4096 });
        assert_eq!(scram.to_string(), "scram-sha-256 with 4096 iterations");
        assert_eq!(asked(11, b"r=abc,s=YQ==,i=many"), None);
        assert_eq!(asked(11, b"r=i=7,s=YQ=="), None);
        assert_eq!(Method::asked(&[0, 0]), None);
    }
}
