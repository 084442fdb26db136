//! Authorities beyond the system's: those of an operator's own.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Authorities whose certificates are believed, besides the system's.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// The text holds no certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must hold certificates in PEM, and nothing that looks like one and is none")]
pub struct InvalidAuthorities;

impl Authorities {
    /// Reads certificates in PEM, one at least.
    ///
    /// # Errors
    /// [`InvalidAuthorities`] if there is none, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidAuthorities> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let read = read.map_err(|_| InvalidAuthorities)?;
        let mut roots = RootCertStore::empty();
        for certificate in &read {
            roots.add(certificate.clone()).map_err(|_| InvalidAuthorities)?;
        }
        if read.is_empty() { Err(InvalidAuthorities) } else { Ok(Self(read)) }
    }

    /// TLS for a client that believes these authorities and the system's.
    ///
    /// # Errors
    /// If a certificate or the protocol versions cannot be used.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (mut added, ignored) = roots.add_parsable_certificates(found.certs);
        for certificate in self.certificates() {
            roots.add(certificate.clone())?;
            added += 1;
        }
        tracing::debug!(added, ignored, "certificates of authorities were loaded");
        if added == 0 {
            tracing::warn!("no certificate of an authority was found: nothing is reached by https");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "certificate", wrong] {
            assert_eq!(Authorities::from_pem(text.as_bytes()), Err(InvalidAuthorities), "{text}");
        }
    }
}
