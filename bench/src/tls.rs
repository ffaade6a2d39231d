//! TLS with the machine's clock and certificates, and for rust-postgres' clients.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::tls::{
    Begin, CertificateDer, Config, Settings, TimeProvider, UnixTime, Verification, end_point_hash,
};

#[derive(Debug)]
struct SystemClock;

impl TimeProvider for SystemClock {
    fn current_time(&self) -> Option<UnixTime> {
        SystemTime::now().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// The wall clock.
pub(crate) fn clock() -> Arc<dyn TimeProvider> {
    Arc::new(SystemClock)
}

/// The certificates that this machine trusts: those of SSL_CERT_FILE and
/// SSL_CERT_DIR, or the system's.
pub(crate) fn system_certificates() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let problem = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!(
            "this machine trusts no certificate{problem}; install ca-certificates, or name a file \
             in SSL_CERT_FILE"
        ));
    }
    Ok(found.certs)
}

/// HTTPS to `host`: its certificate must be for it, and signed by one that this machine trusts.
pub(crate) fn https(host: &str) -> Result<Arc<Config>, String> {
    let settings = Settings {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        begin: Begin::Https,
        verification: Verification::IssuerAndName,
        trusted: system_certificates()?,
        identity: None,
        versions: [true, true],
        clock: clock(),
    };
    Config::new(settings).map(Arc::new).map_err(|error| error.to_string())
}

/// The same for the client that asks for a token.
pub(crate) fn for_ureq(host: &str) -> Result<ureq::tls::TlsConfig, String> {
    use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
    let own = |certificate: CertificateDer<'_>| Certificate::from_der(&certificate).to_owned();
    let roots: Vec<_> = system_certificates()?.into_iter().map(own).collect();
    let provider = Arc::clone(https(host)?.client().crypto_provider());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// TLS for rust-postgres' clients, the same as the load's.
#[derive(Clone)]
pub(crate) struct Secure(pub(crate) Arc<Config>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Secure {
    type Stream = Secured<S>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(self.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Secure {
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connector = tokio_rustls::TlsConnector::from(self.0.client());
        let secured = connector.connect(self.0.server_name(), stream);
        Box::pin(async { secured.await.map(Secured) })
    }
}

/// A secured stream of theirs.
pub(crate) struct Secured<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Secured<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let hash = certificates.and_then(<[_]>::first).and_then(|first| end_point_hash(first));
        hash.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
