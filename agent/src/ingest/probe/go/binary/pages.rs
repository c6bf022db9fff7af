//! Bounded reads of a file that anyone may have written, and that may change while it is read.
//!
//! In: an open file and offsets. Out: bytes, from a small cache of pages, since the tables of an executable
//! are read a few bytes at a time from a few places at once. The file is not mapped: a mapping of a file
//! that gets shorter ends the process that reads it.

use std::{cell::RefCell, fs::File, os::unix::fs::FileExt as _};

use super::Unreadable;

const PAGE: usize = 16 << 10;
/// Each page has one slot, by its number: what is cached is bounded by 4 MiB, and nothing is kept in order.
const SLOTS: u64 = 256;
/// The largest executables of a node, debug information included, have half of this.
const MAX_FILE: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    length: u64,
    slots: RefCell<Vec<Slot>>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    number: u64,
    /// Empty until the slot is used; shorter than a page only at the end of the file.
    bytes: Vec<u8>,
}

impl Pages {
    pub(super) fn new(file: File) -> Result<Self, Unreadable> {
        let length = file
            .metadata()
            .map_err(|source| Unreadable::Io {
                offset: 0,
                length: 0,
                source,
            })?
            .len();
        if length > MAX_FILE {
            return Err(Unreadable::Large {
                what: "the file",
                size: length,
                limit: MAX_FILE,
            });
        }
        let slots = RefCell::new(vec![Slot::default(); index(SLOTS)]);
        Ok(Self { file, length, slots })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `into` from `offset` on, or fails.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(Unreadable::Corrupt("a place behind the file's end"));
        }
        if into.len() >= PAGE {
            return self.fetch(offset, into);
        }
        let mut slots = self.slots.borrow_mut();
        let mut filled = 0;
        while filled < into.len() {
            let at = offset + filled as u64;
            let number = at / PAGE as u64;
            let Some(slot) = slots.get_mut(index(number % SLOTS)) else {
                return Err(Unreadable::Corrupt("a page without a slot"));
            };
            if slot.number != number || slot.bytes.is_empty() {
                let start = number * PAGE as u64;
                slot.number = number;
                slot.bytes
                    .resize(index((self.length - start).min(PAGE as u64)), 0);
                if let Err(fault) = self.fetch(start, &mut slot.bytes) {
                    slot.bytes.clear();
                    return Err(fault);
                }
            }
            let rest = slot.bytes.get(index(at % PAGE as u64)..).unwrap_or_default();
            let some = rest.len().min(into.len() - filled);
            into[filled..filled + some].copy_from_slice(&rest[..some]);
            filled += some;
        }
        Ok(())
    }

    fn fetch(&self, offset: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.file
            .read_exact_at(into, offset)
            .map_err(|source| Unreadable::Io {
                offset,
                length: into.len(),
                source,
            })
    }
}

/// A length or offset that was already compared with the file's length, to index with.
pub(super) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
