//! Accepts connections and serves each on its own, until it is told to stop.
//!
//! In: the listeners of [`Server::bind`]. Out: requests to `grpc` and `http`. What happens on one connection
//! never touches another; on the way out, requests that have begun are finished.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::warn;

use super::{
    Config, Intake,
    gate::Gate,
    grpc, http as otlp_http,
    listen::{Listener, Socket, SocketFile},
    metrics::{Metrics, Protocol},
    reply::Reply,
    stamp::Stamp,
};
use crate::model::Notice;

/// Far more than the senders of one node, far less than would hurt.
const MAX_CONNECTIONS: usize = 512;

/// Requests at one time on one connection.
const MAX_STREAMS: u32 = 256;

/// How much of a request may be on its way before it is read: throughput is this by round trip.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A sender that vanished without a word is found out after these two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Of all headers of a request.
const MAX_HEADERS: u32 = 16 * 1024;

/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Addresses that are taken, and what to do with requests that come in.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
}

impl Server {
    pub(super) fn new(config: Config, listeners: Vec<Listener>) -> Self {
        Self { config, listeners }
    }

    /// The TCP addresses in the order of the configuration, with the ports that the system chose.
    pub fn local_addrs(&self, protocol: Protocol) -> io::Result<Vec<SocketAddr>> {
        let of_protocol = self
            .listeners
            .iter()
            .filter(|listener| listener.protocol == protocol);
        let tcp = of_protocol.filter_map(|listener| match &listener.socket {
            Socket::Tcp(socket) => Some(socket.local_addr()),
            Socket::Unix(..) => None,
        });
        tcp.collect()
    }

    /// Serves until `stop`; then accepts nothing new and returns when the requests under way are answered.
    ///
    /// It is dropped to end at once: no connection outlives it.
    pub async fn run<I: Intake>(
        self,
        intake: I,
        stamp: watch::Receiver<Arc<Stamp>>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let front = Front {
            gate: Arc::new(Gate::new(&self.config, intake, stamp, metrics)),
            builder: Arc::new(builder(&self.config)),
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            greeting: self.config.read_timeout,
            stop,
        };
        let mut listeners = JoinSet::new();
        for Listener { protocol, socket } in self.listeners {
            let acceptor = Acceptor::try_from(socket)?;
            let front = front.clone();
            listeners.spawn(async move { front.serve(protocol, acceptor).await });
        }
        while listeners.join_next().await.is_some() {}
        Ok(())
    }
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.read_timeout)
        .max_buf_size(MAX_HEADERS as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

/// A listening socket of either kind.
#[derive(Debug)]
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

type Stream = Either<TcpStream, UnixStream>;

impl TryFrom<Socket> for Acceptor {
    type Error = io::Error;

    fn try_from(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            Socket::Unix(socket, file) => Self::Unix(UnixListener::from_std(socket)?, file),
        })
    }
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _peer) = listener.accept().await?;
                // Answers are tiny: held back for more to send with them, they would come late.
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Self::Unix(listener, _file) => listener
                .accept()
                .await
                .map(|(stream, _peer)| Either::Right(stream)),
        }
    }
}

/// All that serving a connection takes.
#[derive(Debug)]
struct Front<I> {
    gate: Arc<Gate<I>>,
    builder: Arc<Builder<TokioExecutor>>,
    slots: Arc<Semaphore>,
    /// How long a new connection may stay silent.
    greeting: Duration,
    stop: CancellationToken,
}

impl<I> Clone for Front<I> {
    fn clone(&self) -> Self {
        let Self {
            gate,
            builder,
            slots,
            greeting,
            stop,
        } = self;
        Self {
            gate: Arc::clone(gate),
            builder: Arc::clone(builder),
            slots: Arc::clone(slots),
            greeting: *greeting,
            stop: stop.clone(),
        }
    }
}

impl<I: Intake> Front<I> {
    /// Serves one listener until the stop, and its connections to their end.
    async fn serve(self, protocol: Protocol, acceptor: Acceptor) {
        let (mut connections, trouble) = (JoinSet::new(), Notice::default());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                accepted = acceptor.accept() => match accepted {
                    Ok(stream) => match Arc::clone(&self.slots).try_acquire_owned() {
                        Ok(slot) => {
                            let front = self.clone();
                            connections.spawn(async move {
                                front.serve_connection(protocol, stream).await;
                                drop(slot);
                            });
                        }
                        Err(_full) => self.gate.metrics.refused_connection(protocol),
                    },
                    // Out of file descriptors, or a sender that went away again: neither ends the listener.
                    Err(error) => {
                        let service = protocol.as_str();
                        self.gate.metrics.failed_accept(protocol);
                        trouble.say(Instant::now(), |unsaid| {
                            warn!(service, %error, unsaid, "cannot accept a connection; trying on");
                        });
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(acceptor);
        while connections.join_next().await.is_some() {}
    }

    async fn serve_connection(self, protocol: Protocol, stream: Stream) {
        let ready = async {
            match &stream {
                Either::Left(stream) => stream.readable().await,
                Either::Right(stream) => stream.readable().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => return,
            spoke = tokio::time::timeout(self.greeting, ready) => {
                if !matches!(spoke, Ok(Ok(()))) {
                    return;
                }
            }
        }
        let service = service_fn(|request: Request<Incoming>| {
            let gate = Arc::clone(&self.gate);
            async move {
                Ok::<Response<Reply>, Infallible>(match protocol {
                    Protocol::Grpc => grpc::serve(&gate, request).await,
                    Protocol::Http => otlp_http::serve(&gate, request).await,
                })
            }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // An error here is the end of this connection and says nothing that the outcome of its requests,
        // counted each on its own, does not.
        tokio::select! {
            _ended = connection.as_mut() => {}
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    }
}
