//! The connection to one endpoint: one pooled HTTP client, plain or TLS, for gRPC and HTTP alike.
//!
//! In: a batch. Out: an [`Answer`]. Connecting again is the client's work; trying again is the lane's.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Endpoint, Protocol,
    answer::Answer,
    batch::Batch,
    compress::compress,
    credentials::{Credentials, CredentialsError, Written},
    grpc, http as otlp_http,
};

/// Read of an answer: a partial success with its message, or an error with its details.
const MAX_ANSWER: usize = 64 * 1024;

/// HTTP/2 pings on a connection that is in use, so that a peer that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Between two looks at the endpoint's files, while there is something to send.
const LOOK: Duration = Duration::from_secs(1);

/// Sends batches to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    current: Mutex<Current>,
}

/// What is sent with, and what its files were when they were read.
#[derive(Debug)]
struct Current {
    looked: Instant,
    written: Written,
    access: Arc<Access>,
}

/// Connections made with the endpoint's certificates, and the headers of every request.
#[derive(Debug)]
struct Access {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
}

impl Access {
    fn new(endpoint: &Endpoint) -> Result<Self, CredentialsError> {
        let Credentials { tls, headers } = Credentials::read(endpoint)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(endpoint.timeout));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
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
            headers,
        })
    }
}

impl Client {
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, CredentialsError> {
        let current = Current {
            looked: Instant::now(),
            written: Written::of(&endpoint),
            access: Arc::new(Access::new(&endpoint)?),
        };
        Ok(Self {
            endpoint,
            current: Mutex::new(current),
        })
    }

    /// With what the files hold now; with what they held before while it cannot be used.
    fn access(&self) -> Arc<Access> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let written = Written::of(&self.endpoint);
            if written != current.written {
                // What cannot be used is not read again before it changes again.
                current.written = written;
                let endpoint = &self.endpoint.name;
                match Access::new(&self.endpoint) {
                    Ok(access) => {
                        current.access = Arc::new(access);
                        info!(
                            endpoint,
                            "certificates and headers have changed; using the new ones"
                        );
                    }
                    Err(error) => {
                        let why = chain(&error);
                        warn!(
                            endpoint,
                            why, "certificates or headers have changed; keeping those before"
                        );
                    }
                }
            }
        }
        Arc::clone(&current.access)
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
        let access = self.access();
        request.headers_mut().extend(access.headers.clone());
        match self.endpoint.protocol {
            Protocol::Grpc => grpc::headers(&mut request, self.endpoint.compression),
            Protocol::Http => otlp_http::headers(&mut request, self.endpoint.compression),
        }
        match access.pool.request(request).await {
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
