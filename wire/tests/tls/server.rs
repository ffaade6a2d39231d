//! A TLS server in memory, with a scripted protocol behind it, and certificates to give it.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use wire::http;
use wire::postgres::{self, ChannelBinding, Login, Protocol, Statement};
use wire::tls::{Begin, Config, Identity, Settings, TimeProvider, UnixTime, Verification};
use wire::{Operation, Piece, Progress, Request, Session, Template, Values};

/// 2030-01-01, at which every certificate here is valid if nothing else is said.
pub(crate) const NOW: u64 = 1_893_456_000;

#[derive(Debug)]
struct FixedClock(u64);

impl TimeProvider for FixedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// An authority that the tests trust.
pub(crate) static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
});

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Pair {
    /// For `name`, signed by [`AUTHORITY`].
    pub(crate) fn signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &AUTHORITY).unwrap();
        Self { certificate, key }
    }

    /// For `name`, signed by itself, as an authority or not.
    pub(crate) fn self_signed(name: &str, is_ca: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Self { certificate: parameters.self_signed(&key).unwrap(), key }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn identity(&self) -> Identity {
        let (certificate, key) = (self.certificate.pem(), self.key.serialize_pem());
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// How a server of these tests is set up.
pub(crate) struct Setup {
    pub(crate) pair: Pair,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) wants_certificate: bool,
    pub(crate) version: Option<&'static rustls::SupportedProtocolVersion>,
}

impl Setup {
    pub(crate) fn new(pair: Pair) -> Self {
        Self { pair, alpn: Vec::new(), wants_certificate: false, version: None }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let versions = self.version.map_or(rustls::ALL_VERSIONS.to_vec(), |version| vec![version]);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .unwrap();
        let builder = if self.wants_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(AUTHORITY.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(self.pair.key.serialize_der().into());
        let mut config = builder.with_single_cert(vec![self.pair.der()], key).unwrap();
        config.alpn_protocols = self.alpn.clone();
        Arc::new(config)
    }
}

/// Settings of a client of `host` that trusts [`AUTHORITY`] and checks everything.
pub(crate) fn settings(host: &str, begin: Begin) -> Settings {
    Settings {
        host: host.to_owned(),
        begin,
        verification: Verification::IssuerAndName,
        trusted: vec![AUTHORITY.der().clone()],
        identity: None,
        versions: [true, true],
        clock: Arc::new(FixedClock(NOW)),
    }
}

pub(crate) fn at(settings: Settings, now: u64) -> Settings {
    Settings { clock: Arc::new(FixedClock(now)), ..settings }
}

pub(crate) fn https(settings: Settings) -> Session {
    let config = Arc::new(Config::new(settings).unwrap());
    let inner = Session::Http(http::Session::new());
    Session::Tls(Box::new(wire::tls::Session::new(config, inner)))
}

pub(crate) fn postgres(settings: Settings, binding: ChannelBinding) -> Session {
    let config = Arc::new(Config::new(settings).unwrap());
    let login = Login::new("nova", "nova", "poolbench", Some(b"secret")).unwrap().bound(binding);
    let inner = Session::Postgres(postgres::Session::new(Arc::new(login), []));
    Session::Tls(Box::new(wire::tls::Session::new(config, inner)))
}

/// A GraphQL query, made longer by `padding`.
pub(crate) fn http_query(padding: &str) -> Operation {
    let body = format!("{{\"query\":\"{{a}}{padding}\"}}").into_bytes();
    let body = Template::new(vec![Piece::Bytes(body.into())]);
    let request = http::Request::new("/graphql", "db.example", body).unwrap();
    Operation {
        name: "one".into(),
        idempotent: true,
        request: Request::Http(request),
        checks: Vec::new(),
    }
}

fn sql_query() -> Operation {
    let statement = Statement::new("SELECT 1", &[], Protocol::Extended, "one").unwrap();
    Operation {
        name: "one".into(),
        idempotent: true,
        request: Request::Postgres(statement),
        checks: Vec::new(),
    }
}

/// One Postgres message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What the protocol behind TLS says to what it is told, and in the clear where there is no TLS.
pub(crate) type Script = fn(&[u8]) -> Vec<u8>;

/// HTTP: every request is answered.
pub(crate) fn web(request: &[u8]) -> Vec<u8> {
    assert!(request.starts_with(b"POST /graphql HTTP/1.1\r\n"), "{}", request.escape_ascii());
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"data\":{\"a\":1}}".to_vec()
}

/// Postgres: lets anybody in, and answers every query.
pub(crate) fn trust(request: &[u8]) -> Vec<u8> {
    let ready = message(b'Z', b"I");
    match request[0] {
        0 => [message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), message(b'K', &[0; 8]), ready]
            .concat(),
        _ => {
            let row = message(b'D', b"\0\x01\0\0\0\x011");
            [message(b'1', b""), message(b'2', b""), message(b'T', &[0, 0]), row]
                .into_iter()
                .chain([message(b'C', b"SELECT 1\0"), ready])
                .collect::<Vec<_>>()
                .concat()
        }
    }
}

/// Postgres: `pg_hba.conf` has no line for us.
pub(crate) fn refuse(_: &[u8]) -> Vec<u8> {
    message(b'E', b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0")
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A server's side of one connection.
pub(crate) struct Server {
    tls: Option<ServerConnection>,
    config: Arc<ServerConfig>,
    /// What answers an SSLRequest.
    answer: &'static [u8],
    secured: Script,
    plain: Script,
}

impl Server {
    pub(crate) fn new(setup: &Setup, is_direct: bool, secured: Script) -> Self {
        let config = setup.config();
        let tls = is_direct.then(|| ServerConnection::new(Arc::clone(&config)).unwrap());
        Self { tls, config, answer: b"S", secured, plain: |_| panic!("nothing in the clear") }
    }

    /// Answers an SSLRequest with `answer`, and what is said in the clear with `plain`.
    pub(crate) fn answering(self, answer: &'static [u8], plain: Script) -> Self {
        Self { answer, plain, ..self }
    }

    /// What it says to what it is told.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(tls) = &mut self.tls else {
            if bytes == SSL_REQUEST {
                if self.answer == b"S" {
                    self.tls = Some(ServerConnection::new(Arc::clone(&self.config)).unwrap());
                }
                return self.answer.to_vec();
            }
            return (self.plain)(bytes);
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).unwrap();
            // Where it fails, its alert tells the client.
            if tls.process_new_packets().is_err() {
                break;
            }
        }
        let mut plain = Vec::new();
        let _ = tls.reader().read_to_end(&mut plain);
        if !plain.is_empty() {
            tls.set_buffer_limit(None);
            tls.writer().write_all(&(self.secured)(&plain)).unwrap();
        }
        while tls.wants_write() {
            tls.write_tls(&mut out).unwrap();
        }
        out
    }
}

