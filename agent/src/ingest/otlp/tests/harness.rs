//! A server on loopback, an intake that keeps what it takes, and a client that says anything.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::super::{Config, Intake, Listen, Metrics, Protocol, Refused, Server, Stamp};
use crate::model::{ByteSize, Payload, ResourceAttributes, Signal};

pub(super) const FULL: Refused = Refused::Full {
    retry_after: Duration::from_millis(2500),
};

/// Keeps what it takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
    admitted: Arc<Mutex<Vec<Payload>>>,
    refusal: Arc<Mutex<Option<Refused>>>,
}

impl Intake for Recorder {
    async fn admit(&self, payload: Payload) -> Result<(), Refused> {
        if let Some(refused) = *self.refusal.lock().unwrap() {
            return Err(refused);
        }
        self.admitted.lock().unwrap().push(payload);
        Ok(())
    }
}

impl Recorder {
    pub(super) fn admitted(&self) -> Vec<Payload> {
        self.admitted.lock().unwrap().clone()
    }

    pub(super) fn refuse(&self, refused: Refused) {
        *self.refusal.lock().unwrap() = Some(refused);
    }
}

/// A server that runs.
pub(super) struct Running {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) intake: Recorder,
    pub(super) stop: CancellationToken,
    pub(super) ended: JoinHandle<std::io::Result<()>>,
    registry: Registry,
}

pub(super) fn config() -> Config {
    let anywhere = Listen::Tcp("127.0.0.1:0".parse().unwrap());
    Config {
        grpc: vec![anywhere.clone()],
        http: vec![anywhere],
        max_message_size: ByteSize::kib(256),
        max_in_flight: ByteSize::mib(8),
        read_timeout: Duration::from_secs(20),
    }
}

pub(super) fn start(config: &Config) -> Running {
    let server = Server::bind(config).unwrap();
    let address = |protocol| server.local_addrs(protocol).unwrap().first().copied();
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (grpc, http) = (address(Protocol::Grpc), address(Protocol::Http));
    let (intake, metrics, stop) = (Recorder::default(), Metrics::default(), CancellationToken::new());
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut attributes = ResourceAttributes::default();
    attributes.set("k8s.node.name", "worker-1");
    let (_, stamp) = watch::channel(Arc::new(Stamp::new(&attributes)));
    let ended = tokio::spawn(server.run(intake.clone(), stamp, metrics, stop.clone()));
    Running {
        grpc: grpc.unwrap_or(nowhere),
        http: http.unwrap_or(nowhere),
        intake,
        stop,
        ended,
        registry,
    }
}

impl Running {
    /// How many requests came to an outcome.
    #[track_caller]
    pub(super) fn assert_counted(&self, protocol: Protocol, signal: &str, outcome: &str, count: u64) {
        self.assert_metric(&requests(protocol, signal, outcome, count));
    }

    #[track_caller]
    pub(super) fn assert_metric(&self, line: &str) {
        let text = self.metrics();
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }

    /// Waits for an outcome that no answer tells of.
    pub(super) async fn until_counted(&self, protocol: Protocol, signal: &str, outcome: &str, count: u64) {
        let line = requests(protocol, signal, outcome, count);
        while !self.metrics().lines().any(|found| found == line) {
            tokio::task::yield_now().await;
        }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn requests(protocol: Protocol, signal: &str, outcome: &str, count: u64) -> String {
    let protocol = protocol.as_str();
    let labels = format!(r#"signal="{signal}",protocol="{protocol}",outcome="{outcome}""#);
    format!("innerspan_ingest_otlp_requests_total{{{labels}}} {count}")
}

pub(super) type AnyBody = UnsyncBoxBody<Bytes, std::io::Error>;

pub(super) fn whole(body: impl Into<Bytes>) -> AnyBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that is sent piece by piece; an error ends it as a client does that gives up.
pub(super) fn pieces() -> (mpsc::Sender<std::io::Result<Bytes>>, AnyBody) {
    let (sender, mut receiver) = mpsc::channel::<std::io::Result<Bytes>>(1);
    let frames = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    let frames = futures::StreamExt::map(frames, |piece| piece.map(Frame::data));
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name));
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct H2(http2::SendRequest<AnyBody>);

impl H2 {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(super) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(super) async fn send(&self, request: Request<AnyBody>) -> hyper::Result<Answer> {
        let response = self.0.clone().send_request(request).await?;
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        })
    }

    /// A gRPC call with any headers and body.
    pub(super) async fn call(&self, signal: Signal, headers: &[(&str, &str)], body: AnyBody) -> Answer {
        self.send(grpc_request(path(signal), headers, body))
            .await
            .unwrap()
    }
}

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

pub(super) fn grpc_request(path: &str, headers: &[(&str, &str)], body: AnyBody) -> Request<AnyBody> {
    let uri = format!("http://innerspan{path}");
    let mut request = Request::post(uri).header("te", "trailers").body(body).unwrap();
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    set(request.headers_mut(), headers);
    request
}

fn set(to: &mut HeaderMap, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        to.insert(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
}

/// A message in gRPC's frame.
pub(super) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(flag);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}

/// One HTTP/1.1 request on a connection of its own.
pub(super) async fn http1(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: AnyBody,
) -> Answer {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "innerspan")
        .body(body)
        .unwrap();
    set(request.headers_mut(), headers);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body,
        trailers: HeaderMap::new(),
    }
}

pub(super) fn nothing() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
