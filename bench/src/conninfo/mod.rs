//! Connection strings as libpq knows them, with everything else from where Postgres tools look.
//!
//! Postgres manual, 34.1 "Database Connection Control Functions".

mod error;
mod host;
mod keywords;
mod passfile;
mod service;
mod ssl;

use std::env;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;
use std::time::Duration;

use postgres::NoTls;
use postgres::config::{SslMode, SslNegotiation};
use socket2::SockAddr;
use wire::postgres::{ChannelBinding, Login, LoginError};
use wire::tls;

pub(crate) use self::error::ConninfoError;
use self::host::{Host, Place, hosts, shuffle};
pub(crate) use self::keywords::is_uri;
use self::keywords::{Environment, Keywords};
use self::passfile::Wanted;
use self::ssl::{Mode, Ssl, choice};
use crate::address;

/// Where to log in, as whom.
///
/// Where it names several hosts, or a host with several addresses, [`Conninfo::reached`] chooses
/// the first that takes connections; all connections go there then, since the figures are one
/// server's.
#[derive(Debug, Clone)]
pub(crate) struct Conninfo {
    hosts: Vec<Host>,
    /// The one that is meant, in `hosts`.
    chosen: usize,
    /// Where the chosen one listens, once that is known.
    address: Option<SockAddr>,
    user: String,
    database: String,
    application_name: String,
    /// Settings that the server is asked for, as in `-c TimeZone=UTC`.
    options: Option<String>,
    connect_timeout: Duration,
    ssl: Ssl,
    /// Files that were ignored, and why.
    pub(crate) warnings: Vec<String>,
}

