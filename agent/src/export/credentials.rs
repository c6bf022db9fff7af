//! What the files of an endpoint hold: authorities, a client certificate, further headers.
//!
//! In: an endpoint with its paths. Out: [`Credentials`], and [`Written`], which differs once a file has
//! changed: mounted secrets rotate while the agent runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use http::HeaderMap;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{Endpoint, Tls, headers};

/// Why an endpoint cannot be used with its files as they are.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("read the certificates in {path}")]
    Certificates {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("{path} holds no certificate")]
    NoCertificate { path: PathBuf },
    #[error("read the private key in {path}")]
    Key {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("use the certificate in {path} as an authority")]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("use the client certificate in {path}")]
    Identity { path: PathBuf, source: rustls::Error },
    #[error("use the headers in {path}")]
    Headers { path: PathBuf, source: headers::Fault },
    #[error("no system root certificates: name the endpoint's authority in tls.ca_file")]
    NoSystemRoots,
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
}

/// How to speak to an endpoint.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) tls: ClientConfig,
    pub(super) headers: HeaderMap,
}

impl Credentials {
    pub(super) fn read(endpoint: &Endpoint) -> Result<Self, CredentialsError> {
        let mut headers = endpoint.headers.clone();
        if let Some(path) = &endpoint.headers_file {
            let faults = headers::add_file(&mut headers, path);
            if let Some(source) = faults.into_iter().next() {
                let path = path.clone();
                return Err(CredentialsError::Headers { path, source });
            }
        }
        Ok(Self {
            tls: tls(endpoint)?,
            headers,
        })
    }
}

/// When each file of an endpoint was last written; none for one that cannot be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written(Vec<Option<SystemTime>>);

impl Written {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let Tls { ca_file, client } = &endpoint.tls;
        let client = client.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
        let files = endpoint.headers_file.iter().chain(ca_file).chain(client);
        let written = |file: &PathBuf| fs::metadata(file).and_then(|found| found.modified()).ok();
        Self(files.map(written).collect())
    }
}

fn tls(endpoint: &Endpoint) -> Result<ClientConfig, CredentialsError> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(CredentialsError::Tls)?
        .with_root_certificates(roots(endpoint)?);
    match &endpoint.tls.client {
        None => Ok(config.with_no_client_auth()),
        Some(client) => {
            let chain = certificates(&client.cert_file)?;
            let path = client.key_file.clone();
            let key = PrivateKeyDer::from_pem_file(&path)
                .map_err(|source| CredentialsError::Key { path, source })?;
            let path = client.cert_file.clone();
            config
                .with_client_auth_cert(chain, key)
                .map_err(|source| CredentialsError::Identity { path, source })
        }
    }
}

/// The named authorities, or the system's. A plain endpoint needs none.
fn roots(endpoint: &Endpoint) -> Result<RootCertStore, CredentialsError> {
    let mut roots = RootCertStore::empty();
    let secure = endpoint
        .uris
        .iter()
        .flatten()
        .any(|uri| uri.scheme_str() == Some("https"));
    match &endpoint.tls {
        Tls {
            ca_file: Some(path), ..
        } => {
            for certificate in certificates(path)? {
                let path = path.clone();
                roots
                    .add(certificate)
                    .map_err(|source| CredentialsError::Authority { path, source })?;
            }
        }
        Tls { ca_file: None, .. } if secure => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(CredentialsError::NoSystemRoots);
            }
        }
        Tls { .. } => {}
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let fault = |source| CredentialsError::Certificates {
        path: path.to_owned(),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(fault)?
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    if certificates.is_empty() {
        return Err(CredentialsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}
