//! Both ends of TLS: a certificate that signed itself, and a client that checks nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use wire::tls::{Begin, Config, Settings, TimeProvider, UnixTime, Verification};

#[derive(Debug)]
struct Epoch;

impl TimeProvider for Epoch {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

/// A server's end, TLS 1.2 or 1.3.
pub fn server() -> io::Result<Arc<ServerConfig>> {
    let pair =
        rcgen::generate_simple_self_signed(vec!["db".to_owned()]).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// The client's end, TLS 1.3.
pub fn client(begin: Begin) -> Arc<Config> {
    let settings = Settings {
        host: "db".into(),
        begin,
        verification: Verification::Nothing,
        trusted: Vec::new(),
        identity: None,
        versions: [false, true],
        clock: Arc::new(Epoch),
    };
    Arc::new(Config::new(settings).expect("nothing in it can be refused"))
}
