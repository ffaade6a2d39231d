//! Who logs in, and how a password is proved (Postgres manual, 55.2.2 "Start-up", 55.3 "SASL
//! Authentication"; RFC 5802 and RFC 7677 for SCRAM-SHA-256).

use std::{fmt, io};

use bytes::BytesMut;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::frontend,
};

/// A server that asks for more rounds than this would only burn our CPU: Postgres' default is
/// 4,096, and OWASP's advice for PBKDF2-HMAC-SHA256 is 600,000.
const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// What a connection says of itself at its start.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    database: String,
    application_name: String,
    password: Option<String>,
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
    /// A login. An empty password is none.
    pub fn new(
        user: &str,
        database: &str,
        application_name: &str,
        password: Option<&str>,
    ) -> Result<Self, LoginError> {
        let password = password.filter(|password| !password.is_empty());
        let parts = [user, database, application_name, password.unwrap_or("")];
        if parts.iter().any(|part| part.contains('\0')) {
            return Err(LoginError);
        }
        Ok(Self {
            user: user.into(),
            database: database.into(),
            application_name: application_name.into(),
            password: password.map(Into::into),
        })
    }

    /// Appends the StartupMessage. Only what PgBouncer takes: it rejects parameters it can't track.
    pub(super) fn startup(&self, out: &mut BytesMut) {
        let parameters = [
            ("user", self.user.as_str()),
            ("database", &self.database),
            ("application_name", &self.application_name),
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, out).expect("checked for zero bytes");
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
    Done,
}

/// Why a login can't go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Our credentials don't do.
    Auth(String),
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
    ScramFirst(Box<ScramSha256>),
    /// SCRAM: the proof went out; the server must prove that it knows the password too.
    ScramProof(Box<ScramSha256>),
    /// A password went out, or the server proved itself.
    Answered,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authentication::Begun => "Begun",
            Authentication::ScramFirst(_) => "ScramFirst",
            Authentication::ScramProof(_) => "ScramProof",
            Authentication::Answered => "Answered",
        })
    }
}

impl Authentication {
    /// Takes the body of one Authentication message (Postgres manual, 55.7 "Message Formats").
    pub(super) fn receive(
        &mut self,
        login: &Login,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<Step, Refusal> {
        let Some((kind, data)) = body.split_first_chunk() else {
            return Err(Refusal::Protocol("an Authentication message without a kind".into()));
        };
        match (i32::from_be_bytes(*kind), std::mem::take(self)) {
            (0, Self::Begun | Self::Answered) => Ok(Step::Done),
            (0, _) => Err(Refusal::Protocol("the server skipped the end of SCRAM".into())),
            (3, Self::Begun) => {
                frontend::password_message(login.password()?.as_bytes(), out).map_err(ours)?;
                *self = Self::Answered;
                Ok(Step::Answer)
            }
            (5, Self::Begun) => {
                let salt = data.try_into().map_err(|_| Refusal::Protocol("md5 salt".into()))?;
                let password = login.password()?.as_bytes();
                let hash = md5_hash(login.user.as_bytes(), password, salt);
                frontend::password_message(hash.as_bytes(), out).map_err(ours)?;
                *self = Self::Answered;
                Ok(Step::Answer)
            }
            (10, Self::Begun) => {
                if !data.split(|byte| *byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes()) {
                    let offered = String::from_utf8_lossy(data).replace('\0', " ");
                    return Err(Refusal::Auth(format!(
                        "the server offers only the SASL mechanisms {offered}, we speak SCRAM-SHA-256"
                    )));
                }
                let password = login.password()?.as_bytes();
                let scram = ScramSha256::new(password, ChannelBinding::unsupported());
                frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out)
                    .map_err(ours)?;
                *self = Self::ScramFirst(Box::new(scram));
                Ok(Step::Answer)
            }
            (11, Self::ScramFirst(mut scram)) => {
                check_iterations(data)?;
                scram.update(data).map_err(theirs)?;
                frontend::sasl_response(scram.message(), out).map_err(ours)?;
                *self = Self::ScramProof(scram);
                Ok(Step::Answer)
            }
            (12, Self::ScramProof(mut scram)) => {
                // postgres-protocol takes `e=` for trailing data; its reason is worth reading.
                if let Some(reason) = data.strip_prefix(b"e=") {
                    return Err(Refusal::Auth(String::from_utf8_lossy(reason).into_owned()));
                }
                scram.finish(data).map_err(theirs)?;
                *self = Self::Answered;
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
    fn password(&self) -> Result<&str, Refusal> {
        self.password
            .as_deref()
            .ok_or_else(|| Refusal::Auth("the server asks for a password, none is set".into()))
    }
}

/// postgres-protocol takes any iteration count from the peer.
fn check_iterations(server_first: &[u8]) -> Result<(), Refusal> {
    let mut fields = server_first.split(|byte| *byte == b',');
    let count = fields
        .find_map(|field| field.strip_prefix(b"i="))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    match count {
        Some(1..=SCRAM_ITERATIONS_MAX) => Ok(()),
        _ => Err(Refusal::Protocol(format!(
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
        Login::new("nova", "nova", "poolbench", password).unwrap()
    }

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], data].concat()
    }

    #[test]
    fn a_zero_byte_is_refused_before_it_reaches_the_wire() {
        assert_eq!(Login::new("a\0b", "d", "p", None), Err(LoginError));
        assert_eq!(Login::new("a", "d", "p", Some("x\0")), Err(LoginError));
    }

    #[test]
    fn the_password_is_in_no_debug_output() {
        assert!(!format!("{:?}", login(Some("hunter2"))).contains("hunter2"));
    }

    #[test]
    fn cleartext_and_md5_answers_are_what_the_manual_says() {
        let mut out = BytesMut::new();
        let step =
            Authentication::Begun.receive(&login(Some("secret")), &message(3, b""), &mut out);
        assert_eq!((step, &out[..]), (Ok(Step::Answer), &b"p\0\0\0\x0bsecret\0"[..]));

        let mut out = BytesMut::new();
        let step =
            Authentication::Begun.receive(&login(Some("secret")), &message(5, b"abcd"), &mut out);
        assert_eq!(step, Ok(Step::Answer));
        assert!(out.starts_with(b"p\0\0\0\x28md5"), "{out:?}");
    }

    #[test]
    fn a_missing_password_and_a_foreign_method_are_named() {
        let mut out = BytesMut::new();
        for (kind, words) in [(3, "none is set"), (7, "not supported")] {
            let refused =
                Authentication::Begun.receive(&login(None), &message(kind, b""), &mut out);
            assert!(matches!(&refused, Err(Refusal::Auth(text)) if text.contains(words)));
        }
    }

    #[test]
    fn a_server_can_neither_skip_its_proof_nor_ask_for_endless_rounds() {
        let login = login(Some("secret"));
        let mut out = BytesMut::new();
        let mut state = Authentication::Begun;
        assert_eq!(
            state.receive(&login, &message(10, b"SCRAM-SHA-256\0\0"), &mut out),
            Ok(Step::Answer)
        );
        let mut early = std::mem::take(&mut state);
        let endless = early.receive(&login, &message(11, b"r=x,s=YQ==,i=4294967295"), &mut out);
        assert!(matches!(endless, Err(Refusal::Protocol(text)) if text.contains("iteration")));

        let mut state = Authentication::Begun;
        let _ = state.receive(&login, &message(10, b"SCRAM-SHA-256\0\0"), &mut out);
        let skipped = state.receive(&login, &message(0, b""), &mut out);
        assert!(matches!(skipped, Err(Refusal::Protocol(text)) if text.contains("skipped")));
    }
}
