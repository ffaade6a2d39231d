//! What was negotiated.

use std::fmt;

use rustls::{CipherSuite, ClientConnection, ProtocolVersion};

/// What client and server agreed on, for reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Security {
    /// As libpq writes it: `TLSv1.3`.
    pub version: String,
    /// The cipher suite's name in its RFC: `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// Whether the login is bound to the TLS connection (SCRAM-SHA-256-PLUS).
    pub channel_binding: bool,
}

impl Security {
    pub(super) fn of(connection: &ClientConnection, channel_binding: bool) -> Option<Self> {
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2".into(),
            ProtocolVersion::TLSv1_3 => "TLSv1.3".into(),
            other => format!("{other:?}"),
        };
        Some(Self {
            version,
            cipher: cipher(connection.negotiated_cipher_suite()?.suite()),
            channel_binding,
        })
    }
}

/// rustls tells the suites of the two versions apart by `TLS13_`, which no RFC does.
fn cipher(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.cipher)?;
        if self.channel_binding { f.write_str(" with channel binding") } else { Ok(()) }
    }
}
