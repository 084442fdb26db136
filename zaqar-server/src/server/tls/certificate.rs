//! The certificate that clients are shown: read from its files, and read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::telemetry::metrics;

/// Which of the two files is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The certificates.
    Chain,
    /// The private key.
    Key,
}

/// What is wrong with a certificate's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub(crate) struct CertificateError {
    pub(crate) part: Part,
    pub(crate) file: PathBuf,
    pub(crate) reason: String,
}

/// The files of a certificate.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the files hold, by its digest: so that no second copy of the key stays in memory.
type Digest = [u8; 32];

struct Read {
    digest: Digest,
    parsed: Result<Arc<CertifiedKey>, CertificateError>,
}

impl CertificateFiles {
    fn read(&self) -> Result<Read, CertificateError> {
        let chain = self.bytes_of(Part::Chain)?;
        let key = self.bytes_of(Part::Key)?;
        let mut hash = Sha256::new();
        for bytes in [&chain, &key] {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        }
        Ok(Read { digest: hash.finalize().into(), parsed: self.parse(&chain, &key) })
    }

    fn file(&self, part: Part) -> &Path {
        match part {
            Part::Chain => &self.chain,
            Part::Key => &self.key,
        }
    }

    fn error(&self, part: Part, reason: impl fmt::Display) -> CertificateError {
        let file = self.file(part).to_owned();
        CertificateError { part, file, reason: reason.to_string() }
    }

    fn bytes_of(&self, part: Part) -> Result<Vec<u8>, CertificateError> {
        std::fs::read(self.file(part)).map_err(|error| self.error(part, error))
    }

    fn parse(&self, chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| self.error(Part::Chain, "is not valid PEM"))?;
        if chain.is_empty() {
            return Err(self.error(Part::Chain, "holds no certificate in PEM"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            self.error(Part::Key, "holds no private key in PEM, or one locked by a password")
        })?;
        let provider = rustls::crypto::ring::default_provider();
        let signing = provider.key_provider.load_private_key(key).map_err(|_| {
            self.error(Part::Key, "holds a private key of a kind that is not served")
        })?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => Ok(Arc::new(certified)),
            Err(rustls::Error::InconsistentKeys(_)) => Err(self.error(
                Part::Key,
                format!("is not the key of the certificate in {}", self.chain.display()),
            )),
            Err(error) => {
                Err(self.error(Part::Chain, format!("holds no valid certificate: {error}")))
            }
        }
    }
}

/// The certificate in force.
pub(crate) struct Certificate {
    files: CertificateFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Looks at a certificate's files again and again.
#[derive(Debug)]
pub(crate) struct Renewal {
    certificate: Arc<Certificate>,
    /// What was looked at last, whether it was taken or not: each change is told once.
    seen: Result<Digest, CertificateError>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn open(files: CertificateFiles) -> Result<(Arc<Self>, Renewal), CertificateError> {
        let Read { digest, parsed } = files.read()?;
        let certificate = Arc::new(Self { files, current: RwLock::new(parsed?) });
        let renewal = Renewal { certificate: Arc::clone(&certificate), seen: Ok(digest) };
        Ok((certificate, renewal))
    }

    fn current(&self) -> Arc<CertifiedKey> {
        // What is behind the lock is replaced in one piece.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, certified: Arc<CertifiedKey>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
    }
}

impl Renewal {
    /// Takes a renewed certificate within about `every` of its files' change, for ever.
    pub(crate) async fn run(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(renewal) => self = renewal,
                Err(error) => {
                    tracing::error!(%error, "certificates are not renewed any more");
                    return;
                }
            }
        }
    }

    /// Looks once. A file that is not as it must be changes nothing: the certificate in force stays.
    fn look(&mut self) {
        let files = &self.certificate.files;
        let read = files.read();
        let seen = match &read {
            Ok(read) => Ok(read.digest),
            Err(error) => Err(error.clone()),
        };
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match read.and_then(|read| read.parsed) {
            Ok(certified) => {
                self.certificate.replace(certified);
                metrics::certificate_looked_at("taken");
                tracing::info!(file = %files.chain.display(), "a renewed certificate is in force");
            }
            Err(error) => {
                metrics::certificate_looked_at("refused");
                tracing::warn!(%error, "the certificate changed and is not taken; the one before stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// Certificate and key in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn files(folder: &TempDir, chain: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles {
            chain: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&files.chain, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.current().end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let ((chain, key), (_, other_key)) = (pair(), pair());
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, part, words) in [
            (chain.as_str(), other_key.as_str(), Part::Key, "is not the key"),
            (chain.as_str(), "", Part::Key, "no private key"),
            (chain.as_str(), chain.as_str(), Part::Key, "no private key"),
            ("", key.as_str(), Part::Chain, "no certificate"),
            (key.as_str(), key.as_str(), Part::Chain, "no certificate"),
            (wrong, key.as_str(), Part::Chain, "no valid certificate"),
        ] {
            let error = Certificate::open(files(&folder, chain, key)).unwrap_err();
            assert_eq!(error.part, part, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.to_string().contains("BEGIN"), "{error}");
        }
        let mut absent = files(&folder, &chain, &key);
        absent.key = folder.path().join("absent.pem");
        let error = Certificate::open(absent).unwrap_err();
        assert!(error.to_string().contains("absent.pem: No such file"), "{error}");
    }

    #[test]
    fn a_renewed_certificate_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let ((old_chain, old_key), (chain, key)) = (pair(), pair());
        let (certificate, mut renewal) =
            Certificate::open(files(&folder, &old_chain, &old_key)).unwrap();
        let old = shown(&certificate);
        renewal.look();
        assert_eq!(shown(&certificate), old);

        // Half of the change, then a file that is not there.
        files(&folder, &chain, &old_key);
        renewal.look();
        assert_eq!(shown(&certificate), old);
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        renewal.look();
        assert_eq!(shown(&certificate), old);

        files(&folder, &chain, &key);
        renewal.look();
        assert_ne!(shown(&certificate), old);
        files(&folder, &old_chain, &old_key);
        renewal.look();
        assert_eq!(shown(&certificate), old);
    }
}
