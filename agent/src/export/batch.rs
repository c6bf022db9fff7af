//! One request to be: bodies of one signal in a row, and the room that they take in the queue.

use bytes::Bytes;

use super::{
    halve::{Half, halve},
    queue::Room,
};
use crate::model::{DropReason, Held, Signal};

/// What leaves in one request.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) signal: Signal,
    parts: Vec<Part>,
    size: usize,
    room: Option<Room>,
}

/// One admitted body and the items in it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) body: Bytes,
    pub(super) held: Held,
}

impl Batch {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            parts: Vec::new(),
            size: 0,
            room: None,
        }
    }

    pub(super) fn push(&mut self, part: Part, room: Room) {
        self.size += part.body.len();
        self.parts.push(part);
        match &mut self.room {
            Some(mine) => mine.absorb(room),
            none => *none = Some(room),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes of the request, uncompressed.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn bodies(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().map(|part| &part.body)
    }

    pub(super) fn items(&self) -> u64 {
        self.parts.iter().map(|part| part.held.tally().total()).sum()
    }

    /// The endpoint took all but `rejected` items.
    pub(super) fn delivered(self, rejected: u64) {
        let mut all = self.parts.into_iter().map(|part| part.held);
        let Some(mut held) = all.next() else { return };
        all.for_each(|other| held.absorb(other));
        held.split(rejected).dropped(DropReason::PartialSuccess);
        held.exported();
    }

    pub(super) fn dropped(self, reason: DropReason) {
        for part in self.parts {
            part.held.dropped(reason);
        }
    }

    /// Two batches of about half the bytes each, the second with the room of both; or the batch as it is
    /// when it holds a single item.
    pub(super) fn split(mut self) -> Result<[Self; 2], Self> {
        let (left, right) = if self.parts.len() > 1 {
            let middle = middle(&self.parts, self.size);
            let right = self.parts.split_off(middle);
            (self.parts, right)
        } else {
            match self.parts.pop().map(Part::split) {
                Some(Ok([left, right])) => (vec![left], vec![right]),
                Some(Err(part)) => {
                    self.parts.push(part);
                    return Err(self);
                }
                None => return Err(self),
            }
        };
        let half = |parts: Vec<Part>, room| {
            let size = parts.iter().map(|part| part.body.len()).sum();
            Self {
                signal: self.signal,
                parts,
                size,
                room,
            }
        };
        Ok([half(left, None), half(right, self.room)])
    }
}

/// Where to cut a row of at least two parts, so that neither side is empty.
fn middle(parts: &[Part], size: usize) -> usize {
    let mut before = 0;
    let fits = |part: &&Part| {
        before += part.body.len();
        before <= size / 2
    };
    parts.iter().take_while(fits).count().clamp(1, parts.len() - 1)
}

impl Part {
    fn split(mut self) -> Result<[Self; 2], Self> {
        // The signal does not change along a body's way; the held items know it.
        match halve(self.held.signal(), &self.body) {
            Some([left, Half { body, .. }]) => {
                let held = self.held.split(left.items);
                Ok([
                    Self {
                        body: left.body,
                        held,
                    },
                    Self {
                        body,
                        held: self.held,
                    },
                ])
            }
            None => Err(self),
        }
    }
}
