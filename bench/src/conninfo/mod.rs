//! Connection strings as libpq knows them, with everything else from where Postgres tools look.
//!
//! Postgres manual, 34.1 "Database Connection Control Functions".

mod keywords;
mod passfile;
mod service;
mod ssl;

use std::env;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postgres::NoTls;
use postgres::config::{SslMode, SslNegotiation};
use socket2::SockAddr;
use thiserror::Error;
use wire::postgres::{ChannelBinding, Login, LoginError};
use wire::tls;

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
    connect_timeout: Duration,
    ssl: Ssl,
    /// Files that were ignored, and why.
    pub(crate) warnings: Vec<String>,
}

/// One of the hosts of a connection string.
#[derive(Clone)]
struct Host {
    /// A name or an address; none where there is only a hostaddr.
    name: Option<String>,
    place: Place,
    port: u16,
    password: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(String),
    /// A folder with sockets.
    Unix(PathBuf),
}

/// The password stays out of every output.
impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({})", self.shown())
    }
}

/// How long a host may take to accept a connection where there are others to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Postgres' own socket is: Debian's place, and Postgres' default.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// A connection string that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConninfoError {
    #[error("not a connection string: {0}")]
    Syntax(String),
    #[error("not a connection string: there is no keyword {0}")]
    Unknown(String),
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

impl Conninfo {
    /// Reads a URI or key=value pairs; what is missing comes from the service file, the PG*
    /// variables and the password file. Nothing is connected to.
    pub(crate) fn parse(text: &str) -> Result<Self, ConninfoError> {
        let variable = |name: &str| env::var_os(name).map(|value| value.into_vec());
        Self::parse_in(text, &Environment { variable: &variable, home: env::home_dir() })
    }

    /// The same by the text alone, whatever the environment says.
    pub(crate) fn parse_alone(text: &str) -> Result<Self, ConninfoError> {
        Self::parse_in(text, &Environment { variable: &|_| None, home: None })
    }

    fn parse_in(text: &str, environment: &Environment<'_>) -> Result<Self, ConninfoError> {
        let keywords = keywords::read(text, environment)?;
        let text = |keyword: &str| {
            let value = keywords.get(keyword)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let account = || environment.get("USER").map(|name| String::from_utf8_lossy(&name).into());
        let user = text("user").or_else(account).unwrap_or_default();
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

    /// The database.
    pub(crate) fn database(&self) -> &str {
        &self.database
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

/// Has a new connection served until its client is dropped.
fn serve<S, T>(
    opened: Result<(tokio_postgres::Client, tokio_postgres::Connection<S, T>), postgres::Error>,
) -> Result<tokio_postgres::Client, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (client, connection) = opened.map_err(|error| with_sources(&error))?;
    // How it ends is the client's to tell.
    tokio::task::spawn_local(async { drop(connection.await) });
    Ok(client)
}

impl Host {
    fn shown(&self) -> String {
        match &self.place {
            Place::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Place::Tcp(host) => format!("{host}:{}", self.port),
            Place::Unix(folder) => self.socket(folder).display().to_string(),
        }
    }

    fn socket(&self, folder: &Path) -> PathBuf {
        folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// As in the password file: a default socket is the machine's own name, Debian's also where it
    /// is named.
    fn looked_up_as(&self) -> String {
        match (&self.name, &self.place) {
            (Some(name), _) if name == SOCKET_FOLDERS[0] => "localhost".into(),
            (Some(name), _) => name.clone(),
            (None, Place::Tcp(address)) => address.clone(),
            (None, Place::Unix(folder)) if is_default(folder) => "localhost".into(),
            (None, Place::Unix(folder)) => folder.display().to_string(),
        }
    }

    /// At least one.
    fn addresses(&self) -> Result<Vec<SockAddr>, ConninfoError> {
        let (host, result) = match &self.place {
            Place::Tcp(host) => (host.clone(), address::resolve(host, self.port)),
            Place::Unix(folder) => {
                let path = self.socket(folder);
                (path.display().to_string(), SockAddr::unix(&path).map(|address| vec![address]))
            }
        };
        result.map_err(|source| ConninfoError::Resolve { host, port: self.port, source })
    }
}

fn is_default(folder: &Path) -> bool {
    SOCKET_FOLDERS.iter().any(|default| Path::new(default) == folder)
}

/// The hosts in their order: names, addresses and ports are lists of the same length, or there is
/// one port for all.
fn hosts(keywords: &Keywords) -> Result<Vec<Host>, ConninfoError> {
    let list = |keyword: &str| {
        let value = keywords.get(keyword).map(|value| String::from_utf8_lossy(value).into_owned());
        let value = value.unwrap_or_default();
        value.split(',').map(|part| part.trim().to_owned()).collect::<Vec<String>>()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len());
    let is_empty = |list: &[String]| list.iter().all(String::is_empty);
    let fits = |list: &[String]| list.len() == count || is_empty(list);
    if !fits(&names) || !fits(&addresses) || ports.len() != count && ports.len() != 1 {
        let words = "host, hostaddr and port are lists of different lengths";
        return Err(ConninfoError::Syntax(words.into()));
    }
    let nonempty =
        |list: &[String], index: usize| list.get(index).filter(|value| !value.is_empty()).cloned();
    (0..count)
        .map(|index| {
            let port = nonempty(&ports, if ports.len() == 1 { 0 } else { index });
            let port = port.map_or(Ok(5432), |port| {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    ConninfoError::Syntax(format!("port={port} is not between 1 and 65535"))
                })
            })?;
            let (name, address) = (nonempty(&names, index), nonempty(&addresses, index));
            let place = match (&name, address) {
                (_, Some(address)) => Place::Tcp(address),
                (Some(name), None) if name.starts_with(['/', '@']) => Place::Unix(name.into()),
                (Some(name), None) => Place::Tcp(name.clone()),
                (None, None) => default_place(port),
            };
            Ok(Host { name, place, port, password: None })
        })
        .collect()
}

/// The socket that is there, or else this machine's own name.
fn default_place(port: u16) -> Place {
    let mut folders = SOCKET_FOLDERS.iter().map(Path::new);
    match folders.find(|folder| folder.join(format!(".s.PGSQL.{port}")).exists()) {
        Some(folder) => Place::Unix(folder.to_owned()),
        None => Place::Tcp("localhost".into()),
    }
}

/// Fisher-Yates.
fn shuffle(hosts: &mut [Host]) {
    let mut seed = [0; 8];
    // Without entropy the order stays.
    let _ = getrandom::fill(&mut seed);
    let mut random = engine::Random::new(u64::from_ne_bytes(seed), 0);
    for last in (1..hosts.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        hosts.swap(last, other);
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
