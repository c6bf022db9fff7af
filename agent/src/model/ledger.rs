//! The accounts: received = exported + dropped{reason} + held, at every instant.
//!
//! Each endpoint keeps one ledger. An item enters as [`Held`], a value that must be settled as exported or
//! dropped; the four columns of an account move together under one lock, so a reader never sees an item
//! twice or not at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DropReason, Signal, Tally};

/// What became of the items of one signal at one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub received: Tally,
    pub exported: Tally,
    pub dropped: [Tally; DropReason::ALL.len()],
    pub held: Tally,
}

/// The accounts of one endpoint, one per signal.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: Mutex<[Account; Signal::ALL.len()]>,
}

impl Ledger {
    /// Enters items as received and held.
    #[must_use = "held items are counted as dropped{shutdown} when the value goes away unsettled"]
    pub fn receive(self: &Arc<Self>, signal: Signal, tally: Tally) -> Held {
        let mut accounts = self.lock();
        let account = &mut accounts[signal.index()];
        account.received += tally;
        account.held += tally;
        drop(accounts);
        Held {
            ledger: Arc::clone(self),
            signal,
            tally,
        }
    }

    /// All accounts as they stand together at one instant, in the order of [`Signal::ALL`].
    #[must_use]
    pub fn read(&self) -> [Account; Signal::ALL.len()] {
        *self.lock()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lock().iter().all(|account| account.held.total() == 0)
    }

    fn lock(&self) -> MutexGuard<'_, [Account; Signal::ALL.len()]> {
        // Nothing panics while it is held, and counters are sound at every step all the same.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Items that were received and are neither exported nor dropped yet.
#[derive(Debug)]
pub struct Held {
    ledger: Arc<Ledger>,
    signal: Signal,
    tally: Tally,
}

impl Held {
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Settles all items as exported.
    pub fn exported(mut self) {
        let tally = std::mem::take(&mut self.tally);
        self.settle(tally, |account| &mut account.exported);
    }

    /// Settles all items as dropped.
    pub fn dropped(mut self, reason: DropReason) {
        let tally = std::mem::take(&mut self.tally);
        self.settle(tally, |account| &mut account.dropped[reason.index()]);
    }

    /// Puts the items of another value under this one.
    pub fn absorb(&mut self, mut other: Self) {
        self.tally += std::mem::take(&mut other.tally);
    }

    /// Takes out items, at most those that are there, to be settled apart.
    #[must_use]
    pub fn split(&mut self, items: u64) -> Self {
        Self {
            ledger: Arc::clone(&self.ledger),
            signal: self.signal,
            tally: self.tally.take(items),
        }
    }

    fn settle(&self, tally: Tally, column: impl FnOnce(&mut Account) -> &mut Tally) {
        let mut accounts = self.ledger.lock();
        let account = &mut accounts[self.signal.index()];
        account.held -= tally;
        *column(account) += tally;
    }
}

impl Drop for Held {
    /// Only a task that is torn down leaves items unsettled: the agent is stopping.
    fn drop(&mut self) {
        if self.tally.total() > 0 {
            self.settle(self.tally, |account| {
                &mut account.dropped[DropReason::Shutdown.index()]
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Component;

    fn spans(items: u64) -> Tally {
        let mut tally = Tally::default();
        tally.add(Component::Kubelet, items);
        tally
    }

    fn check(ledger: &Ledger, exported: u64, dropped: u64, held: u64) {
        let account = ledger.read()[Signal::Traces.index()];
        let lost: u64 = account.dropped.iter().map(Tally::total).sum();
        assert_eq!(
            (account.exported.total(), lost, account.held.total()),
            (exported, dropped, held)
        );
        assert_eq!(account.received.total(), exported + dropped + held);
    }

    #[test]
    fn every_item_is_in_exactly_one_column() {
        let ledger = Arc::new(Ledger::default());
        let mut held = ledger.receive(Signal::Traces, spans(10));
        held.absorb(ledger.receive(Signal::Traces, spans(5)));
        check(&ledger, 0, 0, 15);
        held.split(4).dropped(DropReason::PartialSuccess);
        check(&ledger, 0, 4, 11);
        held.exported();
        check(&ledger, 11, 4, 0);
        assert!(ledger.is_settled());
    }

    #[test]
    fn an_item_that_nobody_settles_is_a_loss_at_shutdown() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.receive(Signal::Traces, spans(3)));
        check(&ledger, 0, 3, 0);
        assert_eq!(ledger.read()[0].dropped[DropReason::Shutdown.index()].total(), 3);
    }
}
