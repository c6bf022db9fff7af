//! The load generator: clients that send requests made beforehand, as fast as they are
//! answered or at a fixed rate.
//!
//! In: framed requests and an address. Out: how many spans were accepted, and how many times
//! a request was refused. A refused request is sent again until it is taken, as a component's
//! SDK does, so that whatever is missing in the end was lost behind the door.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use super::grpc::{self, Answer};

/// As many as a node has components that export, and more than a core can keep waiting.
const CLIENTS: u32 = 8;

/// The pause after a refusal that names none.
const PAUSE: Duration = Duration::from_millis(100);

/// What is sent, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) spans_per_request: u32,
    /// Spans per second of all clients together; as many as are taken when absent.
    pub(super) pace: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) spans: u64,
    pub(super) refused: u64,
}

impl Load {
    /// Sends for this long, then waits for the last answers.
    pub(super) async fn send(
        self,
        to: SocketAddr,
        requests: Arc<[Bytes]>,
        length: Duration,
    ) -> anyhow::Result<Sent> {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::connect(to)
                .await
                .with_context(|| format!("cannot connect to {to}"))?;
            clients.spawn(self.keep_sending(client, number, Arc::clone(&requests), length));
        }
        let mut all = Sent::default();
        while let Some(one) = clients.join_next().await {
            let one = one.context("a client ended early")??;
            all.spans += one.spans;
            all.refused += one.refused;
        }
        Ok(all)
    }

    async fn keep_sending(
        self,
        mut client: Client,
        number: u32,
        requests: Arc<[Bytes]>,
        length: Duration,
    ) -> anyhow::Result<Sent> {
        // Each client begins elsewhere in the recording, so that each acts for another component.
        let first = requests.len() * number as usize / CLIENTS as usize;
        let mut turns = requests.iter().cycle().skip(first);
        let mut ticks = self.pace.map(|pace| {
            let gap = Duration::from_secs(1) * self.spans_per_request / pace;
            let mut ticks = time::interval_at(time::Instant::now() + gap * number, gap * CLIENTS);
            // A late request does not let the next one off: the rate holds over the whole time.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            ticks
        });
        let mut sent = Sent::default();
        let begun = Instant::now();
        while begun.elapsed() < length {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let request = turns.next().context("there is nothing to send")?;
            while let Answer::Refused(pause) = client.export(request.clone()).await? {
                sent.refused += 1;
                time::sleep(pause.unwrap_or(PAUSE)).await;
            }
            sent.spans += u64::from(self.spans_per_request);
        }
        Ok(sent)
    }
}

/// One connection, with one call at a time: a component waits for its answer too.
#[derive(Debug)]
struct Client {
    sender: http2::SendRequest<Full<Bytes>>,
    address: String,
}

impl Client {
    async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // A broken connection shows in the call that it breaks.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            address: format!("http://{to}{}", grpc::EXPORT),
        })
    }

    async fn export(&mut self, request: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post(&self.address)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(request))?;
        self.sender
            .ready()
            .await
            .context("the forwarder closed the connection")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("the forwarder did not answer")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the answer broke off")?;
        grpc::answer(body.trailers().unwrap_or(&head.headers))
    }
}
