//! The admin server's certificate, read again when its file changes: rotated certificates need no restart.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::warn;

use super::Tls;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("read {path}")]
    Read { path: PathBuf, source: pem::Error },
    #[error("look at {path}")]
    Stat { path: PathBuf, source: io::Error },
    #[error("use the certificate in {path} with its key")]
    Use { path: PathBuf, source: rustls::Error },
}

/// Makes TLS connections with the certificate as it is on disk.
#[derive(Clone, Debug)]
pub(super) struct Acceptor {
    files: Arc<Tls>,
    current: Arc<Mutex<Current>>,
}

#[derive(Clone)]
struct Current {
    read_at: SystemTime,
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("read_at", &self.read_at)
            .finish_non_exhaustive()
    }
}

impl Acceptor {
    pub(super) fn new(files: &Tls) -> Result<Self, TlsError> {
        let current = Current {
            read_at: modified(&files.cert_file)?,
            acceptor: read(files)?,
        };
        Ok(Self {
            files: Arc::new(files.clone()),
            current: Arc::new(Mutex::new(current)),
        })
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self.current();
        acceptor.accept(stream).await
    }

    /// The certificate on disk; the last good one while what is there cannot be used.
    fn current(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let on_disk = modified(&self.files.cert_file);
        if on_disk.as_ref().is_ok_and(|on_disk| *on_disk != current.read_at) {
            match read(&self.files) {
                Ok(acceptor) => current.acceptor = acceptor,
                Err(error) => warn!(%error, "keep the admin certificate that was read before"),
            }
            // A file that cannot be used is not read again before it changes again.
            current.read_at = on_disk.unwrap_or(current.read_at);
        }
        current.acceptor.clone()
    }
}

fn modified(path: &Path) -> Result<SystemTime, TlsError> {
    let stat = fs::metadata(path).and_then(|metadata| metadata.modified());
    stat.map_err(|source| TlsError::Stat {
        path: path.to_owned(),
        source,
    })
}

fn read(files: &Tls) -> Result<TlsAcceptor, TlsError> {
    let fault = |path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::Read { path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect)
        .map_err(fault(&files.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(fault(&files.key_file))?;
    let using = |source| TlsError::Use {
        path: files.cert_file.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(using)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(using)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
