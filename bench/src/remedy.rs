//! What to do about a target that does not do its part: one line that names both.

use std::time::SystemTime;

use engine::{Recording, Refusal};
use wire::tls::Fault;
use wire::{Class, Code, Failure, Outcome};

use crate::scenario::{self, Places};

/// The line for a target that refused a connection.
pub(crate) fn refusal(refusal: &Refusal, name: &str, places: &Places) -> String {
    let Outcome::Failed(class) = refusal.outcome else { return String::new() };
    line(name, places, class, &refusal.failure, "")
}

/// The line for a target most of whose requests failed, if they did: the commonest failure.
pub(crate) fn failing(recording: &Recording, name: &str, places: &Places) -> Option<String> {
    if recording.failed() * 2 <= recording.completed() && recording.completed() > 0 {
        return None;
    }
    let whole = recording.whole();
    let commonest = whole.failures().max_by_key(|(_, count, _)| *count);
    let Some((class, count, failure)) = commonest else {
        let silence = Failure::default();
        return Some(line(name, places, Class::Timeout, &silence, "no request was answered: "));
    };
    let share = format!("{count} of {} requests failed: ", recording.completed());
    Some(line(name, places, class, failure.unwrap_or(&Failure::default()), &share))
}

/// The line for a target that lost a prepared statement's name, however seldom it did.
pub(crate) fn lost_names(recording: &Recording, name: &str, places: &Places) -> Option<String> {
    let whole = recording.whole();
    let (class, count, failure) = whole.failures().find(|(class, _, failure)| {
        let code = failure.map(|failure| failure.code);
        let is_name = |state| matches!(&state, b"26000" | b"42P05");
        *class == Class::PoolingIncompatible
            && matches!(code, Some(Code::SqlState(state)) if is_name(state))
    })?;
    let share = format!("{count} of {} requests failed: ", recording.completed());
    Some(line(name, places, class, failure.unwrap_or(&Failure::default()), &share))
}

fn line(name: &str, places: &Places, class: Class, failure: &Failure, share: &str) -> String {
    let place = places.get(name).map(String::as_str).unwrap_or_default();
    let code = match failure.code {
        Code::None => String::new(),
        Code::Tls(fault) if failure.message == fault.words() => "TLS: ".into(),
        code => format!("{code}: "),
    };
    let message = failure.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = if message.is_empty() { class.name() } else { &message };
    let remedy = match (class, failure.code, places.token_expiry) {
        (Class::Auth, Code::Status(_), Some(expiry)) => {
            let told = scenario::describe_expiry(expiry, SystemTime::now());
            format!("the token {told}; {}", remedy(class, failure, name, place))
        }
        (Class::Auth, ..) if is_for_lack_of_tls(message) => secure(name),
        _ if places.are_of_pgbench
            && let Some(remedy) = of_pgbench(class, message) =>
        {
            remedy.into()
        }
        _ => remedy(class, failure, name, place),
    };
    format!("target {name} ({place}): {share}{code}{message}; {remedy}")
}

/// Where it is not a line of a scenario file that is to be changed.
fn of_pgbench(class: Class, message: &str) -> Option<&'static str> {
    match class {
        Class::ConnectFailed if !message.contains("open files") => {
            Some("is it running, and are -h and -p, or its connection string, right?")
        }
        Class::Auth => Some("check -U and the password (PGPASSWORD, ~/.pgpass)"),
        Class::Capacity => Some("it takes no more connections: lower -c, or raise its limit"),
        Class::Unavailable if names_database(message) => {
            Some("is the database's name right, and is that database open?")
        }
        Class::PoolingIncompatible if message.contains("prepared statement") => Some(
            "the pooler hands prepared statements to servers that have none of them: use -M \
             extended, or session pooling",
        ),
        Class::Sql => Some("are the tables there that the script needs (pgbench -i)?"),
        _ => None,
    }
}

fn remedy(class: Class, failure: &Failure, name: &str, place: &str) -> String {
    let is_http = matches!(failure.code, Code::Status(_));
    match class {
        Class::ConnectFailed if failure.message.contains("open files") => {
            "it needs one for each connection: raise the hard limit (ulimit -Hn), or open fewer \
             connections"
                .into()
        }
        Class::ConnectFailed => {
            format!("is it running, and is its address in targets.{name} right?")
        }
        Class::Timeout => "is it overloaded, or does something in between drop packets?".into(),
        Class::Auth if is_http => "check [auth]: jwt (JWT_TOKEN) or login".into(),
        Class::Auth => format!("check user and password in targets.{name}.conninfo"),
        Class::NotGraphql | Class::Status | Class::MediaType => {
            format!("is targets.{name}.url the GraphQL endpoint, with its path?")
        }
        Class::ContentEncoding => {
            "switch compression off for clients that do not ask for it".into()
        }
        Class::Capacity => format!(
            "it takes no more connections: lower --connections, or raise its limit ({name})"
        ),
        Class::WaitTimeout => {
            "the pool is too small for the load: raise default_pool_size or lower --rate".into()
        }
        Class::Unavailable if names_database(&failure.message) => {
            format!("is dbname in targets.{name}.conninfo right, and is that database open?")
        }
        Class::Unavailable => "is the server behind it up?".into(),
        Class::PoolingIncompatible if failure.message.contains("prepared statement") => format!(
            "the pooler hands prepared statements to servers that have none of them: set protocol \
             = \"extended\" in targets.{name}, or unnamed_fallback = true (--unnamed-fallback), or \
             use session pooling"
        ),
        Class::PoolingIncompatible => {
            format!("the pooler or its pool mode has no such thing: see targets.{name}")
        }
        Class::Protocol => format!("does targets.{name} speak this protocol there?"),
        Class::WrongReply => "the reply belongs to another request: the layer is at fault".into(),
        Class::Tls => match failure.code {
            Code::Tls(fault) => tls(fault, name, place),
            // A pooler that takes no connection without.
            _ => secure(name),
        },
        Class::Cancelled | Class::WrongCancel => {
            "who cancels there: an administrator, or another client whose cancel comes late?".into()
        }
        Class::EmptyReply => "is the data loaded that the variables ask for?".into(),
        Class::GraphqlError | Class::GraphqlPartial | Class::NoData | Class::Sql => {
            "check the operation in the scenario file against the server's schema".into()
        }
        Class::Disconnected
        | Class::StaleConnection
        | Class::TooLarge
        | Class::Retryable
        | Class::PoolerOther => "see the server's log".into(),
    }
}

