//! Connection strings as libpq knows them, with the password from where Postgres tools look.
//!
//! Postgres manual, 34.1 "Database Connection Control Functions" and 34.16 "The Password File".

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::{env, fs};

use postgres::config::{Host, SslMode};
use socket2::SockAddr;
use thiserror::Error;

/// Where to log in, as whom.
#[derive(Debug, Clone)]
pub(crate) struct Conninfo {
    config: postgres::Config,
    host: Host,
    port: u16,
    /// The password file was ignored, since others can read it.
    pub(crate) warning: Option<String>,
}

/// A connection string that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConninfoError {
    #[error("not a connection string: {0}")]
    Syntax(String),
    #[error(
        "sslmode={0} is asked for, and TLS is not supported yet: use sslmode=disable or prefer"
    )]
    Tls(&'static str),
    #[error("cannot resolve {host}:{port}: {source}")]
    Resolve { host: String, port: u16, source: std::io::Error },
}

impl Conninfo {
    /// Reads a URI or key=value pairs; what is missing comes from the PG* variables and the
    /// password file.
    pub(crate) fn parse(text: &str) -> Result<Self, ConninfoError> {
        let (text, passfile) = split_passfile(text);
        let mut config: postgres::Config =
            text.parse().map_err(|error| ConninfoError::Syntax(with_sources(&error)))?;
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        if config.get_user().is_none() {
            config.user(&variable("PGUSER").or_else(|| variable("USER")).unwrap_or_default());
        }
        if config.get_dbname().is_none()
            && let Some(name) = variable("PGDATABASE").or_else(|| config.get_user().map(Into::into))
        {
            config.dbname(&name);
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(ConninfoError::Tls("require"));
        }
        config.ssl_mode(SslMode::Disable);
        let default_port = variable("PGPORT").and_then(|port| port.parse().ok()).unwrap_or(5432);
        let port = config.get_ports().first().copied().unwrap_or(default_port);
        let host = match config.get_hosts().first() {
            Some(host) => host.clone(),
            None => {
                let host = variable("PGHOST").unwrap_or_else(|| "localhost".into());
                config.host(&host);
                config.get_hosts()[0].clone()
            }
        };
        let mut conninfo = Self { config, host, port, warning: None };
        if conninfo.config.get_password().is_none() {
            match variable("PGPASSWORD") {
                Some(password) => {
                    conninfo.config.password(password);
                }
                None => conninfo.use_passfile(passfile),
            }
        }
        Ok(conninfo)
    }

    /// For the blocking client.
    pub(crate) fn config(&self) -> &postgres::Config {
        &self.config
    }

    /// What connections call themselves; poolbench where nothing else is said.
    pub(crate) fn application_name(&self) -> &str {
        self.config.get_application_name().unwrap_or("poolbench")
    }

    /// Whom to log in as.
    pub(crate) fn login(&self) -> Result<wire::postgres::Login, wire::postgres::LoginError> {
        let password = self.config.get_password().map(String::from_utf8_lossy);
        wire::postgres::Login::new(
            self.config.get_user().unwrap_or_default(),
            self.config.get_dbname().unwrap_or_default(),
            self.application_name(),
            password.as_deref(),
        )
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> Result<SockAddr, ConninfoError> {
        let port = self.port;
        match &self.host {
            Host::Tcp(host) => crate::address::resolve(host, port)
                .map_err(|source| ConninfoError::Resolve { host: host.clone(), port, source }),
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{port}"));
                SockAddr::unix(&path).map_err(|source| ConninfoError::Resolve {
                    host: path.display().to_string(),
                    port,
                    source,
                })
            }
        }
    }

