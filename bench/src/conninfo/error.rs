//! Why a connection string can't be used.

use std::path::PathBuf;

use thiserror::Error;

/// A connection string that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConninfoError {
    #[error("not a connection string: {0}")]
    Syntax(String),
    #[error("not a connection string: there is no keyword {0}")]
    Unknown(String),
    #[error(
        "nobody is named who logs in, and the account of this process has no name: give user=…, or \
         PGUSER"
    )]
    NoUser,
    #[error("{keyword} is not supported: {why}")]
    Unsupported { keyword: String, why: &'static str },
    #[error("{keyword}={value} is not known: it can be {words}")]
    Choice { keyword: &'static str, value: String, words: String },
    #[error("service {service}: {places}")]
    Service { service: String, places: String },
    #[error("{keyword} {}: {problem}", .path.display())]
    File { keyword: &'static str, path: PathBuf, problem: String },
    #[error(
        "there is no root certificate to check the server's with: name a file in sslrootcert (the \
         server's own certificate if it signed itself), or use sslrootcert=system"
    )]
    NoRootCertificate,
    #[error("TLS: {0}")]
    Tls(String),
    #[error("cannot resolve {host}:{port}: {source}")]
    Resolve { host: String, port: u16, source: std::io::Error },
    #[error("no host takes connections: {0}")]
    Unreachable(String),
}
