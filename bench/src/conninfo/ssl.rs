//! sslmode and its kin, with libpq's meaning (Postgres manual, 34.19 "SSL Support").

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use wire::postgres::ChannelBinding;
use wire::tls::{Begin, CertificateDer, Config, Identity, Settings, Verification, certificates};

use super::ConninfoError;
use super::keywords::{Environment, Keywords, path};
use crate::tls;

/// How connections are to be secured.
#[derive(Debug, Clone)]
pub(super) struct Ssl {
    pub(super) mode: Mode,
    is_direct: bool,
    /// Whether TLS 1.2 and TLS 1.3 may be spoken.
    versions: [bool; 2],
    pub(super) channel_binding: ChannelBinding,
    trusted: Trusted,
    certificate: File,
    key: File,
}

/// sslmode, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: &[(&str, Mode)] = &[
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

/// sslrootcert.
#[derive(Debug, Clone)]
enum Trusted {
    System,
    File(File),
}

/// A file that was named, or the one that libpq looks for.
#[derive(Debug, Clone)]
struct File {
    path: Option<PathBuf>,
    is_named: bool,
}

impl File {
    fn new(named: Option<&Vec<u8>>, default: Option<PathBuf>) -> Self {
        match named {
            Some(value) => Self { path: Some(path(value.clone())), is_named: true },
            None => Self { path: default, is_named: false },
        }
    }

    /// What is in it; none where it is a default that is not there.
    fn read(&self, keyword: &'static str) -> Result<Option<(&Path, Vec<u8>)>, ConninfoError> {
        let Some(path) = &self.path else { return Ok(None) };
        match fs::read(path) {
            Ok(text) => Ok(Some((path, text))),
            Err(_) if !self.is_named && !path.exists() => Ok(None),
            Err(source) => {
                let path = path.clone();
                Err(ConninfoError::File { keyword, path, problem: source.to_string() })
            }
        }
    }
}

impl Ssl {
    pub(super) fn read(
        keywords: &Keywords,
        environment: &Environment<'_>,
    ) -> Result<Self, ConninfoError> {
        let is_system = keywords.get("sslrootcert").is_some_and(|value| value == b"system");
        // As libpq: whoever trusts the whole world's authorities must check the name.
        let default = if is_system { Mode::VerifyFull } else { Mode::Prefer };
        let mode = choice(keywords, "sslmode", MODES)?.unwrap_or(default);
        if is_system && mode != Mode::VerifyFull {
            return Err(ConninfoError::Syntax(
                "sslrootcert=system needs sslmode=verify-full".into(),
            ));
        }
        let is_direct =
            choice(keywords, "sslnegotiation", &[("postgres", false), ("direct", true)])?
                .unwrap_or(false);
        if is_direct && matches!(mode, Mode::Disable | Mode::Allow | Mode::Prefer) {
            return Err(ConninfoError::Syntax(
                "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full".into(),
            ));
        }
        let versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"].into_iter().zip(0_u8..);
        let versions: Vec<_> = versions.collect();
        let least = choice(keywords, "ssl_min_protocol_version", &versions)?.unwrap_or(0);
        let most = choice(keywords, "ssl_max_protocol_version", &versions)?.unwrap_or(3);
        let bindings = [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ];
        let in_home = |name: &str| environment.in_home(&format!(".postgresql/{name}"));
        let file = |keyword: &str, name| File::new(keywords.get(keyword), in_home(name));
        Ok(Self {
            mode,
            is_direct,
            versions: [2, 3].map(|version| (least..=most).contains(&version)),
            channel_binding: choice(keywords, "channel_binding", &bindings)?.unwrap_or_default(),
            trusted: match is_system {
                true => Trusted::System,
                false => Trusted::File(file("sslrootcert", "root.crt")),
            },
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
        })
    }

