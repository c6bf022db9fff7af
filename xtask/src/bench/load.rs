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
use tokio::{
    task::JoinSet,
    time::{self, MissedTickBehavior},
};

use super::{
    client::Client,
    grpc::{self, Answer},
};

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
            let client = Client::connect(to, grpc::EXPORT)
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
            while let Answer::Refused(pause) = client.call(request.clone()).await? {
                sent.refused += 1;
                time::sleep(pause.unwrap_or(PAUSE)).await;
            }
            sent.spans += u64::from(self.spans_per_request);
        }
        Ok(sent)
    }
}
