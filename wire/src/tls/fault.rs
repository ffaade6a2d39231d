//! Why TLS failed, in the classes that have a remedy each.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error};

/// Why a connection could not be secured, or not be kept secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server's certificate is past its time.
    Expired,
    /// The time of the server's certificate has not come.
    NotYetValid,
    /// No certificate that we trust has signed the server's.
    UnknownIssuer,
    /// The server's certificate is for another name.
    WrongName,
    /// The server's certificate can't be used for another reason.
    BadCertificate,
    /// The server's bytes are no TLS.
    NotTls,
    /// A Postgres server or a pooler says that it does not do TLS.
    Refused,
    /// Nothing that both sides support: no version, no cipher, or no protocol (ALPN).
    NothingInCommon,
    /// The server wants a certificate of ours, or another one.
    ClientCertificate,
    /// Channel binding is required, and could not be had.
    ChannelBinding,
    /// The server closed the connection in the handshake.
    Closed,
    /// The server broke the TLS protocol, or says that we did.
    Broken,
}

impl Fault {
    /// The class of what rustls says. Before the server's first good message, bytes that are no
    /// TLS mean that it speaks something else.
    pub(super) fn of(error: &Error, is_begun: bool) -> Self {
        match error {
            Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                _ => Self::BadCertificate,
            },
            Error::InvalidMessage(_) if !is_begun => Self::NotTls,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::ClientCertificate,
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
                _ => Self::Broken,
            },
            _ => Self::Broken,
        }
    }

    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::UnknownIssuer => "the server's certificate is from an unknown issuer",
            Self::WrongName => "the server's certificate is for another name",
            Self::BadCertificate => "the server's certificate can't be used",
            Self::NotTls => "the server does not speak TLS here",
            Self::Refused => "the server does not support TLS",
            Self::NothingInCommon => "no TLS version, cipher or protocol in common",
            Self::ClientCertificate => "the server does not accept our certificate, or wants one",
            Self::ChannelBinding => "channel binding is required",
            Self::Closed => "the server closed the connection in the TLS handshake",
            Self::Broken => "TLS broke",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