/// Plays one connection: opens it, and sends `requests` queries. What the server says comes in
/// pieces of the lengths in `cuts`, over and over. Returns every event but NeedMore and Write.
pub(crate) fn play(
    session: &mut Session,
    server: &mut Server,
    requests: usize,
    cuts: &[usize],
) -> Vec<Progress> {
    let is_http = format!("{session:?}").contains("inner: Http");
    let operation = if is_http { http_query("") } else { sql_query() };
    let mut out = BytesMut::new();
    let mut events = Vec::new();
    let mut asked = 0;
    let mut cuts = cuts.iter().copied().cycle();
    session.open(&mut out);
    while !out.is_empty() {
        let reply = server.receive(&out);
        out.clear();
        let mut is_ready = false;
        let mut rest = &reply[..];
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(cuts.next().unwrap().clamp(1, rest.len()));
            rest = after;
            while !piece.is_empty() {
                let mut new = BytesMut::new();
                let progress = session.receive(&mut piece, &mut new);
                out.extend_from_slice(&new);
                match progress {
                    Progress::NeedMore | Progress::Write => {}
                    progress => {
                        events.push(progress);
                        is_ready |= matches!(progress, Progress::Ready | Progress::Response(_));
                        if matches!(progress, Progress::Refused(_) | Progress::Reconnect) {
                            return events;
                        }
                    }
                }
            }
        }
        if is_ready && session.is_reusable() && asked < requests {
            asked += 1;
            session.request(&operation, &Values::new(), &mut out);
        }
    }
    events
}
