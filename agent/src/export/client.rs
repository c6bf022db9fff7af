//! The connection to one endpoint: one pooled HTTP client, plain or TLS, for gRPC and HTTP alike.
//!
//! In: a batch. Out: an [`Answer`]. Connecting again is the client's work; trying again is the lane's.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    Endpoint, Protocol, Tls, answer::Answer, batch::Batch, compress::compress, grpc, http as otlp_http,
};

/// Read of an answer: a partial success with its message, or an error with its details.
const MAX_ANSWER: usize = 64 * 1024;

/// HTTP/2 pings on a connection that is in use, so that a peer that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Why an endpoint cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
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
    #[error("no system root certificates: name the endpoint's authority in tls.ca_file")]
    NoSystemRoots,
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
}

/// Sends batches to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(endpoint.timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&endpoint)?)
            .https_or_http();
        let connector = match endpoint.protocol {
            Protocol::Grpc => https.enable_http2().wrap_connector(tcp),
            Protocol::Http => https.enable_all_versions().wrap_connector(tcp),
        };
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        pool.http2_only(endpoint.protocol == Protocol::Grpc)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(endpoint.timeout);
        Ok(Self {
            pool: pool.build(connector),
            endpoint,
        })
    }

    /// Tries once. Returns the answer and the bytes of the body that was sent.
    pub(super) async fn send(&self, batch: &Batch) -> (Answer, usize) {
        let Some(uri) = &self.endpoint.uris[batch.signal.index()] else {
            let why = format!("the endpoint takes no {}", batch.signal.as_str());
            return (Answer::Rejected { why }, 0);
        };
        let body = match self.body(batch).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return (
                    Answer::TooLarge {
                        why: "over 4 GiB".to_owned(),
                    },
                    0,
                );
            }
            Err(error) => {
                return (
                    Answer::Rejected {
                        why: format!("compress: {error}"),
                    },
                    0,
                );
            }
        };
        let sent = body.len();
        let timeout = self.endpoint.timeout;
        let answer = match tokio::time::timeout(timeout, self.exchange(uri, body)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Retry {
                after: None,
                why: format!("no answer within {timeout:?}"),
            },
        };
        (answer, sent)
    }

    async fn body(&self, batch: &Batch) -> io::Result<Option<Bytes>> {
        let compression = self.endpoint.compression;
        let prefix: &[u8] = match self.endpoint.protocol {
            Protocol::Grpc => &[0; grpc::FRAME],
            Protocol::Http => &[],
        };
        let message = compress(compression, prefix, batch.bodies(), batch.size()).await?;
        Ok(match self.endpoint.protocol {
            Protocol::Grpc => grpc::frame(message, compression),
            Protocol::Http => Some(message.into()),
        })
    }

    async fn exchange(&self, uri: &Uri, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        request.headers_mut().extend(self.endpoint.headers.clone());
        match self.endpoint.protocol {
            Protocol::Grpc => grpc::headers(&mut request, self.endpoint.compression),
            Protocol::Http => otlp_http::headers(&mut request, self.endpoint.compression),
        }
        match self.pool.request(request).await {
            Ok(response) => self.read(response).await,
            Err(error) => Answer::Retry {
                after: None,
                why: chain(&error),
            },
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(collected) => {
                let trailers = collected.trailers().cloned();
                let body = collected.to_bytes();
                match self.endpoint.protocol {
                    Protocol::Grpc => grpc::answer(head.status, &head.headers, trailers.as_ref(), &body),
                    Protocol::Http => otlp_http::answer(head.status, &head.headers, &body),
                }
            }
            Err(error) => Answer::Retry {
                after: None,
                why: format!("read the answer: {error}"),
            },
        }
    }
}

/// An error and its causes in one line: hyper's own text ("client error (Connect)") says little alone.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn tls(endpoint: &Endpoint) -> Result<ClientConfig, ClientError> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots(endpoint)?);
    match &endpoint.tls.client {
        None => Ok(config.with_no_client_auth()),
        Some(client) => {
            let chain = certificates(&client.cert_file)?;
            let path = client.key_file.clone();
            let key =
                PrivateKeyDer::from_pem_file(&path).map_err(|source| ClientError::Key { path, source })?;
            let path = client.cert_file.clone();
            config
                .with_client_auth_cert(chain, key)
                .map_err(|source| ClientError::Identity { path, source })
        }
    }
}

/// The named authorities, or the system's. A plain endpoint needs none.
fn roots(endpoint: &Endpoint) -> Result<RootCertStore, ClientError> {
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
                    .map_err(|source| ClientError::Authority { path, source })?;
            }
        }
        Tls { ca_file: None, .. } if secure => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(ClientError::NoSystemRoots);
            }
        }
        Tls { .. } => {}
    }
    Ok(roots)
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let fault = |source| ClientError::Certificates {
        path: path.to_owned(),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(fault)?
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    if certificates.is_empty() {
        return Err(ClientError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}
