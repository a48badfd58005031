//! Why no connection was made, in words for the history and the log that contain no part of the URL.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::outbound::resolver::{ForbiddenAddress, Unresolved};

/// The reason why no connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the host name cannot be resolved")]
    Name,
    #[error("the host has an address that must not be called")]
    ForbiddenAddress,
    #[error("the host refused it")]
    Refused,
    #[error("the host cannot be reached")]
    Unreachable,
    #[error("the host did not answer in time")]
    TimedOut,
    #[error("the certificate has expired")]
    ExpiredCertificate,
    #[error("the certificate is for another host")]
    OthersCertificate,
    #[error("the certificate's issuer is not trusted")]
    UnknownIssuer,
    #[error("TLS was not agreed on")]
    Tls,
    #[error("the proxy of [outbound] could not be used, or made no connection to the host")]
    Proxy,
    #[error("for an unknown reason")]
    Other,
}

impl Trouble {
    /// Returns the reason for a call through a proxy, with which only TLS was agreed on with the host itself.
    pub(super) fn at_proxy(self) -> Self {
        match self {
            Self::ExpiredCertificate
            | Self::OthersCertificate
            | Self::UnknownIssuer
            | Self::Tls => self,
            Self::Name
            | Self::ForbiddenAddress
            | Self::Refused
            | Self::Unreachable
            | Self::TimedOut
            | Self::Proxy
            | Self::Other => Self::Proxy,
        }
    }

    /// Finds the reason among the causes of a failed connection.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let mut cause = Error::source(error);
        while let Some(error) = cause {
            if let Some(trouble) = known(error) {
                return trouble;
            }
            cause = error.source();
        }
        if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Other
        }
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if error.is::<Unresolved>() {
        return Some(Trouble::Name);
    }
    if error.is::<ForbiddenAddress>() {
        return Some(Trouble::ForbiddenAddress);
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An I/O error that wraps another one does not name it as its source.
    if let Some(inner) = error.get_ref() {
        return known(inner).or_else(|| of_io(error.kind()));
    }
    of_io(error.kind())
}

fn of_io(kind: io::ErrorKind) -> Option<Trouble> {
    let reasons = [
        (io::ErrorKind::ConnectionRefused, Trouble::Refused),
        (io::ErrorKind::HostUnreachable, Trouble::Unreachable),
        (io::ErrorKind::NetworkUnreachable, Trouble::Unreachable),
        (io::ErrorKind::TimedOut, Trouble::TimedOut),
        // The host ended the connection during the handshake: nothing else is read while connecting.
        (io::ErrorKind::UnexpectedEof, Trouble::Tls),
    ];
    let reason = reasons.into_iter().find(|(known, _)| *known == kind);
    reason.map(|(_, trouble)| trouble)
}

fn of_tls(error: &rustls::Error) -> Trouble {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(error) = error else {
        return Trouble::Tls;
    };
    if matches!(error, Expired | ExpiredContext { .. }) {
        Trouble::ExpiredCertificate
    } else if matches!(error, NotValidForName | NotValidForNameContext { .. }) {
        Trouble::OthersCertificate
    } else if matches!(error, UnknownIssuer) {
        Trouble::UnknownIssuer
    } else {
        Trouble::Tls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_behind_the_errors_that_wrap_it() {
        let certificate = |error| {
            let error = rustls::Error::InvalidCertificate(error);
            known(&io::Error::new(io::ErrorKind::InvalidData, error))
        };
        for (error, trouble) in [
            (CertificateError::Expired, Trouble::ExpiredCertificate),
            (
                CertificateError::NotValidForName,
                Trouble::OthersCertificate,
            ),
            (CertificateError::UnknownIssuer, Trouble::UnknownIssuer),
            (CertificateError::Revoked, Trouble::Tls),
        ] {
            assert_eq!(certificate(error.clone()), Some(trouble), "{error:?}");
        }
        for (kind, trouble) in [
            (io::ErrorKind::ConnectionRefused, Some(Trouble::Refused)),
            (
                io::ErrorKind::NetworkUnreachable,
                Some(Trouble::Unreachable),
            ),
            (io::ErrorKind::UnexpectedEof, Some(Trouble::Tls)),
            (io::ErrorKind::ConnectionReset, None),
        ] {
            assert_eq!(known(&io::Error::from(kind)), trouble, "{kind:?}");
            assert_eq!(known(&io::Error::new(kind, "why")), trouble, "{kind:?}");
        }
    }
}
