//! How to log in to one of the stack's servers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a server on this machine may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of a connection string. Shown, it names the file with the password instead of the password,
/// so what is printed works with psql and gives nothing away.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Conninfo {
    pub(crate) port: u16,
    pub(crate) dbname: &'static str,
    pub(crate) user: &'static str,
    pub(crate) application_name: Option<String>,
    pub(crate) passfile: PathBuf,
    pub(crate) password: String,
}

impl Conninfo {
    /// The same with the password itself: for another program's environment, never for an output.
    pub(crate) fn with_password(&self) -> String {
        format!("{} password={}", self.start(), self.password)
    }

    /// For the blocking client.
    pub(crate) fn config(&self) -> postgres::Config {
        let mut config = postgres::Config::new();
        config.host("127.0.0.1").port(self.port).dbname(self.dbname).user(self.user);
        config.password(&self.password).connect_timeout(CONNECT_TIMEOUT);
        if let Some(name) = &self.application_name {
            config.application_name(name);
        }
        config
    }

    fn start(&self) -> String {
        let Self { port, dbname, user, .. } = self;
        let mut text = format!("host=127.0.0.1 port={port} dbname={dbname} user={user}");
        if let Some(name) = &self.application_name {
            text.push_str(&format!(" application_name={}", quoted(name)));
        }
        text
    }
}

impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passfile={}", self.start(), self.passfile.display())
    }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_password() {
        let conninfo = Conninfo {
            port: 5,
            dbname: "nova",
            user: "nova",
            application_name: Some("it's me".into()),
            passfile: "/f/pgpass".into(),
            password: "secret".into(),
        };
        let start = "host=127.0.0.1 port=5 dbname=nova user=nova application_name='it\\'s me'";
        assert_eq!(conninfo.to_string(), format!("{start} passfile=/f/pgpass"));
        assert_eq!(format!("{conninfo:?}"), conninfo.to_string());
        assert_eq!(conninfo.with_password(), format!("{start} password=secret"));
        let config: postgres::Config = conninfo.with_password().parse().unwrap();
        assert_eq!(config.get_application_name(), Some("it's me"));
    }
}
