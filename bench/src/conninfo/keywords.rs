//! The text of a connection string, taken apart: key=value pairs or a URI.
//!
//! Postgres manual, 34.1.1 "Connection Strings" and 34.17 "The Connection Service File".

use std::collections::BTreeMap;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::ConninfoError;

/// Values by keyword, as libpq's PQconninfoParse gives them.
pub(super) type Keywords = BTreeMap<String, Vec<u8>>;

/// Where libpq looks for what a connection string does not say.
pub(super) struct Environment<'a> {
    /// An environment variable.
    pub(super) variable: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    pub(super) home: Option<PathBuf>,
    /// The name of the account that this process runs under.
    pub(super) account: &'a dyn Fn() -> Option<String>,
}

impl Environment<'_> {
    /// A variable that is set, and not to nothing.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(path)
    }

    /// A file below the home folder.
    pub(super) fn in_home(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }
}

/// A value as a file's path.
pub(super) fn path(value: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(value).into()
}

/// What can be said, and the variable that says it where the connection string does not.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("fallback_application_name", ""),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("channel_binding", "PGCHANNELBINDING"),
];

/// Keywords of libpq that change nothing here: what they would set is not done, or is always so.
const WITHOUT_EFFECT: &[&str] = &[
    "client_encoding",
    "gssdelegation",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "sslcompression",
    "tcp_user_timeout",
];

/// Keywords of libpq that ask for what is not done here.
const REFUSED: &[(&str, &str)] = &[
    ("replication", "a load speaks SQL"),
    ("sslcrl", "revocation lists are not read"),
    ("sslcrldir", "revocation lists are not read"),
    ("sslpassword", "take the key's passphrase off, as with `openssl pkey`"),
    ("sslcertmode", "leave sslcert out to send no certificate"),
    ("sslsni", "the host's name is always told"),
    ("requirepeer", "who runs the server is not checked"),
    ("require_auth", "use channel_binding=require"),
    ("min_protocol_version", "protocol 3.0 is spoken"),
    ("max_protocol_version", "protocol 3.0 is spoken"),
];

/// Whether it is a URI, and no key=value pairs.
pub(crate) fn is_uri(text: &str) -> bool {
    after_scheme(text).is_some()
}

fn after_scheme(text: &str) -> Option<&str> {
    ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme))
}

/// Takes texts apart, of which the first that says a thing decides; what none of them says comes from
/// the service file, then from the environment.
pub(super) fn read<T: AsRef<str>>(
    texts: &[T],
    environment: &Environment<'_>,
) -> Result<Keywords, ConninfoError> {
    let mut keywords = Keywords::new();
    for text in texts.iter().map(AsRef::as_ref) {
        let own = after_scheme(text).map_or_else(|| pairs(text), uri_keywords)?;
        own.into_iter().for_each(|(keyword, value)| _ = keywords.entry(keyword).or_insert(value));
    }
    let service = keywords.get("service").cloned().or_else(|| environment.get("PGSERVICE"));
    if let Some(service) = service {
        let service = String::from_utf8_lossy(&service).into_owned();
        for (keyword, value) in super::service::read(&service, environment)? {
            keywords.entry(keyword).or_insert(value);
        }
    }
    for (keyword, variable) in KNOWN {
        if !keywords.contains_key(*keyword)
            && let Some(value) = environment.get(variable)
        {
            keywords.insert((*keyword).to_owned(), value);
        }
    }
    Ok(keywords)
}

/// Checks a keyword, and keeps it where it has an effect. Empty values are as good as none.
pub(super) fn insert(
    keywords: &mut Keywords,
    keyword: &str,
    value: Vec<u8>,
) -> Result<(), ConninfoError> {
    let is_off = matches!(value.as_slice(), b"" | b"any" | b"disable" | b"prefer");
    if KNOWN.iter().any(|(known, _)| *known == keyword) {
        if !value.is_empty() {
            keywords.insert(keyword.to_owned(), value);
        }
        return Ok(());
    }
    let why = match keyword {
        "target_session_attrs" => "name the server that is meant",
        "gssencmode" => "use TLS",
        _ if WITHOUT_EFFECT.contains(&keyword) => return Ok(()),
        _ => match REFUSED.iter().find(|(refused, _)| *refused == keyword) {
            Some((_, why)) => why,
            None => return Err(ConninfoError::Unknown(keyword.to_owned())),
        },
    };
    if value.is_empty() || is_off && matches!(keyword, "target_session_attrs" | "gssencmode") {
        return Ok(());
    }
    Err(ConninfoError::Unsupported { keyword: keyword.to_owned(), why })
}

/// `key = 'value' …`, where `\` takes the next character as it is.
fn pairs(text: &str) -> Result<Keywords, ConninfoError> {
    let mut keywords = Keywords::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let is_end = |c: char| c == '=' || c.is_ascii_whitespace();
        let (keyword, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let value = after.trim_start().strip_prefix('=').ok_or_else(|| {
            ConninfoError::Syntax(format!("`=` is missing behind {:?}", shown(keyword)))
        })?;
        let (value, after) = value_of(keyword, value.trim_start())?;
        insert(&mut keywords, keyword, value.into_bytes())?;
        rest = after.trim_start();
    }
    Ok(keywords)
}

/// One value, and what is behind it.
fn value_of<'a>(keyword: &str, text: &'a str) -> Result<(String, &'a str), ConninfoError> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let mut characters = quoted.unwrap_or(text).chars();
    loop {
        let before = characters.as_str();
        match (characters.next(), quoted.is_some()) {
            (Some('\\'), _) => value.extend(characters.next()),
            (Some('\''), true) => return Ok((value, characters.as_str())),
            (Some(c), false) if c.is_ascii_whitespace() => return Ok((value, before)),
            (Some(c), _) => value.push(c),
            (None, false) => return Ok((value, "")),
            (None, true) => {
                let words = format!("the quote behind {keyword}= is not closed");
                return Err(ConninfoError::Syntax(words));
            }
        }
    }
}

