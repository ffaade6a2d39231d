//! Who logs in, and how a password is proved (Postgres manual, 55.2.2 "Start-up", 55.3 "SASL
//! Authentication"; RFC 5802 and RFC 7677 for SCRAM-SHA-256).

use std::{fmt, io};

use bytes::BytesMut;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::frontend,
};

use super::method::iterations;

/// A server that asks for more rounds than this would only burn our CPU: Postgres' default is
/// 4,096, and OWASP's advice for PBKDF2-HMAC-SHA256 is 600,000.
const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// What a connection says of itself at its start.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    database: String,
    application_name: String,
    options: Option<String>,
    /// Whether it asks for UTF-8.
    has_encoding: bool,
    password: Option<Vec<u8>>,
    channel_binding: ChannelBinding,
}

/// Whether a login is bound to its TLS connection, so that nobody in between can pass it on:
/// libpq's channel_binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Or there is no login.
    Require,
}

/// What a connection goes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Nothing that a login could be bound to.
    Plain,
    /// TLS. The hash of the server's certificate binds a login to it, where there is one.
    Tls { end_point: Option<Vec<u8>> },
}

/// A login that can't be put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginError;

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("user, database, application_name and password can't hold a zero byte")
    }
}

impl std::error::Error for LoginError {}

/// The password stays out of every output.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("database", &self.database)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// A login. An empty password is none. Any bytes can be one: SCRAM prepares those that are
    /// UTF-8 (SASLprep, RFC 4013), and takes others as they are, like the server.
    pub fn new(
        user: &str,
        database: &str,
        application_name: &str,
        password: Option<&[u8]>,
    ) -> Result<Self, LoginError> {
        let password = password.filter(|password| !password.is_empty());
        let texts = [user, database, application_name].map(str::as_bytes);
        if texts.into_iter().chain(password).any(|part| part.contains(&0)) {
            return Err(LoginError);
        }
        Ok(Self {
            user: user.into(),
            database: database.into(),
            application_name: application_name.into(),
            options: None,
            has_encoding: true,
            password: password.map(Into::into),
            channel_binding: ChannelBinding::default(),
        })
    }

    /// The same login, with command-line options for the server, as in `-c TimeZone=UTC` (Postgres
    /// manual, 34.1.2 "Parameter Key Words"). PgBouncer before 1.20 refuses them.
    pub fn with_options(mut self, options: &str) -> Result<Self, LoginError> {
        if options.contains('\0') {
            return Err(LoginError);
        }
        self.options = Some(options.into());
        Ok(self)
    }

    /// The same login, which does not ask for UTF-8: texts are in the encoding that the server has for
    /// the client.
    pub fn in_servers_encoding(mut self) -> Self {
        self.has_encoding = false;
        self
    }

    /// The same login, bound to its TLS connection as `channel_binding` says.
    pub fn bound(mut self, channel_binding: ChannelBinding) -> Self {
        self.channel_binding = channel_binding;
        self
    }

    /// Appends the StartupMessage. Only what PgBouncer takes, unless more was asked for: it rejects
    /// parameters it can't track.
    pub(super) fn startup(&self, out: &mut BytesMut) {
        let parameters = [
            ("user", self.user.as_str()),
            ("database", &self.database),
            ("application_name", &self.application_name),
        ];
        let encoding = self.has_encoding.then_some(("client_encoding", "UTF8"));
        let options = self.options.as_deref().map(|options| ("options", options));
        frontend::startup_message(parameters.into_iter().chain(encoding).chain(options), out)
            .expect("checked for zero bytes");
    }
}

/// What a server's Authentication message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `out` holds the answer.
    Answer,
    /// Nothing to say; more is to come.
    Wait,
    /// The server is content.
    Done {
        /// Whether the login is bound to the TLS connection.
        is_bound: bool,
    },
}

/// Why a login can't go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Our credentials don't do.
    Auth(String),
    /// Channel binding is required, and the server does without.
    Unbound(&'static str),
    /// The server broke the protocol.
    Protocol(String),
}

/// How far a login has come.
#[derive(Default)]
pub(super) enum Authentication {
    /// Nothing was asked.
    #[default]
    Begun,
    /// SCRAM: the client's first message went out.
    ScramFirst(Scram),
    /// SCRAM: the proof went out; the server must prove that it knows the password too.
    ScramProof(Scram),
    /// A password went out.
    Answered,
    /// SCRAM: the server proved itself.
    Proved { is_bound: bool },
}

