//! Where every forwarder delivers to: an OTLP/gRPC server that counts and says yes.
//!
//! In: export calls, plain or gzip. Out: how many spans and how many message bytes have
//! arrived. Counting is exact; what is in a span is not looked at.

use std::{
    convert::Infallible,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Incoming},
    header::HeaderValue,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::grpc;

/// What a forwarder may send before it must wait for us. Larger than any message that a
/// forwarder makes, so that it is never the sink that limits one.
const WINDOW: u32 = 8 << 20;

/// A running sink; it serves as long as the runtime that it was started on.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    arrived: Arc<Arrived>,
}

/// What had arrived at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    pub(super) spans: u64,
    /// Bytes of the messages, compressed where the forwarder compresses.
    pub(super) wire_bytes: u64,
}

impl Sub for Total {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            spans: self.spans - earlier.spans,
            wire_bytes: self.wire_bytes - earlier.wire_bytes,
        }
    }
}

#[derive(Debug, Default)]
struct Arrived {
    spans: AtomicU64,
    wire_bytes: AtomicU64,
}

impl Sink {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot open a port for the sink")?;
        let address = listener.local_addr()?;
        let arrived = Arc::default();
        tokio::spawn(accept(listener, Arc::clone(&arrived)));
        Ok(Self { address, arrived })
    }

    pub(super) fn total(&self) -> Total {
        Total {
            spans: self.arrived.spans.load(Relaxed),
            wire_bytes: self.arrived.wire_bytes.load(Relaxed),
        }
    }
}

async fn accept(listener: TcpListener, arrived: Arc<Arrived>) {
    // A forwarder that is shut down breaks its connections: nothing of that is a fault here.
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&arrived)));
    }
}

async fn serve(stream: TcpStream, arrived: Arc<Arrived>) {
    let service = service_fn(|request| {
        let arrived = Arc::clone(&arrived);
        async move { Ok::<_, Infallible>(reply(take(request, &arrived).await)) }
    });
    let served = stream.set_nodelay(true).map(|()| {
        http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .serve_connection(TokioIo::new(stream), service)
    });
    if let Ok(connection) = served {
        drop(connection.await);
    }
}

async fn take(request: Request<Incoming>, arrived: &Arrived) -> anyhow::Result<()> {
    let body = request
        .into_body()
        .collect()
        .await
        .context("the call broke off")?
        .to_bytes();
    let frame = grpc::unframe(&body)?;
    let spans = if frame.compressed {
        grpc::spans(&gunzip(frame.message)?)?
    } else {
        grpc::spans(frame.message)?
    };
    arrived.spans.fetch_add(spans, Relaxed);
    arrived.wire_bytes.fetch_add(frame.message.len() as u64, Relaxed);
    Ok(())
}

fn gunzip(message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(message)
        .read_to_end(&mut plain)
        .context("broken gzip")?;
    Ok(plain)
}

fn reply(taken: anyhow::Result<()>) -> Response<impl Body<Data = Bytes, Error = Infallible>> {
    let mut trailers = HeaderMap::new();
    let status = match taken {
        Ok(()) => "0",
        Err(fault) => {
            eprintln!("the sink could not read a request: {fault:#}");
            "3"
        }
    };
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let mut response =
        Response::new(Full::new(grpc::EMPTY).with_trailers(std::future::ready(Some(Ok(trailers)))));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
