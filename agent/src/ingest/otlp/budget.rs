//! How many bytes all requests together may hold while they are being read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::fault::Fault;
use crate::model::ByteSize;

/// The bytes that are free; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    size: ByteSize,
    free: Arc<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(size: ByteSize) -> Self {
        Self {
            size,
            free: Arc::new(AtomicUsize::new(size.0)),
        }
    }

    /// A reservation of nothing, to be grown.
    pub(super) fn reserve(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            held: 0,
        }
    }
}

/// The part of the budget that one request holds, given back when it goes away.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Budget,
    held: usize,
}

impl Reservation {
    /// Takes more, or fails at once: a request that waited for others while it holds its own part could
    /// wait for ever.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let take = |free: usize| free.checked_sub(bytes);
        match self
            .budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(_) => {
                self.held += bytes;
                Ok(())
            }
            // What the whole budget cannot hold will never find room, whenever it is sent again.
            Err(_) if self.held.saturating_add(bytes) > self.budget.size.0 => {
                Err(Fault::TooLarge(self.budget.size))
            }
            Err(_) => Err(Fault::Busy),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_holds_is_free_again_when_it_ends() {
        let budget = Budget::new(ByteSize(10));
        let mut first = budget.reserve();
        first.grow(6).unwrap();
        assert!(matches!(budget.reserve().grow(5), Err(Fault::Busy)));
        first.grow(4).unwrap();
        drop(first);
        budget.reserve().grow(10).unwrap();
    }

    #[test]
    fn what_can_never_fit_is_too_large() {
        let budget = Budget::new(ByteSize(10));
        assert!(matches!(
            budget.reserve().grow(11),
            Err(Fault::TooLarge(ByteSize(10)))
        ));
    }
}
