//! TLS as the configuration wants it: opened at the start, renewed while the server runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::serve::StartError;
use crate::server::tls::certificate::{
    Certificate, CertificateError, CertificateFiles, Part, Renewal,
};
use crate::server::tls::{HandshakeLimits, Protocols, Tls};

const CHAIN_OPTION: &str = "drivers.transport.tls.cert_file";
const KEY_OPTION: &str = "drivers.transport.tls.key_file";

/// Others than owner and group may read the file.
const READABLE_BY_ALL: u32 = 0o004;

/// The TLS of all listeners of a server.
#[derive(Debug)]
pub(crate) struct Secured {
    certificate: Arc<Certificate>,
    limits: HandshakeLimits,
    renewal: (Renewal, Duration),
}

impl Secured {
    /// Reads the certificate, if there is to be TLS.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let options = &config.tls;
        if !options.is_on() {
            return Ok(None);
        }
        let files = CertificateFiles {
            chain: options.cert_file.as_str().into(),
            key: options.key_file.as_str().into(),
        };
        warn_of_readers(&files.key);
        let (certificate, renewal) = Certificate::open(files).map_err(refused)?;
        let limits = HandshakeLimits {
            timeout: Duration::from_millis(options.handshake_timeout_ms),
            running_max: options.handshakes_max,
        };
        let every = Duration::from_millis(options.reload_interval_ms);
        Ok(Some(Self { certificate, limits, renewal: (renewal, every) }))
    }

    /// The TLS of one listener.
    pub(crate) fn listener(
        &self,
        protocols: Protocols,
        name: &'static str,
    ) -> Result<Tls, StartError> {
        let certificate = Arc::clone(&self.certificate);
        Tls::new(certificate, protocols, self.limits, name)
            .map_err(|error| StartError::Tls { option: CHAIN_OPTION, reason: error.to_string() })
    }

    /// Takes renewed certificates from now on, until the handle is dropped.
    pub(crate) fn keep_renewed(self) -> AbortOnDropHandle<()> {
        let (renewal, every) = self.renewal;
        AbortOnDropHandle::new(tokio::spawn(renewal.run(every)))
    }
}

fn refused(error: CertificateError) -> StartError {
    let option = match error.part {
        Part::Chain => CHAIN_OPTION,
        Part::Key => KEY_OPTION,
    };
    StartError::Tls { option, reason: error.to_string() }
}

/// Who reads the key can be this server.
fn warn_of_readers(key: &Path) {
    let mode = std::fs::metadata(key).map(|found| found.permissions().mode());
    if mode.is_ok_and(|mode| mode & READABLE_BY_ALL != 0) {
        tracing::warn!(file = %key.display(), "everybody on this machine may read the private key");
    }
}
