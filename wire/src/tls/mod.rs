//! TLS around either protocol, through rustls: no sockets, and the clock is the caller's.
//!
//! [`Config`] says how a target's connections are secured; [`Session`] is one of them.

mod certificate;
mod config;
mod fault;
mod security;
mod session;
mod verifier;

pub use certificate::end_point_hash;
pub use config::{Begin, Config, ConfigError, Identity, Settings, Verification, certificates};
pub use fault::Fault;
pub use rustls::ClientConfig;
pub use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
pub use rustls::time_provider::TimeProvider;
pub use security::Security;
pub use session::Session;