/// `user:password@host:port,host:port/dbname?keyword=value&…`, percent-encoded.
fn uri_keywords(rest: &str) -> Result<Keywords, ConninfoError> {
    let mut keywords = Keywords::new();
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = before.split_once('/').unwrap_or((before, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    for (keyword, value) in [("user", user), ("password", password), ("dbname", database)] {
        insert(&mut keywords, keyword, decoded(value)?)?;
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            // An IPv6 address.
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or_else(|| {
                    ConninfoError::Syntax("an IPv6 address lacks its closing bracket".into())
                })?;
                (address, port.strip_prefix(':').unwrap_or(port))
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(decoded(name)?);
        ports.push(decoded(port)?);
    }
    insert(&mut keywords, "host", joined(names))?;
    insert(&mut keywords, "port", joined(ports))?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or_else(|| {
            ConninfoError::Syntax(format!("`=` is missing behind {:?}", shown(pair)))
        })?;
        let keyword = String::from_utf8_lossy(&decoded(keyword)?).into_owned();
        match (keyword.as_str(), value) {
            // As JDBC writes it.
            ("ssl", "true") => insert(&mut keywords, "sslmode", b"require".to_vec())?,
            (keyword, value) => insert(&mut keywords, keyword, decoded(value)?)?,
        }
    }
    Ok(keywords)
}

/// Empty where all are.
fn joined(values: Vec<Vec<u8>>) -> Vec<u8> {
    if values.iter().all(Vec::is_empty) { Vec::new() } else { values.join(&b","[..]) }
}

fn decoded(value: &str) -> Result<Vec<u8>, ConninfoError> {
    let bytes = value.as_bytes();
    let is_bad = |at: usize| {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) || digits == b"00"
    };
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && is_bad(at)) {
        // Not shown: it may be a password.
        return Err(ConninfoError::Syntax("a % is not followed by two digits (%25 is a %)".into()));
    }
    Ok(percent_decode_str(value).collect())
}

/// The start of a text that is no keyword: a password could follow.
fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Environment<'_> =
        Environment { variable: &|_| None, home: None, account: &|| None };

    fn keywords(text: &str) -> String {
        match read(&[text], &NOTHING) {
            Ok(keywords) => {
                let one = |(keyword, value): (&String, &Vec<u8>)| {
                    format!("{keyword}={}", String::from_utf8_lossy(value))
                };
                keywords.iter().map(one).collect::<Vec<_>>().join("|")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn pairs_and_uris_are_read_as_libpq_reads_them() {
        for (text, expected) in [
            ("", ""),
            ("host = a  port= 1", "host=a|port=1"),
            ("password='a b\\'c\\\\d' user=x\\ y", "password=a b'c\\d|user=x y"),
            ("host='' user=n", "user=n"),
            ("host=a keepalives=1 client_encoding=auto", "host=a"),
            ("postgresql://", ""),
            ("postgres://u:p%40%20w@h:1/d", "dbname=d|host=h|password=p@ w|port=1|user=u"),
            ("postgresql://u@[::1]:5433/d", "dbname=d|host=::1|port=5433|user=u"),
            ("postgresql://a:1,b,[::2]:3/d", "dbname=d|host=a,b,::2|port=1,,3"),
            ("postgresql://%2Frun%2Fpg/d?user=n", "dbname=d|host=/run/pg|user=n"),
            ("postgresql:///d?host=/tmp&port=7", "dbname=d|host=/tmp|port=7"),
            ("postgresql://h?ssl=true", "host=h|sslmode=require"),
            ("postgresql://u:a@b@h", "host=h|password=a@b|user=u"),
            ("target_session_attrs=any gssencmode=prefer", ""),
        ] {
            assert_eq!(keywords(text), expected, "{text}");
        }
    }

    #[test]
    fn what_one_text_leaves_open_the_next_one_says() {
        let texts = ["postgresql://u@/d", "host=a port=1 user=v dbname='e'", "password=x port=2"];
        let keywords = read(&texts, &NOTHING).unwrap();
        let shown = |(keyword, value): (&String, &Vec<u8>)| {
            format!("{keyword}={}", String::from_utf8_lossy(value))
        };
        let shown: Vec<_> = keywords.iter().map(shown).collect();
        assert_eq!(shown.join("|"), "dbname=d|host=a|password=x|port=1|user=u");
    }

    #[test]
    fn what_cant_be_read_or_done_is_named() {
        for (text, words) in [
            ("host", "`=` is missing behind \"host\""),
            ("password='x", "the quote behind password= is not closed"),
            ("host=a prot=1", "there is no keyword prot"),
            ("sslcrl=x", "sslcrl is not supported: revocation lists are not read"),
            ("target_session_attrs=primary", "name the server"),
            ("postgresql://u:p%4@h", "a % is not followed"),
            ("postgresql://[::1/d", "closing bracket"),
        ] {
            let error = keywords(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_said_comes_from_the_environment() {
        let variable = |name: &str| match name {
            "PGHOST" => Some(b"there".to_vec()),
            "PGSSLMODE" => Some(b"verify-full".to_vec()),
            "PGUSER" => Some(Vec::new()),
            _ => None,
        };
        let environment = Environment { variable: &variable, ..NOTHING };
        let keywords = read(&["host=here"], &environment).unwrap();
        assert_eq!(keywords["host"], b"here");
        assert_eq!(keywords["sslmode"], b"verify-full");
        assert!(!keywords.contains_key("user"), "set to nothing is not set");
    }
}