    /// Where the server listens, for people.
    pub(crate) fn place(&self) -> String {
        match &self.host {
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Unix(folder) => format!("{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }

    fn use_passfile(&mut self, passfile: Option<PathBuf>) {
        let home = || env::home_dir().map(|home| home.join(".pgpass"));
        let variable = || env::var_os("PGPASSFILE").map(PathBuf::from);
        let Some(path) = passfile.or_else(variable).or_else(home) else { return };
        let Ok(metadata) = fs::metadata(&path) else { return };
        if metadata.permissions().mode() & 0o077 != 0 {
            self.warning = Some(format!(
                "password file {} is ignored, since others can read it: chmod 0600 it",
                path.display()
            ));
            return;
        }
        let Ok(text) = fs::read_to_string(&path) else { return };
        let host = match &self.host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        };
        let wanted = [
            host.as_str(),
            &self.port.to_string(),
            self.config.get_dbname().unwrap_or_default(),
            self.config.get_user().unwrap_or_default(),
        ];
        if let Some(password) = find_password(&text, wanted) {
            self.config.password(password);
        }
    }
}

/// The first line that matches wins; `*` matches anything; `\:` and `\\` are escapes.
fn find_password(passfile: &str, wanted: [&str; 4]) -> Option<String> {
    passfile.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split_fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let is_match = [host, port, database, user]
            .iter()
            .zip(wanted)
            .all(|(field, wanted)| field.as_str() == "*" || field.as_str() == wanted);
        is_match.then(|| password.clone())
    })
}

fn split_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_last = fields.len() == 5;
        match character {
            ':' if !is_last => fields.push(String::new()),
            '\\' => fields.last_mut().expect("never empty").extend(characters.next()),
            other => fields.last_mut().expect("never empty").push(other),
        }
    }
    fields
}

/// postgres does not know the key `passfile`: it is taken out of key=value pairs.
fn split_passfile(text: &str) -> (String, Option<PathBuf>) {
    let is_passfile = |word: &&str| word.starts_with("passfile=");
    match text.split_whitespace().find(is_passfile) {
        Some(word) if !text.contains("://") => {
            let path = word["passfile=".len()..].trim_matches('\'');
            (text.replacen(word, "", 1), Some(path.into()))
        }
        _ => (text.to_owned(), None),
    }
}

/// An error with what caused it: postgres says "db error" and leaves the rest to its sources.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_as_libpq_finds_them() {
        let passfile = "# comment\n\
                        other:5432:*:nova:no\n\
                        127.0.0.1:5432:no\\:va:nova:a\\:b\\\\c\n\
                        ::1:5432:nova:nova:unescaped colons do not match\n\
                        \\:\\:1:*:nova:nova:six\n\
                        /run/pg:*:*:*:socket:with:colons\n\
                        127.0.0.1:*:*:*:second\n";
        let find = |host, database| find_password(passfile, [host, "5432", database, "nova"]);
        assert_eq!(find("127.0.0.1", "no:va").as_deref(), Some("a:b\\c"));
        assert_eq!(find("127.0.0.1", "nova").as_deref(), Some("second"));
        assert_eq!(find("::1", "nova").as_deref(), Some("six"));
        assert_eq!(find("/run/pg", "nova").as_deref(), Some("socket:with:colons"));
        assert_eq!(find("elsewhere", "nova"), None);
    }

    #[test]
    fn a_passfile_others_can_read_is_ignored_with_a_note() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:secret\n").unwrap();
        let text = format!("host=127.0.0.1 user=nova passfile={}", file.path().display());
        let mode = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        mode(0o644).unwrap();
        let open = Conninfo::parse(&text).unwrap();
        assert!(open.config().get_password().is_none());
        assert!(open.warning.unwrap().contains("chmod 0600"));
        mode(0o600).unwrap();
        let private = Conninfo::parse(&text).unwrap();
        assert_eq!(private.config().get_password(), Some(&b"secret"[..]));
    }

    #[test]
    fn what_is_missing_has_defaults_and_what_is_wrong_is_named() {
        let conninfo = Conninfo::parse("postgresql://nova:pw@127.0.0.1:7000/db").unwrap();
        assert_eq!(conninfo.place(), "127.0.0.1:7000");
        assert_eq!(conninfo.application_name(), "poolbench");
        let error = |text| Conninfo::parse(text).unwrap_err().to_string();
        assert!(error("host=a prot=1").contains("prot"), "{}", error("host=a prot=1"));
        assert!(error("host=a sslmode=require").contains("sslmode=disable"));
    }
}
