//! The hosts of a connection string (Postgres manual, 34.1.1.3 "Specifying Multiple Hosts").

use std::path::{Path, PathBuf};

use socket2::SockAddr;

use super::ConninfoError;
use super::keywords::Keywords;
use crate::address;

/// One of the hosts of a connection string.
#[derive(Clone)]
pub(super) struct Host {
    /// A name or an address; none where there is only a hostaddr.
    pub(super) name: Option<String>,
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) password: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
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

/// Where Postgres' own socket is: Debian's place, and Postgres' default.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

impl Host {
    pub(super) fn shown(&self) -> String {
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
    pub(super) fn looked_up_as(&self) -> String {
        match (&self.name, &self.place) {
            (Some(name), _) if name == SOCKET_FOLDERS[0] => "localhost".into(),
            (Some(name), _) => name.clone(),
            (None, Place::Tcp(address)) => address.clone(),
            (None, Place::Unix(folder)) if is_default(folder) => "localhost".into(),
            (None, Place::Unix(folder)) => folder.display().to_string(),
        }
    }

    /// At least one.
    pub(super) fn addresses(&self) -> Result<Vec<SockAddr>, ConninfoError> {
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
pub(super) fn hosts(keywords: &Keywords) -> Result<Vec<Host>, ConninfoError> {
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

/// Puts them in an order by chance (Fisher and Yates).
pub(super) fn shuffle(hosts: &mut [Host]) {
    let mut seed = [0; 8];
    // Without entropy the order stays.
    let _ = getrandom::fill(&mut seed);
    let mut random = engine::Random::new(u64::from_ne_bytes(seed), 0);
    for last in (1..hosts.len()).rev() {
        let other = random.below(last as u64 + 1) as usize;
        hosts.swap(last, other);
    }
}