/// A SCRAM exchange, and whether it is bound to the TLS connection.
pub(super) struct Scram {
    exchange: Box<ScramSha256>,
    is_bound: bool,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authentication::Begun => "Begun",
            Authentication::ScramFirst(_) => "ScramFirst",
            Authentication::ScramProof(_) => "ScramProof",
            Authentication::Answered => "Answered",
            Authentication::Proved { .. } => "Proved",
        })
    }
}

impl Authentication {
    /// Takes the body of one Authentication message (Postgres manual, 55.7 "Message Formats").
    pub(super) fn receive(
        &mut self,
        login: &Login,
        channel: &Channel,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<Step, Refusal> {
        let Some((kind, data)) = body.split_first_chunk() else {
            return Err(Refusal::Protocol("an Authentication message without a kind".into()));
        };
        let kind = i32::from_be_bytes(*kind);
        let is_proved = matches!(self, Self::Proved { is_bound: true });
        let goes_without = kind == 0 && !is_proved || matches!(kind, 3 | 5);
        if login.channel_binding == ChannelBinding::Require && goes_without {
            return Err(Refusal::Unbound("the server logs in without it"));
        }
        match (kind, std::mem::take(self)) {
            (0, Self::Begun | Self::Answered) => Ok(Step::Done { is_bound: false }),
            (0, Self::Proved { is_bound }) => Ok(Step::Done { is_bound }),
            (0, _) => Err(Refusal::Protocol("the server skipped the end of SCRAM".into())),
            (3, Self::Begun) => {
                frontend::password_message(login.password()?, out).map_err(ours)?;
                *self = Self::Answered;
                Ok(Step::Answer)
            }
            (5, Self::Begun) => {
                let salt = data.try_into().map_err(|_| Refusal::Protocol("md5 salt".into()))?;
                let password = login.password()?;
                let hash = md5_hash(login.user.as_bytes(), password, salt);
                frontend::password_message(hash.as_bytes(), out).map_err(ours)?;
                *self = Self::Answered;
                Ok(Step::Answer)
            }
            (10, Self::Begun) => {
                let (mechanism, binding, is_bound) = login.mechanism(channel, data)?;
                let scram = ScramSha256::new(login.password()?, binding);
                frontend::sasl_initial_response(mechanism, scram.message(), out).map_err(ours)?;
                *self = Self::ScramFirst(Scram { exchange: Box::new(scram), is_bound });
                Ok(Step::Answer)
            }
            (11, Self::ScramFirst(mut scram)) => {
                check_iterations(data)?;
                scram.exchange.update(data).map_err(theirs)?;
                frontend::sasl_response(scram.exchange.message(), out).map_err(ours)?;
                *self = Self::ScramProof(scram);
                Ok(Step::Answer)
            }
            (12, Self::ScramProof(mut scram)) => {
                // postgres-protocol takes `e=` for trailing data; its reason is worth reading.
                if let Some(reason) = data.strip_prefix(b"e=") {
                    return Err(Refusal::Auth(String::from_utf8_lossy(reason).into_owned()));
                }
                scram.exchange.finish(data).map_err(theirs)?;
                *self = Self::Proved { is_bound: scram.is_bound };
                Ok(Step::Wait)
            }
            (kind @ (2 | 6 | 7 | 8 | 9), _) => Err(Refusal::Auth(format!(
                "the server asks for authentication method {kind} (Kerberos, GSSAPI or SSPI), \
                 which is not supported: use scram-sha-256, md5, password or trust"
            ))),
            (kind, state) => Err(Refusal::Protocol(format!(
                "Authentication message {kind} does not fit here ({state:?})"
            ))),
        }
    }
}

impl Login {
    /// Chooses among the mechanisms that the server offers, as libpq does (RFC 5802, section 6):
    /// bound where both sides can; and where only we can, the server is told so, which it would
    /// notice if somebody in between had struck its offer out.
    fn mechanism(
        &self,
        channel: &Channel,
        offered: &[u8],
    ) -> Result<(&'static str, sasl::ChannelBinding, bool), Refusal> {
        let offers =
            |name: &str| offered.split(|byte| *byte == 0).any(|one| one == name.as_bytes());
        let end_point = match channel {
            Channel::Tls { end_point: Some(hash) }
                if self.channel_binding != ChannelBinding::Disable =>
            {
                Some(hash)
            }
            _ => None,
        };
        match end_point {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                let binding = sasl::ChannelBinding::tls_server_end_point(hash.clone());
                return Ok((SCRAM_SHA_256_PLUS, binding, true));
            }
            _ if self.channel_binding == ChannelBinding::Require => {
                return Err(Refusal::Unbound(match (channel, end_point) {
                    (Channel::Plain, _) => "it needs TLS",
                    (_, None) => "the server's certificate has no hash for it",
                    _ => "the server does not offer it",
                }));
            }
            _ => {}
        }
        if !offers(SCRAM_SHA_256) {
            let offered = String::from_utf8_lossy(offered).replace('\0', " ");
            return Err(Refusal::Auth(format!(
                "the server offers only the SASL mechanisms {offered}, we speak SCRAM-SHA-256"
            )));
        }
        let binding = match end_point {
            Some(_) => sasl::ChannelBinding::unrequested(),
            None => sasl::ChannelBinding::unsupported(),
        };
        Ok((SCRAM_SHA_256, binding, false))
    }

