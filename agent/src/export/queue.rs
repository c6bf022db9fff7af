//! What waits for one endpoint: bounded in bytes, in memory.
//!
//! In: payloads, with room reserved for them first. Out: batches. The room of a batch is given back when
//! the batch is settled, not when it is taken out, so the bound covers what is on its way as well. A
//! durable spool takes this file's place with the same three verbs: `reserve`, `push`, `next_batch`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

use super::batch::{Batch, Part};
use crate::model::{ByteSize, Ledger, Payload, Signal};

/// The queue of one endpoint, with one line per signal, as a request carries one signal only.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: u32,
    free: Arc<Semaphore>,
    ledger: Arc<Ledger>,
    batch: super::Batch,
    lines: [Line; Signal::ALL.len()],
}

/// Room for one payload, given back when it goes out of scope.
#[derive(Debug)]
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    pub(super) fn absorb(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    parts: VecDeque<(Part, Room)>,
    size: usize,
    /// When the oldest part came in.
    since: Option<Instant>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(queue: super::Queue, batch: super::Batch, ledger: Arc<Ledger>) -> Self {
        let capacity = u32::try_from(queue.max_size.0).unwrap_or(u32::MAX);
        Self {
            capacity,
            free: Arc::new(Semaphore::new(
                usize::try_from(capacity).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            ledger,
            batch,
            lines: Default::default(),
        }
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(super) fn capacity(&self) -> ByteSize {
        ByteSize(usize::try_from(self.capacity).unwrap_or(usize::MAX))
    }

    /// The bytes that wait or are on their way.
    pub(super) fn used(&self) -> ByteSize {
        ByteSize(self.capacity().0.saturating_sub(self.free.available_permits()))
    }

    /// Waits for room until the deadline; none means that the queue is full.
    pub(super) async fn reserve(&self, size: usize, until: Instant) -> Option<Room> {
        if let Some(room) = self.try_reserve(size) {
            return Some(room);
        }
        let free = Arc::clone(&self.free).acquire_many_owned(self.permits(size));
        time::timeout_at(until, free).await.ok()?.ok().map(Room)
    }

    pub(super) fn try_reserve(&self, size: usize) -> Option<Room> {
        Arc::clone(&self.free)
            .try_acquire_many_owned(self.permits(size))
            .ok()
            .map(Room)
    }

    /// One payload larger than the whole queue takes all of it instead of waiting for ever.
    fn permits(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.capacity)
    }

    /// Takes the payload over: from here on it is received, and held until it is settled.
    pub(super) fn push(&self, payload: Payload, room: Room) {
        let line = &self.lines[payload.signal.index()];
        let held = self.ledger.receive(payload.signal, payload.tally);
        let mut waiting = line.lock();
        let before = waiting.size;
        waiting.size += payload.body.len();
        waiting.since.get_or_insert_with(Instant::now);
        waiting.parts.push_back((
            Part {
                body: payload.body,
                held,
            },
            room,
        ));
        // Who takes batches out cares for two moments only: something came, and a batch is full.
        let full = self.batch.max_size.0;
        let wake = before == 0 || (before < full && waiting.size >= full);
        drop(waiting);
        if wake {
            line.changed.notify_one();
        }
    }

    /// The next batch of a signal, when it is full or old enough; none once closed and empty.
    pub(super) async fn next_batch(&self, signal: Signal) -> Option<Batch> {
        let line = &self.lines[signal.index()];
        loop {
            let ripe_at = {
                let mut waiting = line.lock();
                match waiting.since.map(|since| since + self.batch.max_age) {
                    Some(ripe_at)
                        if waiting.closed
                            || waiting.size >= self.batch.max_size.0
                            || ripe_at <= Instant::now() =>
                    {
                        return Some(waiting.take_batch(signal, self.batch.max_size.0));
                    }
                    None if waiting.closed => return None,
                    ripe_at => ripe_at,
                }
            };
            let changed = line.changed.notified();
            match ripe_at {
                // Either end of the wait leads to the same question again.
                Some(at) => drop(time::timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }

    /// What waits leaves at once, however small; `next_batch` ends when its line is empty.
    pub(super) fn close(&self) {
        for line in &self.lines {
            line.lock().closed = true;
            line.changed.notify_one();
        }
    }

    /// How long a refused sender should wait: as long as a batch of this queue ripens, at least a second.
    pub(super) fn retry_after(&self) -> Duration {
        self.batch.max_age.max(Duration::from_secs(1))
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    fn take_batch(&mut self, signal: Signal, max_size: usize) -> Batch {
        let mut batch = Batch::new(signal);
        while let Some((part, _)) = self.parts.front() {
            if !batch.is_empty() && batch.size() + part.body.len() > max_size {
                break;
            }
            if let Some((part, room)) = self.parts.pop_front() {
                self.size -= part.body.len();
                batch.push(part, room);
            }
        }
        self.since = (!self.parts.is_empty()).then(Instant::now);
        batch
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        export::WhenFull,
        model::{Component, DropReason, Tally},
    };

    const MAX_AGE: Duration = Duration::from_millis(200);

    fn queue(capacity: usize, batch: usize) -> Queue {
        let queue = crate::export::Queue {
            max_size: ByteSize(capacity),
            when_full: WhenFull::Refuse,
        };
        let batch = crate::export::Batch {
            max_size: ByteSize(batch),
            max_age: MAX_AGE,
        };
        Queue::new(queue, batch, Arc::default())
    }

    /// Reserves and pushes a body of `size` bytes with one item; false when there was no room.
    fn push(queue: &Queue, size: usize) -> bool {
        let Some(room) = queue.try_reserve(size) else {
            return false;
        };
        let mut tally = Tally::default();
        tally.add(Component::Etcd, 1);
        queue.push(
            Payload {
                signal: Signal::Traces,
                body: Bytes::from(vec![0; size]),
                tally,
            },
            room,
        );
        true
    }

    fn held(queue: &Queue) -> u64 {
        queue.ledger.read()[Signal::Traces.index()].held.total()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_leaves_at_once_and_the_rest_when_it_is_old() {
        let queue = queue(1000, 100);
        let start = Instant::now();
        for _ in 0..3 {
            assert!(push(&queue, 40));
        }
        let full = queue.next_batch(Signal::Traces).await.unwrap();
        assert_eq!((full.size(), start.elapsed()), (80, Duration::ZERO));
        let rest = queue.next_batch(Signal::Traces).await.unwrap();
        assert_eq!((rest.size(), rest.items(), start.elapsed()), (40, 1, MAX_AGE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_still_takes_room() {
        let queue = queue(100, 100);
        assert!(push(&queue, 100));
        let batch = queue.next_batch(Signal::Traces).await.unwrap();
        assert!(!push(&queue, 1));
        assert_eq!((queue.used(), held(&queue)), (ByteSize(100), 1));
        batch.dropped(DropReason::Rejected);
        assert!(push(&queue, 1));
        assert_eq!((queue.used(), held(&queue)), (ByteSize(1), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_waits_for_room_until_its_deadline() {
        let queue = queue(100, 100);
        let room = queue.try_reserve(60).unwrap();
        let until = Instant::now() + Duration::from_secs(1);
        assert!(queue.reserve(50, until).await.is_none());
        assert_eq!(Instant::now(), until);
        drop(room);
        assert!(queue.reserve(50, until).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_larger_than_the_queue_has_it_for_itself() {
        let queue = queue(100, 50);
        assert!(push(&queue, 500));
        assert!(!push(&queue, 1));
        assert_eq!(queue.next_batch(Signal::Traces).await.unwrap().size(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_gives_what_it_has_and_ends() {
        let queue = queue(100, 100);
        assert!(push(&queue, 10));
        let start = Instant::now();
        queue.close();
        assert_eq!(queue.next_batch(Signal::Traces).await.unwrap().size(), 10);
        assert!(queue.next_batch(Signal::Traces).await.is_none());
        assert!(queue.next_batch(Signal::Logs).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_splits_into_halves_that_give_the_room_back_together() {
        let queue = queue(1000, 1000);
        for size in [10, 20, 30, 40] {
            assert!(push(&queue, size));
        }
        let [left, right] = queue.next_batch(Signal::Traces).await.unwrap().split().unwrap();
        assert_eq!((left.size(), right.size()), (30, 70));
        left.delivered(0);
        assert_eq!(queue.used(), ByteSize(100));
        right.delivered(1);
        let account = queue.ledger.read()[0];
        assert_eq!(
            (
                account.exported.total(),
                account.dropped[DropReason::PartialSuccess.index()].total()
            ),
            (3, 1)
        );
        assert_eq!(queue.used(), ByteSize(0));
    }
}
