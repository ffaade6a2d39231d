//! How to log in to one of the stack's servers.

use std::fmt;
use std::path::PathBuf;

use postgres::Client;

/// How long a server on this machine may take to accept a connection.
const CONNECT_TIMEOUT_S: u64 = 5;

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
    /// The certificate that the server must have; in the clear where there is none.
    pub(crate) root: Option<PathBuf>,
}

impl Conninfo {
    /// The same with the password itself: never for an output.
    pub(crate) fn with_password(&self) -> String {
        format!("{} password={}", self.start(), self.password)
    }

    /// The same for the gateway's environment; its client knows fewer sslmodes, and checks the
    /// server by the certificate that it is given besides.
    pub(crate) fn for_gateway(&self) -> String {
        let sslmode = if self.root.is_some() { "require" } else { "disable" };
        format!("{} sslmode={sslmode} password={}", self.place(), self.password)
    }

    /// Logs in with the blocking client. The error says why not.
    pub(crate) fn connect(&self) -> Result<Client, String> {
        let text = format!("{} connect_timeout={CONNECT_TIMEOUT_S}", self.with_password());
        let conninfo = crate::conninfo::Conninfo::parse_alone(&text);
        conninfo.map_err(|error| error.to_string())?.connect()
    }

    fn start(&self) -> String {
        match &self.root {
            Some(root) => {
                let root = quoted(&root.display().to_string());
                format!("{} sslmode=verify-full sslrootcert={root}", self.place())
            }
            None => format!("{} sslmode=disable", self.place()),
        }
    }

    fn place(&self) -> String {
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

/// A value of a connection string.
pub(super) fn quoted(value: &str) -> String {
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
        let mut conninfo = Conninfo {
            port: 5,
            dbname: "nova",
            user: "nova",
            application_name: Some("it's me".into()),
            passfile: "/f/pgpass".into(),
            password: "secret".into(),
            root: None,
        };
        let place = "host=127.0.0.1 port=5 dbname=nova user=nova application_name='it\\'s me'";
        assert_eq!(conninfo.to_string(), format!("{place} sslmode=disable passfile=/f/pgpass"));
        assert_eq!(format!("{conninfo:?}"), conninfo.to_string());
        assert_eq!(conninfo.with_password(), format!("{place} sslmode=disable password=secret"));
        let config: postgres::Config = conninfo.for_gateway().parse().unwrap();
        assert_eq!(config.get_application_name(), Some("it's me"));
        conninfo.root = Some("/f/root.crt".into());
        let secured = format!("{place} sslmode=verify-full sslrootcert=/f/root.crt");
        assert_eq!(conninfo.with_password(), format!("{secured} password=secret"));
        assert_eq!(conninfo.for_gateway(), format!("{place} sslmode=require password=secret"));
    }
}
