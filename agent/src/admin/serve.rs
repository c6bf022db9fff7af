//! The admin listener: a connection is served on its own, in plain text or under TLS.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use super::{
    Config, View, router,
    tls::{Acceptor, TlsError},
};

/// For a TLS handshake, and for the headers of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at one time; scrapers and probes are few.
const MAX_CONNECTIONS: usize = 64;

/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("admin: listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("admin: set up TLS")]
    Tls(#[from] TlsError),
}

/// The bound admin address.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: std::net::TcpListener,
    acceptor: Option<Acceptor>,
}

impl Server {
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let address = config.address;
        let listen = |source| BindError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let acceptor = config.tls.as_ref().map(Acceptor::new).transpose()?;
        let address = listener.local_addr().map_err(listen)?;
        info!(service = "admin", %address, "listening");
        Ok(Self {
            config: config.clone(),
            listener,
            acceptor,
        })
    }

    /// The address with the port that the system chose, where the configuration says 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`.
    pub async fn run(self, view: View, stop: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let router = router(view, self.config.bearer_token_file);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve(stream, self.acceptor.clone(), router.clone()));
                }
                // Closed at once: whoever asks this often is no scraper.
                Ok(_) => {}
                Err(_) => time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn serve(stream: TcpStream, acceptor: Option<Acceptor>, router: Router) {
    match acceptor {
        None => serve_stream(stream, router).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = time::timeout(PATIENCE, acceptor.accept(stream)).await {
                serve_stream(stream, router).await;
            }
        }
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    let service = TowerToHyperService::new(router);
    // How a scraper's connection ends concerns nobody else.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}