    /// Whether TLS begins without an SSLRequest.
    pub(super) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// The configuration for connections to `host`; none with sslmode=disable.
    pub(super) fn config(&self, host: Option<&str>) -> Result<Option<Config>, ConninfoError> {
        let begin = match self.mode {
            Mode::Disable => return Ok(None),
            Mode::Allow => Begin::Allow,
            Mode::Prefer => Begin::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull if self.is_direct => Begin::Direct,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => Begin::Require,
        };
        let (verification, trusted) = self.verification()?;
        let host = match (host, verification) {
            (Some(host), _) => host,
            (None, Verification::IssuerAndName) => {
                let words = "sslmode=verify-full needs host, the name to check";
                return Err(ConninfoError::Syntax(words.into()));
            }
            // Nothing is compared with it.
            (None, _) => "127.0.0.1",
        };
        let settings = Settings {
            host: host.to_owned(),
            begin,
            verification,
            trusted,
            identity: self.identity()?,
            versions: self.versions,
            clock: tls::clock(),
        };
        Config::new(settings).map(Some).map_err(|error| ConninfoError::Tls(error.to_string()))
    }

    /// What is checked, and against what.
    fn verification(&self) -> Result<(Verification, Vec<CertificateDer<'static>>), ConninfoError> {
        let trusted = match &self.trusted {
            Trusted::System => Some(tls::system_certificates().map_err(ConninfoError::Tls)?),
            // A root certificate that is there makes require check it, as libpq documents.
            Trusted::File(file) if self.mode >= Mode::Require => {
                match (file.read("sslrootcert"), self.mode) {
                    (Ok(read), _) => read.map(root_certificates).transpose()?,
                    (Err(_), Mode::Require) => None,
                    (Err(error), _) => return Err(error),
                }
            }
            Trusted::File(_) => None,
        };
        match (self.mode, trusted) {
            (Mode::VerifyFull, Some(trusted)) => Ok((Verification::IssuerAndName, trusted)),
            (Mode::VerifyCa | Mode::Require, Some(trusted)) => Ok((Verification::Issuer, trusted)),
            (Mode::VerifyCa | Mode::VerifyFull, None) => Err(ConninfoError::NoRootCertificate),
            _ => Ok((Verification::Nothing, Vec::new())),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, ConninfoError> {
        let Some((certificate_path, certificate)) = self.certificate.read("sslcert")? else {
            return Ok(None);
        };
        let Some((key_path, key)) = self.key.read("sslkey")? else {
            return Err(ConninfoError::Tls(format!(
                "there is no key to the certificate {}: give sslkey",
                certificate_path.display()
            )));
        };
        let bad = |problem: String| ConninfoError::File {
            keyword: "sslkey",
            path: key_path.to_owned(),
            problem,
        };
        let metadata = fs::metadata(key_path).map_err(|error| bad(error.to_string()))?;
        // As libpq: a key of root's may be readable by its group.
        let allowed = if metadata.uid() == 0 { 0o640 } else { 0o600 };
        if metadata.mode() & 0o777 & !allowed != 0 {
            return Err(bad("others can read it: chmod 0600 it".into()));
        }
        Identity::from_pem(&certificate, &key).map(Some).map_err(|error| match error {
            wire::tls::ConfigError::NoCertificate => ConninfoError::File {
                keyword: "sslcert",
                path: certificate_path.to_owned(),
                problem: error.to_string(),
            },
            error => bad(error.to_string()),
        })
    }
}

fn root_certificates(
    (path, text): (&Path, Vec<u8>),
) -> Result<Vec<CertificateDer<'static>>, ConninfoError> {
    certificates(&text).map_err(|error| ConninfoError::File {
        keyword: "sslrootcert",
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// One of several words.
pub(super) fn choice<T: Copy>(
    keywords: &Keywords,
    keyword: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, ConninfoError> {
    let Some(value) = keywords.get(keyword) else { return Ok(None) };
    let value = String::from_utf8_lossy(value);
    match words.iter().find(|(word, _)| *word == value) {
        Some((_, choice)) => Ok(Some(*choice)),
        None => {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(ConninfoError::Choice {
                keyword,
                value: value.into_owned(),
                words: words.join(", "),
            })
        }
    }
}