/// Whether the database does not exist there or is closed, as Postgres and PgBouncer tell it.
fn names_database(message: &str) -> bool {
    message.starts_with("database \"") || message.starts_with("no such database")
}

fn secure(name: &str) -> String {
    format!("set sslmode=require (or verify-full) in targets.{name}.conninfo")
}

/// Postgres has no line in pg_hba.conf for a connection without TLS, and may have one for TLS.
fn is_for_lack_of_tls(message: &str) -> bool {
    message.contains("no pg_hba.conf entry")
        && message.ends_with("no encryption")
        && !message.starts_with("with TLS: ")
}

fn tls(fault: Fault, name: &str, place: &str) -> String {
    let is_http = place.starts_with("http");
    match fault {
        Fault::Expired => "renew it on the server (or is this machine's clock wrong?)".into(),
        Fault::NotYetValid => "is this machine's clock right?".into(),
        Fault::UnknownIssuer if is_http => {
            "name its issuer's certificate in SSL_CERT_FILE, or install it on this machine".into()
        }
        Fault::UnknownIssuer => {
            format!("name its issuer's certificate as sslrootcert in targets.{name}.conninfo")
        }
        Fault::WrongName if is_http => {
            format!("use a name of the certificate in targets.{name}.url")
        }
        Fault::WrongName => format!(
            "use a name of the certificate as host in targets.{name}.conninfo (hostaddr can say \
             where it is), or sslmode=verify-ca"
        ),
        Fault::BadCertificate => "give the server a certificate that is made for servers".into(),
        Fault::NotTls if is_http => format!("use http:// in targets.{name}.url, or another port"),
        Fault::NotTls => {
            format!(
                "leave sslnegotiation=direct out of targets.{name}.conninfo: it needs Postgres 17"
            )
        }
        Fault::Refused => {
            format!("switch it on in the server, or set sslmode=prefer in targets.{name}.conninfo")
        }
        Fault::NothingInCommon if is_http => {
            "the server must take TLS 1.2 or 1.3, and http/1.1".into()
        }
        Fault::NothingInCommon => {
            "the server must take TLS 1.2 or 1.3 (sslnegotiation=direct needs Postgres 17)".into()
        }
        Fault::ClientCertificate if is_http => "client certificates are for Postgres only".into(),
        Fault::ClientCertificate => format!(
            "name one that the server trusts as sslcert, with its sslkey, in targets.{name}.conninfo"
        ),
        Fault::ChannelBinding => format!(
            "the server must use scram-sha-256 over TLS; or set channel_binding=prefer in \
             targets.{name}.conninfo"
        ),
        Fault::Closed if is_http => "does it speak TLS there? See the server's log".into(),
        Fault::Closed => {
            "does it speak TLS there (sslnegotiation=direct needs Postgres 17)? See its log".into()
        }
        Fault::Broken => "see the server's log".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_target_its_place_the_reason_and_the_remedy() {
        let mut failure = Failure::default();
        failure.set(Code::SqlState(*b"28P01"), b"password authentication failed");
        let outcome = Outcome::Failed(Class::Auth);
        let mut places = Places::new();
        places.insert("pooler".into(), "127.0.0.1:6432".into());
        assert_eq!(
            refusal(&Refusal { target: 0, outcome, failure }, "pooler", &places),
            "target pooler (127.0.0.1:6432): SQLSTATE 28P01: password authentication failed; \
             check user and password in targets.pooler.conninfo"
        );
    }

    #[test]
    fn a_fault_of_tls_is_one_line_with_a_remedy_of_its_own() {
        let line = |name: &str, place: &str, class, code, message: &str| {
            let mut failure = Failure::default();
            failure.set(code, message.as_bytes());
            let mut places = Places::new();
            places.insert(name.to_owned(), place.to_owned());
            let outcome = Outcome::Failed(class);
            refusal(&Refusal { target: 0, outcome, failure }, name, &places)
        };
        let fault = |fault: Fault, message| {
            [("pooler", "db:6432"), ("gateway", "https://api/graphql")]
                .map(|(name, place)| line(name, place, Class::Tls, Code::Tls(fault), message))
                .join("\n")
        };
        let refused = Class::Auth;
        let hba = "no pg_hba.conf entry for host \"::1\", user \"nova\", no encryption";
        let lines = [
            fault(Fault::UnknownIssuer, Fault::UnknownIssuer.words()),
            fault(Fault::WrongName, "certificate not valid for name \"db\""),
            fault(Fault::Expired, "certificate expired"),
            fault(Fault::NotTls, "received corrupt message of type InvalidContentType"),
            fault(Fault::ClientCertificate, "the server says CertificateRequired"),
            line(
                "pooler",
                "db:6432",
                Class::Tls,
                Code::Tls(Fault::Refused),
                Fault::Refused.words(),
            ),
            line("pooler", "db:6432", Class::Tls, Code::SqlState(*b"08P01"), "SSL required"),
            line("postgres", "db:5432", refused, Code::SqlState(*b"28000"), hba),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