/// How long a host may take to accept a connection where there are others to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Conninfo {
    /// Reads a URI or key=value pairs; what is missing comes from the service file, the PG*
    /// variables and the password file. Nothing is connected to.
    pub(crate) fn parse(text: &str) -> Result<Self, ConninfoError> {
        Self::merged(&[text])
    }

    /// The same of several texts: the first that says a thing decides.
    pub(crate) fn merged<T: AsRef<str>>(texts: &[T]) -> Result<Self, ConninfoError> {
        let variable = |name: &str| env::var_os(name).map(|value| value.into_vec());
        let home = env::home_dir();
        let environment = Environment { variable: &variable, home, account: &account };
        let conninfo = Self::parse_in(texts, &environment)?;
        if conninfo.user.is_empty() { Err(ConninfoError::NoUser) } else { Ok(conninfo) }
    }

    /// The same by the text alone, whatever the environment says.
    pub(crate) fn parse_alone(text: &str) -> Result<Self, ConninfoError> {
        Self::parse_in(&[text], &Environment { variable: &|_| None, home: None, account: &|| None })
    }

    fn parse_in<T: AsRef<str>>(
        texts: &[T],
        environment: &Environment<'_>,
    ) -> Result<Self, ConninfoError> {
        let keywords = keywords::read(texts, environment)?;
        let text = |keyword: &str| {
            let value = keywords.get(keyword)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let user = text("user").or_else(environment.account).unwrap_or_default();
        let seconds = text("connect_timeout").map(|value| {
            value.trim().parse::<i64>().map_err(|_| {
                ConninfoError::Syntax(format!("connect_timeout={value} is no number of seconds"))
            })
        });
        // libpq waits two seconds at least, and for ever at zero.
        let connect_timeout = match seconds.transpose()? {
            Some(seconds @ 1..) => Duration::from_secs(seconds.unsigned_abs().max(2)),
            _ => CONNECT_TIMEOUT,
        };
        let mut conninfo = Self {
            hosts: hosts(&keywords)?,
            chosen: 0,
            address: None,
            database: text("dbname").unwrap_or_else(|| user.clone()),
            application_name: text("application_name")
                .or_else(|| text("fallback_application_name"))
                .unwrap_or_else(|| "poolbench".into()),
            options: text("options"),
            user,
            connect_timeout,
            ssl: Ssl::read(&keywords, environment)?,
            warnings: Vec::new(),
        };
        let is_random =
            choice(&keywords, "load_balance_hosts", &[("disable", false), ("random", true)])?;
        if is_random == Some(true) {
            shuffle(&mut conninfo.hosts);
        }
        conninfo.find_passwords(&keywords, environment);
        if let Some(options) = &conninfo.options {
            conninfo.warnings.push(format!(
                "options={options}: sent to the server as it is; PgBouncer before 1.20 refuses it, \
                 and where its clients differ it sends a SET that it does not count"
            ));
        }
        Ok(conninfo)
    }

    /// The same, with the first host that takes connections chosen. Where there is one host with
    /// one address, nothing is tried.
    pub(crate) fn reached(mut self) -> Result<Self, ConninfoError> {
        let mut candidates = Vec::new();
        let mut problems = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            match host.addresses() {
                Ok(addresses) => {
                    candidates.extend(addresses.into_iter().map(|address| (index, address)));
                }
                Err(error) if self.hosts.len() == 1 => return Err(error),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let is_single = self.hosts.len() == 1 && candidates.len() == 1;
        for (index, address) in candidates {
            let tried = match is_single {
                true => Ok(()),
                false => address::connect(&address, self.connect_timeout),
            };
            match tried {
                Ok(()) => {
                    self.chosen = index;
                    self.address = Some(address);
                    return Ok(self);
                }
                Err(error) => {
                    let place = address.as_socket().map(|address| address.to_string());
                    let place = place.unwrap_or_else(|| self.hosts[index].shown());
                    problems.push(format!("{place}: {error}"));
                }
            }
        }
        Err(ConninfoError::Unreachable(problems.join(", ")))
    }

    /// Logs in with the blocking client, secured as the load is. The error says why not.
    pub(crate) fn connect(self) -> Result<postgres::Client, String> {
        let conninfo = self.reached().map_err(|error| error.to_string())?;
        let tls = conninfo.tls().map_err(|error| error.to_string())?;
        let mut result = Err(String::new());
        for &mode in conninfo.attempts(tls.is_some()) {
            let config = postgres::Config::from(conninfo.client(mode));
            result = match tls.clone().filter(|_| mode != SslMode::Disable) {
                Some(tls) => config.connect(crate::tls::Secure(tls)),
                None => config.connect(NoTls),
            }
            .map_err(|error| with_sources(&error));
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Logs in as [`Self::connect`] does, on a runtime of one thread, which then serves the
    /// connection too. The error says why not.
    pub(crate) async fn connect_here(self) -> Result<tokio_postgres::Client, String> {
        // It tries addresses, which may take its time.
        let reached = tokio::task::spawn_blocking(|| self.reached()).await;
        let conninfo = reached.map_err(|error| error.to_string())?;
        let conninfo = conninfo.map_err(|error| error.to_string())?;
        let tls = conninfo.tls().map_err(|error| error.to_string())?;
        let mut result = Err(String::new());
        for &mode in conninfo.attempts(tls.is_some()) {
            let config = conninfo.client(mode);
            result = match tls.clone().filter(|_| mode != SslMode::Disable) {
                Some(tls) => serve(config.connect(crate::tls::Secure(tls)).await),
                None => serve(config.connect(NoTls).await),
            };
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Whom to log in as.
    pub(crate) fn login(&self) -> Result<Login, LoginError> {
        let password = self.host().password.as_deref();
        let login = Login::new(&self.user, &self.database, &self.application_name, password)?;
        let login = match &self.options {
            Some(options) => login.with_options(options)?,
            None => login,
        };
        Ok(login.bound(self.ssl.channel_binding))
    }

    /// How the connections are to be secured; none with sslmode=disable, and over a Unix socket.
    pub(crate) fn tls(&self) -> Result<Option<Arc<tls::Config>>, ConninfoError> {
        match &self.host().place {
            Place::Unix(_) => Ok(None),
            Place::Tcp(_) => Ok(self.ssl.config(self.host().name.as_deref())?.map(Arc::new)),
        }
    }

    /// Where the server listens: what [`Conninfo::reached`] found, or else the first address.
    pub(crate) fn address(&self) -> Result<SockAddr, ConninfoError> {
        match &self.address {
            Some(address) => Ok(address.clone()),
            None => self.host().addresses().map(|mut addresses| addresses.swap_remove(0)),
        }
    }

    /// Where the server listens, for people.
    pub(crate) fn place(&self) -> String {
        self.host().shown()
    }

    /// The server's name, address or folder of sockets, and its port.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let Host { name, place, port, .. } = self.host();
        let place = match place {
            Place::Tcp(address) => address.clone(),
            Place::Unix(folder) => folder.display().to_string(),
        };
        (name.clone().unwrap_or(place), *port)
    }

    /// The database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// What the load calls itself there.
    pub(crate) fn application_name(&self) -> &str {
        &self.application_name
    }

    fn host(&self) -> &Host {
        &self.hosts[self.chosen]
    }

    /// For rust-postgres' clients.
    fn client(&self, mode: SslMode) -> tokio_postgres::Config {
        let host = self.host();
        let mut config = tokio_postgres::Config::new();
        config.ssl_mode(mode);
        match (&host.place, self.address.as_ref().and_then(SockAddr::as_socket)) {
            (Place::Unix(folder), _) => config.host_path(folder),
            (Place::Tcp(name), Some(address)) => config.host(name).hostaddr(address.ip()),
            (Place::Tcp(name), None) => config.host(name),
        };
        config.port(host.port).user(&self.user).dbname(&self.database);
        config.application_name(&self.application_name).connect_timeout(self.connect_timeout);
        if let Some(password) = &host.password {
            config.password(password);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        use postgres::config::ChannelBinding as Binding;
        config.channel_binding(match self.ssl.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
        if self.ssl.is_direct() {
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        config
    }

    /// What the clients try one after the other.
    fn attempts(&self, can_secure: bool) -> &'static [SslMode] {
        match self.ssl.mode {
            _ if !can_secure => &[SslMode::Disable],
            Mode::Disable => &[SslMode::Disable],
            Mode::Allow => &[SslMode::Disable, SslMode::Require],
            Mode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[SslMode::Require],
        }
    }

    fn find_passwords(&mut self, keywords: &Keywords, environment: &Environment<'_>) {
        let given = keywords.get("password").cloned();
        let passfile = keywords.get("passfile").cloned().map(keywords::path);
        let passfile = passfile.or_else(|| environment.in_home(".pgpass"));
        for host in &mut self.hosts {
            host.password = given.clone();
            let (None, Some(path)) = (&given, &passfile) else { continue };
            let wanted = Wanted {
                host: &host.looked_up_as(),
                port: host.port,
                database: &self.database,
                user: &self.user,
            };
            match passfile::look_up(path, wanted) {
                Ok(password) => host.password = password,
                Err(warning) if self.warnings.contains(&warning) => {}
                Err(warning) => self.warnings.push(warning),
            }
        }
    }
}

/// The name of the account that this process runs under, who logs in where nobody else is named. As
/// libpq, it asks the system and not USER, which need not be set in a container.
pub(crate) fn account() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
    user.ok().flatten().map(|user| user.name)
}

/// Has a new connection served until its client is dropped.
fn serve<S, T>(
    opened: Result<(tokio_postgres::Client, tokio_postgres::Connection<S, T>), postgres::Error>,
) -> Result<tokio_postgres::Client, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = opened.map_err(|error| with_sources(&error))?;
    // How it ends is the client's to tell.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn parse(text: &str) -> Result<Conninfo, ConninfoError> {
        Conninfo::parse_alone(text)
    }

    #[test]
    fn a_passfile_others_can_read_is_ignored_with_a_note() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:secret\n").unwrap();
        let text = format!("host=127.0.0.1 user=nova passfile={}", file.path().display());
        let mode = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
        mode(0o644).unwrap();
        let open = parse(&text).unwrap();
        assert_eq!(open.host().password, None);
        assert!(open.warnings[0].contains("chmod 0600"));
        mode(0o600).unwrap();
        let private = parse(&text).unwrap();
        assert_eq!(private.host().password.as_deref(), Some(&b"secret"[..]));
        assert!(!format!("{private:?}").contains("secret"));
    }

    #[test]
    fn options_are_sent_as_they_are_and_warned_of() {
        let text = "host=127.0.0.1 user=nova options='-c TimeZone=Asia/Tokyo'";
        let conninfo = parse(text).unwrap();
        let warning = &conninfo.warnings[0];
        assert!(warning.starts_with("options=-c TimeZone=Asia/Tokyo: sent"), "{warning}");
        assert_ne!(
            conninfo.login().unwrap(),
            parse("host=127.0.0.1 user=nova").unwrap().login().unwrap()
        );
        assert_eq!(conninfo.client(SslMode::Disable).get_options(), Some("-c TimeZone=Asia/Tokyo"));
    }

    #[test]
    fn the_password_file_knows_hosts_as_libpq_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = "localhost:*:*:*:default socket\n/run/pg:5433:*:*:other socket\n\
                     \\:\\:1:*:*:*:address\ndb:*:*:*:name\n*:*:a\\:b\\\\c:*:database\n";
        fs::write(file.path(), lines).unwrap();
        let password = |text: &str| {
            let conninfo = format!("{text} user=nova passfile={}", file.path().display());
            let password = parse(&conninfo).unwrap().host().password.clone();
            password.map(|password| String::from_utf8(password).unwrap())
        };
        for (text, expected) in [
            ("host=/var/run/postgresql", Some("default socket")),
            ("host=/run/pg port=5433", Some("other socket")),
            ("host=/run/pg", None),
            ("host=::1", Some("address")),
            ("hostaddr=::1", Some("address")),
            ("host=db hostaddr=::1", Some("name")),
            ("host=elsewhere dbname='a:b\\\\c'", Some("database")),
        ] {
            assert_eq!(password(text).as_deref(), expected, "{text}");
        }
        assert_eq!(password("host=db password='as it is'").as_deref(), Some("as it is"));
    }

    #[test]
    fn what_is_missing_has_defaults_and_what_is_wrong_is_named() {
        let conninfo = parse("postgresql://nova:pw@127.0.0.1:7000/db").unwrap();
        assert_eq!(conninfo.place(), "127.0.0.1:7000");
        assert_eq!(conninfo.application_name, "poolbench");
        assert_eq!(parse("host=a user=nova").unwrap().database, "nova");
        for (text, words) in [
            ("host=a prot=1", "prot"),
            ("host=a sslmode=verify", "disable, allow, prefer, require, verify-ca, verify-full"),
            ("host=a,b,c port=1,2", "different lengths"),
            ("host=a port=0", "between 1 and 65535"),
            ("host=a connect_timeout=soon", "no number of seconds"),
            ("host=a sslnegotiation=direct", "needs sslmode=require"),
            ("host=a sslrootcert=system sslmode=require", "needs sslmode=verify-full"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_addresses_and_sockets() {
        let places = |text: &str| {
            let conninfo = parse(text).unwrap();
            conninfo.hosts.iter().map(Host::shown).collect::<Vec<_>>()
        };
        assert_eq!(places("host=a,b port=1"), ["a:1", "b:1"]);
        assert_eq!(places("host=a,b port=1,2"), ["a:1", "b:2"]);
        assert_eq!(places("host=a hostaddr=10.0.0.1"), ["10.0.0.1:5432"]);
        assert_eq!(places("host=::1"), ["[::1]:5432"]);
        assert_eq!(places("host=/run/pg port=7"), ["/run/pg/.s.PGSQL.7"]);
        assert_eq!(places("postgresql://a:1,[::2]:3/d"), ["a:1", "[::2]:3"]);
        let socket = parse("host=/run/pg sslmode=verify-full").unwrap();
        assert!(socket.tls().unwrap().is_none(), "as in libpq, a socket is not secured");
    }

    #[test]
    fn the_first_host_that_takes_connections_is_chosen() {
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &std::net::TcpListener| listener.local_addr().unwrap().port();
        let (closed, open) = (listen(), listen());
        let (closed_port, open_port) = (port(&closed), port(&open));
        drop(closed);
        let text = format!("host=127.0.0.1,127.0.0.1 port={closed_port},{open_port}");
        let reached = parse(&text).unwrap().reached().unwrap();
        assert_eq!(reached.place(), format!("127.0.0.1:{open_port}"));
        drop(open);
        let error = parse(&text).unwrap().reached().unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{open_port}: Connection refused")), "{error}");
    }

    #[test]
    fn what_certificates_and_keys_lack_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("cert"), pair.cert.pem()).unwrap();
        fs::write(path("key"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(path("junk"), "junk").unwrap();
        let mode = |mode| fs::set_permissions(path("key"), fs::Permissions::from_mode(mode));
        let error = |text: &str| parse(text).unwrap().tls().unwrap_err().to_string();
        assert!(error("host=a sslmode=verify-ca").contains("there is no root certificate"));
        let missing = error("host=a sslmode=verify-ca sslrootcert=/nowhere/root.crt");
        assert!(missing.contains("sslrootcert /nowhere/root.crt: No such file"), "{missing}");
        let junk = error(&format!("host=a sslmode=verify-full sslrootcert={}", path("junk")));
        assert!(junk.contains("holds no certificate"), "{junk}");
        let named = format!("sslrootcert={} sslmode=verify-full", path("cert"));
        assert!(error(&format!("hostaddr=127.0.0.1 {named}")).contains("needs host"));
        let identity = format!("host=a sslcert={} sslkey={}", path("cert"), path("key"));
        mode(0o644).unwrap();
        assert!(error(&identity).contains("chmod 0600"));
        mode(0o600).unwrap();
        assert!(parse(&format!("{identity} {named}")).unwrap().tls().unwrap().is_some());
        let swapped = format!("host=a sslcert={} sslkey={}", path("key"), path("key"));
        assert!(error(&swapped).contains("sslcert"), "{}", error(&swapped));
    }
}
