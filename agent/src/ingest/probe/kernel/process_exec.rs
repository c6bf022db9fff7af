//! How many programs this node started.
//!
//! In: the loaded object. Out: the count, read from the kernel whenever it is asked for.

use std::{collections::HashMap, fmt};

use abi::process_exec::{COUNTS, PROGRAM, SLOT, TRACEPOINT};
use aya::maps::{Map, MapData, PerCpuArray};
use link::{Object, RawTracepoint, RunTime};

use crate::ingest::probe::load::{self, Fault};

pub(in crate::ingest::probe) struct ProcessExec {
    counts: PerCpuArray<MapData, u64>,
    /// The program runs until this is dropped.
    link: RawTracepoint,
}

impl ProcessExec {
    /// Starts the program, while the object's maps are in their place.
    pub(in crate::ingest::probe) fn attach(object: &Object) -> Result<RawTracepoint, Fault> {
        RawTracepoint::attach(object, PROGRAM, TRACEPOINT).map_err(Fault::of_program)
    }

    pub(in crate::ingest::probe) fn new(
        link: RawTracepoint,
        maps: &mut HashMap<String, MapData>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            counts: load::map(maps, COUNTS, Map::PerCpuArray)?,
            link,
        })
    }

    pub(in crate::ingest::probe) fn run_time(&self) -> Option<RunTime> {
        self.link.run_time()
    }

    /// `None` if the kernel does not answer, which is worth no log line at every scrape.
    pub(in crate::ingest::probe) fn count(&self) -> Option<u64> {
        Some(self.counts.get(&SLOT, 0).ok()?.iter().sum())
    }
}

impl fmt::Debug for ProcessExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessExec").finish_non_exhaustive()
    }
}
