//! One endpoint at work: its queue, its client and a lane for each signal that goes there.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    Endpoint, WhenFull,
    client::Client,
    credentials::CredentialsError,
    lane::Lane,
    queue::{Queue, Room},
    traffic::Traffic,
};
use crate::model::{ByteSize, DropReason, Heartbeat, Ledger, Payload, Signal};

/// Takes payloads for one endpoint.
#[derive(Clone, Debug)]
pub struct Exporter {
    endpoint: Arc<Endpoint>,
    queue: Arc<Queue>,
    client: Arc<Client>,
    traffic: Arc<Traffic>,
    heartbeats: Arc<[Heartbeats]>,
}

type Heartbeats = (Signal, Arc<Heartbeat>);

/// A place in an endpoint's queue, held for one payload; given back unless it is used.
#[derive(Debug)]
pub struct Place {
    /// None where the queue is full and the endpoint is configured to lose data then.
    room: Option<Room>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub retry_after: std::time::Duration,
}

impl Exporter {
    /// Reads certificates and sets up the client; connects only when there is something to send.
    pub fn new(endpoint: Endpoint) -> Result<Self, CredentialsError> {
        let queue = Queue::new(endpoint.queue, endpoint.batch, Arc::new(Ledger::default()));
        let heartbeats = Signal::ALL
            .into_iter()
            .filter(|signal| endpoint.uris[signal.index()].is_some())
            .map(|signal| (signal, Arc::default()));
        Ok(Self {
            heartbeats: heartbeats.collect(),
            queue: Arc::new(queue),
            client: Arc::new(Client::new(endpoint.clone())?),
            traffic: Arc::new(Traffic::new(&endpoint.name)),
            endpoint: Arc::new(endpoint),
        })
    }

    /// Starts a lane per signal on the current runtime.
    pub fn start(&self, tasks: &TaskTracker) {
        for (signal, heartbeat) in self.heartbeats.iter() {
            let lane = Lane {
                endpoint: Arc::clone(&self.endpoint),
                signal: *signal,
                queue: Arc::clone(&self.queue),
                client: Arc::clone(&self.client),
                traffic: Arc::clone(&self.traffic),
                heartbeat: Arc::clone(heartbeat),
            };
            tasks.spawn(lane.run());
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Whether this signal goes to this endpoint.
    #[must_use]
    pub fn takes(&self, signal: Signal) -> bool {
        self.endpoint.uris[signal.index()].is_some()
    }

    /// Finds a place for a payload, waiting for it until the deadline.
    pub async fn reserve(&self, size: ByteSize, until: Instant) -> Result<Place, Full> {
        match self.endpoint.queue.when_full {
            WhenFull::Drop => Ok(Place {
                room: self.queue.try_reserve(size.0),
            }),
            WhenFull::Refuse => match self.queue.reserve(size.0, until).await {
                room @ Some(_) => Ok(Place { room }),
                None => Err(Full {
                    retry_after: self.queue.retry_after(),
                }),
            },
        }
    }

    /// Takes a payload over into its place.
    pub fn push(&self, payload: Payload, place: Place) {
        match place.room {
            Some(room) => self.queue.push(payload, room),
            None => self
                .queue
                .ledger()
                .receive(payload.signal, payload.tally)
                .dropped(DropReason::QueueFull),
        }
    }

    /// Sends what waits at once and ends the lanes when all is settled.
    pub fn close(&self) {
        self.queue.close();
    }

    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.queue.ledger()
    }

    /// The lanes' heartbeats by name.
    pub fn heartbeats(&self) -> impl Iterator<Item = (String, Arc<Heartbeat>)> {
        self.heartbeats.iter().map(|(signal, heartbeat)| {
            (
                format!("export {} {}", self.endpoint.name, signal.as_str()),
                Arc::clone(heartbeat),
            )
        })
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}
