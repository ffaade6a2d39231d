//! How a target's connections are secured.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject as _},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use thiserror::Error;

use super::verifier::Verifier;

/// How much of a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: sslmode=allow, prefer and require.
    Nothing,
    /// That one we trust has signed it: sslmode=verify-ca.
    Issuer,
    /// And that it is for the host's name: sslmode=verify-full, and HTTPS.
    IssuerAndName,
}

/// When a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At once, as HTTPS with HTTP/1.1.
    Https,
    /// At once, as Postgres from version 17 on takes it: sslnegotiation=direct.
    Direct,
    /// Where the server wants it: sslmode=allow.
    Allow,
    /// Where the server can: sslmode=prefer.
    Prefer,
    /// After an SSLRequest that must be granted: sslmode=require and above.
    Require,
}

/// Who we are, for servers that ask.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From the PEM text of a certificate (with its intermediates) and of its key.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            // An encrypted key is a section of a kind that is passed over.
            pem::Error::NoItemsFound => ConfigError::NoKey,
            error => ConfigError::Pem(error.to_string()),
        })?;
        Ok(Self { chain, key })
    }
}

/// The key stays out of every output.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// What a [`Config`] is made from.
#[derive(Debug)]
pub struct Settings {
    /// The host as it was asked for: a name or an address.
    pub host: String,
    /// When TLS begins.
    pub begin: Begin,
    /// How much is checked.
    pub verification: Verification,
    /// The certificates that are trusted; empty where nothing is checked.
    pub trusted: Vec<CertificateDer<'static>>,
    /// Who we are.
    pub identity: Option<Identity>,
    /// Whether TLS 1.2 and TLS 1.3 may be spoken.
    pub versions: [bool; 2],
    /// The wall clock, for the times in certificates.
    pub clock: Arc<dyn TimeProvider>,
}

/// How the connections of one target are secured. Shared by all of them.
///
/// Each makes a full handshake: like libpq, and like k6, no session is resumed.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) client: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
    pub(super) begin: Begin,
}

/// Settings that can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A host that is neither a name nor an address.
    #[error("{0} is not a host name that a certificate can be for")]
    Host(String),
    /// A text that should hold certificates or a key.
    #[error("not in PEM form: {0}")]
    Pem(String),
    /// No certificate in the text.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// No key in the text.
    #[error("it holds no private key that can be read (encrypted keys are not supported)")]
    NoKey,
    /// Key and certificate don't fit together, or are of a kind that rustls does not know.
    #[error("certificate and key can't be used: {0}")]
    Identity(String),
    /// No protocol version is left.
    #[error("no TLS version is left: TLSv1.2 and TLSv1.3 are supported")]
    Versions,
}

impl Config {
    /// Checks the settings.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let Settings { host, begin, verification, trusted, identity, versions, clock } = settings;
        let name = ServerName::try_from(host.as_str())
            .map_err(|_| ConfigError::Host(host.clone()))?
            .to_owned();
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Verifier::new(verification, trusted, algorithms, begin != Begin::Https);
        let all: [&'static SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
        let versions: Vec<_> =
            all.into_iter().zip(versions).filter(|(_, is_on)| *is_on).map(|(one, _)| one).collect();
        let builder = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&versions)
            .map_err(|_| ConfigError::Versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match identity {
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| ConfigError::Identity(error.to_string()))?,
            None => builder.with_no_client_auth(),
        };
        client.resumption = Resumption::disabled();
        client.alpn_protocols = match begin {
            Begin::Https => vec![b"http/1.1".to_vec()],
            Begin::Direct => vec![b"postgresql".to_vec()],
            Begin::Allow | Begin::Prefer | Begin::Require => Vec::new(),
        };
        Ok(Self { client: Arc::new(client), name, begin })
    }

    /// When TLS begins.
    pub fn begin(&self) -> Begin {
        self.begin
    }

    /// The same configuration for another client of rustls.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// Whom the certificate must be for.
    pub fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

/// The certificates in a PEM text; at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(ConfigError::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(ConfigError::Pem(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_or_key_is_named_and_a_key_does_not_show() {
        let pair = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let identity = |certificate: &str, key: &str| {
            Identity::from_pem(certificate.as_bytes(), key.as_bytes())
        };
        let good = identity(&certificate, &key).unwrap();
        assert_eq!(format!("{good:?}"), "Identity { certificates: 1, .. }");
        assert!(matches!(identity(&key, &key), Err(ConfigError::NoCertificate)));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(identity(&certificate, &encrypted), Err(ConfigError::NoKey)));
    }
}
