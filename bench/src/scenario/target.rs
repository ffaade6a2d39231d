//! `[targets]`: the servers that load can go to.

use std::collections::BTreeMap;

use socket2::SockAddr;
use ureq::http::Uri;

use super::Scenario;
use super::fields::{self, Fields};
use super::mistake::{Mistake, Mistakes};
use super::node::{Node, Value};
use crate::address;
use crate::conninfo::{Conninfo, ConninfoError};

/// One server. Either `url` or `conninfo` says where.
#[derive(Debug, Clone)]
pub(crate) struct TargetFile {
    /// A GraphQL endpoint.
    pub(crate) url: Option<String>,
    /// A Postgres server or a pooler.
    pub(crate) conninfo: Option<String>,
    /// How statements are sent.
    pub(crate) protocol: wire::postgres::Protocol,
    /// Whether prepared statements are sent unnamed once the pooler has lost a name.
    pub(crate) unnamed_fallback: bool,
    /// The pooler's admin console; those of several processes behind one port (so_reuseport), each
    /// by a socket of its own. Empty for what is no pooler.
    pub(crate) consoles: Vec<String>,
    /// Who may read pg_stat_activity; the target's own login where it is not given.
    pub(crate) observer: Option<String>,
    /// The application_name under which Postgres sees this target's backends.
    pub(crate) backends: Option<String>,
    /// Where it is given, for mistakes that only the server knows of.
    pub(super) node: Node,
}

impl Scenario {
    /// The first address of the target called `name`; `None` where there is no such target, and
    /// where its host has none.
    pub(crate) fn address(&self, name: &str) -> Option<SockAddr> {
        let target = self.targets.get(name)?;
        if let Some(url) = &target.url {
            let Endpoint { host, port, .. } = Endpoint::parse(url).ok()?;
            return address::resolve(&host, port).ok()?.into_iter().next();
        }
        Conninfo::parse(target.conninfo.as_deref()?).ok()?.reached().ok()?.address().ok()
    }
}

/// Reads `[targets]`.
pub(super) fn read(root: &Fields<'_>) -> BTreeMap<String, TargetFile> {
    let mut targets = BTreeMap::new();
    let help =
        "add [targets.NAME] with a url (a GraphQL gateway) or a conninfo (Postgres, a pooler)";
    let Some(node) = root.required("targets", help) else { return targets };
    let Some(table) = root.entries("targets") else { return targets };
    if table.0.is_empty() {
        root.mistakes.push(Mistake::error(&node.place, "[targets] is empty").help(help));
    }
    for (key, node) in &table.0 {
        if let Some(target) = target(&key.name, node, root.mistakes) {
            targets.insert(key.name.clone(), target);
        }
    }
    targets
}

fn target(name: &str, node: &Node, mistakes: &Mistakes) -> Option<TargetFile> {
    use wire::postgres::Protocol::{Extended, Prepared, Simple};
    let what = format!("[targets.{name}]");
    let fields = Fields::new(node, &what, mistakes)?;
    let (url, conninfo) = (fields.get("url"), fields.get("conninfo"));
    match (url, conninfo) {
        (Some(_), Some(conninfo)) => {
            let message = format!("{what} has `url` and `conninfo`: it can be one thing only");
            let help = "make two targets of it";
            mistakes.push(Mistake::error(&conninfo.place, message).help(help));
        }
        (None, None) => {
            let message = format!("{what} has neither `url` nor `conninfo`");
            let help = "give it url = \"http://HOST:PORT/graphql\", or conninfo = \"host=HOST …\"";
            fields.missing_all(&["url", "conninfo"], message, help);
        }
        _ => {}
    }
    if let Some(node) = url
        && let Some(text) = fields::text(node, "url", mistakes)
        && let Err(problem) = Endpoint::parse(text)
    {
        let help = "write it as in http://127.0.0.1:4000/graphql";
        mistakes.push(Mistake::error(&node.place, format!("`url`: {problem}")).help(help));
    }
    let text = |name| fields.text(name).map(str::to_owned);
    let checked = |name, node: &Node| {
        let text = fields::text(node, name, mistakes)?;
        let place = &node.place;
        if let Err(error) = Conninfo::parse(text) {
            let help = match error {
                ConninfoError::Syntax(_) | ConninfoError::Unknown(_) => {
                    "write it as in \"host=127.0.0.1 port=6432 dbname=nova user=nova\""
                }
                _ => "see the Postgres manual, 34.1.1 \"Connection Strings\"",
            };
            let problem = error.to_string().replace("invalid connection string: ", "");
            mistakes.push(Mistake::error(place, format!("`{name}`: {problem}")).help(help));
        }
        Some(text.to_owned())
    };
    let connection = |name| checked(name, fields.get(name)?);
    let connections = |name| match fields.get(name) {
        Some(Node { value: Value::List(nodes), .. }) => nodes.iter().collect(),
        node => Vec::from_iter(node),
    };
    let consoles = connections("console").into_iter();
    let words = [("simple", Simple), ("extended", Extended), ("prepared", Prepared)];
    let target = TargetFile {
        url: text("url"),
        conninfo: connection("conninfo"),
        protocol: fields.word("protocol", &words).unwrap_or(Extended),
        unnamed_fallback: fields.boolean("unnamed_fallback").unwrap_or(false),
        consoles: consoles.filter_map(|node| checked("console", node)).collect(),
        observer: connection("observer"),
        backends: text("backends"),
        node: node.clone(),
    };
    fields.finish();
    Some(target)
}

/// A GraphQL endpoint, taken apart.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it speaks HTTPS.
    pub(crate) is_secured: bool,
    /// As in the Host header.
    pub(super) authority: String,
    pub(super) path: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let is_secured = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{url:?} does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        if authority.host().is_empty() {
            return Err(format!("{url:?} names no host"));
        }
        Ok(Self {
            host: authority.host().into(),
            port: authority.port_u16().unwrap_or(if is_secured { 443 } else { 80 }),
            is_secured,
            authority: authority.as_str().into(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        })
    }
}

/// Reads `[processes]`: by target, the pid of its process on this machine, a file that holds it, or
/// the folder of its control group; a list of these where several processes are the target.
pub(super) fn processes(root: &Fields<'_>) -> BTreeMap<String, Vec<String>> {
    let places = |node: &Node, name: &str| match &node.value {
        Value::List(nodes) if !nodes.is_empty() => {
            nodes.iter().map(|node| text_or_number(node, name, root.mistakes)).collect()
        }
        _ => text_or_number(node, name, root.mistakes).map(|place| vec![place]),
    };
    table(root, "processes", places)
}

/// Reads `[tags]`: what every series of the run is marked with.
pub(super) fn tags(root: &Fields<'_>) -> BTreeMap<String, String> {
    table(root, "tags", |node, name| text_or_number(node, name, root.mistakes))
}

/// A table whose values are read by `read`.
fn table<T>(
    root: &Fields<'_>,
    name: &'static str,
    read: impl Fn(&Node, &str) -> Option<T>,
) -> BTreeMap<String, T> {
    let entries = root.get(name).and_then(|_| root.entries(name));
    let entries = entries.map_or(&[][..], |table| &table.0);
    entries
        .iter()
        .filter_map(|(key, node)| Some((key.name.clone(), read(node, &key.name)?)))
        .collect()
}

/// A text; a whole number is taken as it is written.
fn text_or_number(node: &Node, name: &str, mistakes: &Mistakes) -> Option<String> {
    match &node.value {
        Value::Integer(number) => Some(number.to_string()),
        _ => fields::text(node, name, mistakes).map(Into::into),
    }
}
