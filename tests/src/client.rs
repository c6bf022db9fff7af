//! A component that sends OTLP to its agent, by any of the ways that components have.
//!
//! Addresses are `http://127.0.0.1:PORT` or `unix:///path/of/socket`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header::HOST, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use innerspan::model::Signal;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime::{Builder, Runtime},
};
use tonic::{
    Status,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};

use crate::{
    raw::{Raw, export_of},
    request::Request,
};

/// Longer than any answer takes that comes at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection by OTLP/gRPC.
#[derive(Debug)]
pub struct Grpc {
    runtime: Runtime,
    channel: Channel,
    compression: Option<CompressionEncoding>,
}

/// What came back by OTLP/HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

// === impl Grpc ===

impl Grpc {
    #[must_use]
    pub fn connect(address: &str) -> Self {
        let runtime = runtime();
        let endpoint = Endpoint::from_shared(address.to_owned())
            .unwrap()
            .timeout(PATIENCE);
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Self {
            runtime,
            channel,
            compression: None,
        }
    }

    #[must_use]
    pub fn compressed(mut self, compression: CompressionEncoding) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Sends a request, and says how the agent answered.
    pub fn send(&self, request: &Request) -> Result<(), Status> {
        self.send_bytes(request.signal(), request.encode().into())
    }

    /// Sends a message exactly as it is.
    pub fn send_bytes(&self, signal: Signal, message: Bytes) -> Result<(), Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        if let Some(compression) = self.compression {
            client = client.send_compressed(compression);
        }
        let path = PathAndQuery::from_static(export_of(signal));
        self.runtime.block_on(async {
            let ready = client.ready().await;
            ready.map_err(|gone| Status::unknown(gone.to_string()))?;
            client
                .unary(tonic::Request::new(message), path, Raw)
                .await
                .map(drop)
        })
    }
}

/// Posts a body to the path of a signal.
#[must_use]
pub fn post(address: &str, signal: Signal, headers: &[(HeaderName, &str)], body: impl Into<Bytes>) -> Reply {
    let mut request = http::Request::post(format!("/v1/{}", signal.as_str())).header(HOST, "localhost");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    exchange(address, request.body(Full::new(body.into())).unwrap())
}

/// Asks for a path.
#[must_use]
pub fn read(address: &str, path: &str) -> Reply {
    exchange(
        address,
        http::Request::get(path)
            .header(HOST, "localhost")
            .body(Full::default())
            .unwrap(),
    )
}

fn exchange(address: &str, request: http::Request<Full<Bytes>>) -> Reply {
    runtime().block_on(async {
        let exchange = async {
            if let Some(path) = address.strip_prefix("unix://") {
                exchange_over(UnixStream::connect(path).await.unwrap(), request).await
            } else {
                let address = address.strip_prefix("http://").unwrap();
                exchange_over(TcpStream::connect(address).await.unwrap(), request).await
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    })
}

async fn exchange_over<S>(stream: S, request: http::Request<Full<Bytes>>) -> Reply
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    Reply {
        status: head.status,
        headers: head.headers,
        body,
    }
}
