//! One signal's way to one endpoint: takes batches from the queue and brings each to an end.
//!
//! A batch ends as delivered or as a counted loss. Several batches are under way at once, so that one that
//! is tried again and again does not hold up the others.

use std::sync::Arc;

use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;

use super::{
    Endpoint, answer::Answer, batch::Batch, client::Client, queue::Queue, retry::Backoff, traffic::Traffic,
};
use crate::model::{DropReason, Heartbeat, Signal};

/// An endpoint that says "exhausted" this often in a row may mean the size: the batch is then cut in two.
const EXHAUSTED_BEFORE_SPLIT: u32 = 3;

/// Everything that one lane works with.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) signal: Signal,
    pub(super) queue: Arc<Queue>,
    pub(super) client: Arc<Client>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) heartbeat: Arc<Heartbeat>,
}

impl Lane {
    /// Runs until the queue is closed and every batch has come to its end.
    pub(super) async fn run(self) {
        let slots = Arc::new(Semaphore::new(self.endpoint.concurrency));
        let under_way = TaskTracker::new();
        loop {
            // A slot first: what cannot be sent yet is better off growing in the queue.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                break;
            };
            let Some(batch) = self.queue.next_batch(self.signal).await else {
                break;
            };
            let lane = self.clone();
            under_way.spawn(async move {
                lane.deliver(batch).await;
                drop(slot);
            });
        }
        under_way.close();
        under_way.wait().await;
    }

    /// Brings a batch to its end, in pieces where the endpoint wants smaller ones.
    async fn deliver(&self, batch: Batch) {
        let mut todo = vec![batch];
        while let Some(batch) = todo.pop() {
            if let Some([first, second]) = self.attempt(batch).await {
                todo.extend([second, first]);
            }
        }
    }

    /// Tries until the batch is settled or has to be cut in two.
    async fn attempt(&self, mut batch: Batch) -> Option<[Batch; 2]> {
        let started = Instant::now();
        let mut backoff = Backoff::new(&self.endpoint.retry);
        let mut exhausted = 0;
        loop {
            let working = self.heartbeat.working();
            let (answer, bytes) = self.client.send(&batch).await;
            drop(working);
            self.traffic.record(self.signal, &answer, bytes);
            let (after, why) = match answer {
                Answer::Accepted { rejected, .. } => {
                    batch.delivered(rejected);
                    return None;
                }
                Answer::Rejected { why } => {
                    self.lose(batch, DropReason::Rejected, &why);
                    return None;
                }
                Answer::TooLarge { why } => match batch.split() {
                    Ok(halves) => return Some(halves),
                    Err(batch) => {
                        self.lose(batch, DropReason::TooLarge, &why);
                        return None;
                    }
                },
                Answer::Exhausted { why } => {
                    exhausted += 1;
                    (None, why)
                }
                Answer::Retry { after, why } => {
                    exhausted = 0;
                    (after, why)
                }
            };
            let wait = backoff.next(after);
            if self
                .endpoint
                .retry
                .give_up_after
                .is_some_and(|limit| started.elapsed() + wait > limit)
            {
                self.lose(batch, DropReason::RetriesExhausted, &why);
                return None;
            }
            time::sleep(wait).await;
            if exhausted >= EXHAUSTED_BEFORE_SPLIT {
                exhausted = 0;
                match batch.split() {
                    Ok(halves) => return Some(halves),
                    // A single item may still be refused for load alone: it is tried on.
                    Err(whole) => batch = whole,
                }
            }
        }
    }

    fn lose(&self, batch: Batch, reason: DropReason, why: &str) {
        self.traffic.lost(self.signal, batch.items(), reason, why);
        batch.dropped(reason);
    }
}
