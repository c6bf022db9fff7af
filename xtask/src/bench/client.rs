//! A connection over which one method of gRPC is called.
//!
//! In: framed messages. Out: what the server said of each. A clone shares the connection, so that many calls are
//! under way on it at once.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::grpc::{self, Answer};

#[derive(Clone, Debug)]
pub(super) struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
    address: String,
}

impl Client {
    pub(super) async fn connect(to: SocketAddr, method: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // A broken connection shows in the call that it breaks.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            address: format!("http://{to}{method}"),
        })
    }

    /// Waits for the answer: whoever wants two calls at once has two clones.
    pub(super) async fn call(&mut self, request: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post(&self.address)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(request))?;
        self.sender
            .ready()
            .await
            .context("the server closed the connection")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("the server did not answer")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the answer broke off")?;
        grpc::answer(body.trailers().unwrap_or(&head.headers))
    }
}
