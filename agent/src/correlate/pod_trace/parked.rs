//! Work that does not name its pod's UID: whose it is, something else may say only later.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use super::work::{Key, Work};
use crate::model::time::{Nanos, Wall};

/// Bounded: the oldest makes room.
#[derive(Debug)]
pub(super) struct Parked {
    max: usize,
    next: u64,
    works: HashMap<u64, (Work, Vec<Key>)>,
    by_key: HashMap<Key, Vec<u64>>,
    oldest: VecDeque<(Nanos<Wall>, u64)>,
}

impl Parked {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            next: 0,
            works: HashMap::new(),
            by_key: HashMap::new(),
            oldest: VecDeque::new(),
        }
    }

    pub(super) fn put(&mut self, work: Work, keys: Vec<Key>, now: Nanos<Wall>) {
        let id = self.next;
        self.next += 1;
        for key in &keys {
            self.by_key.entry(key.clone()).or_default().push(id);
        }
        self.works.insert(id, (work, keys));
        self.oldest.push_back((now, id));
        while self.works.len() > self.max {
            self.drop_oldest();
        }
    }

    /// All that has this key. It stays: a name is that of several pods, one after another.
    pub(super) fn with(&self, key: &Key) -> Vec<(Work, Vec<Key>)> {
        let ids = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.works.get(id).cloned()).collect()
    }

    pub(super) fn expire(&mut self, now: Nanos<Wall>, patience: Duration) {
        while let Some((at, _)) = self.oldest.front() {
            if now.since(at) < patience {
                return;
            }
            self.drop_oldest();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.oldest.pop_front() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some((_, keys)) = self.works.remove(&id) else {
            return;
        };
        for key in &keys {
            if let Some(ids) = self.by_key.get_mut(key) {
                ids.retain(|known| *known != id);
                if ids.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
    }
}
