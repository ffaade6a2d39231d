//! How a server's certificate is checked: as libpq's sslmode says.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    Verification,
    certificate::{Validity, common_name_is, validity},
};

/// Checks as much as was asked for.
#[derive(Debug)]
pub(super) struct Verifier {
    verification: Verification,
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    /// libpq accepts a common name; HTTPS does not (RFC 9110, section 4.3.4).
    takes_common_name: bool,
}

impl Verifier {
    /// A verifier that trusts `trusted`. Those that can't be read are passed over: a system's
    /// store has some of them.
    pub(super) fn new(
        verification: Verification,
        trusted: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
        takes_common_name: bool,
    ) -> Arc<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Arc::new(Self { verification, trusted, roots, algorithms, takes_common_name })
    }

    fn check_issuer(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A server that shows the very certificate we were given to trust: OpenSSL takes it though
        // it calls itself an authority, and so most self-signed servers are set up.
        if self.trusted.contains(certificate) {
            return match validity(certificate, now) {
                Some(Validity::Valid) => Ok(()),
                Some(Validity::NotYet) => Err(CertificateError::NotValidYet.into()),
                Some(Validity::Expired) => Err(CertificateError::Expired.into()),
                None => Err(CertificateError::BadEncoding.into()),
            };
        }
        let checked = verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        match checked {
            // An issuer of the same name with another key: most often one that was made anew.
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => {
                Err(CertificateError::UnknownIssuer.into())
            }
            checked => checked,
        }
    }

    fn check_name(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let checked = verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
        match checked {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.takes_common_name && common_name_is(certificate, &name.to_str()) => Ok(()),
            checked => checked,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verification != Verification::Nothing {
            self.check_issuer(certificate, intermediates, now)?;
        }
        if self.verification == Verification::IssuerAndName {
            self.check_name(certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