    fn password(&self) -> Result<&[u8], Refusal> {
        self.password
            .as_deref()
            .ok_or_else(|| Refusal::Auth("the server asks for a password, none is set".into()))
    }
}

/// postgres-protocol takes any iteration count from the peer.
fn check_iterations(server_first: &[u8]) -> Result<(), Refusal> {
    match iterations(server_first) {
        Some(1..=SCRAM_ITERATIONS_MAX) => Ok(()),
        count => Err(Refusal::Protocol(format!(
            "SCRAM iteration count {count:?} is not between 1 and {SCRAM_ITERATIONS_MAX}"
        ))),
    }
}

fn ours(error: io::Error) -> Refusal {
    Refusal::Auth(error.to_string())
}

fn theirs(error: io::Error) -> Refusal {
    Refusal::Protocol(format!("SCRAM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(password: Option<&str>) -> Login {
        Login::new("nova", "nova", "poolbench", password.map(str::as_bytes)).unwrap()
    }

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], data].concat()
    }

    #[test]
    fn a_zero_byte_is_refused_before_it_reaches_the_wire() {
        assert_eq!(Login::new("a\0b", "d", "p", None), Err(LoginError));
        assert_eq!(Login::new("a", "d", "p", Some(b"x\0")), Err(LoginError));
    }

    #[test]
    fn the_password_is_in_no_debug_output() {
        assert!(!format!("{:?}", login(Some("hunter2"))).contains("hunter2"));
    }

    #[test]
    fn cleartext_and_md5_answers_are_what_the_manual_says() {
        let mut out = BytesMut::new();
        let step = Authentication::Begun.receive(
            &login(Some("secret")),
            &Channel::Plain,
            &message(3, b""),
            &mut out,
        );
        assert_eq!((step, &out[..]), (Ok(Step::Answer), &b"p\0\0\0\x0bsecret\0"[..]));

        let mut out = BytesMut::new();
        let step = Authentication::Begun.receive(
            &login(Some("secret")),
            &Channel::Plain,
            &message(5, b"abcd"),
            &mut out,
        );
        assert_eq!(step, Ok(Step::Answer));
        assert!(out.starts_with(b"p\0\0\0\x28md5"), "{out:?}");
    }

    #[test]
    fn a_missing_password_and_a_foreign_method_are_named() {
        let mut out = BytesMut::new();
        for (kind, words) in [(3, "none is set"), (7, "not supported")] {
            let refused = Authentication::Begun.receive(
                &login(None),
                &Channel::Plain,
                &message(kind, b""),
                &mut out,
            );
            assert!(matches!(&refused, Err(Refusal::Auth(text)) if text.contains(words)));
        }
    }

    #[test]
    fn a_server_can_neither_skip_its_proof_nor_ask_for_endless_rounds() {
        let login = login(Some("secret"));
        let mut out = BytesMut::new();
        let mut state = Authentication::Begun;
        assert_eq!(
            state.receive(&login, &Channel::Plain, &message(10, b"SCRAM-SHA-256\0\0"), &mut out),
            Ok(Step::Answer)
        );
        let mut early = std::mem::take(&mut state);
        let endless = early.receive(
            &login,
            &Channel::Plain,
            &message(11, b"r=x,s=YQ==,i=4294967295"),
            &mut out,
        );
        assert!(matches!(endless, Err(Refusal::Protocol(text)) if text.contains("iteration")));

        let mut state = Authentication::Begun;
        let _ =
            state.receive(&login, &Channel::Plain, &message(10, b"SCRAM-SHA-256\0\0"), &mut out);
        let skipped = state.receive(&login, &Channel::Plain, &message(0, b""), &mut out);
        assert!(matches!(skipped, Err(Refusal::Protocol(text)) if text.contains("skipped")));
    }
}
