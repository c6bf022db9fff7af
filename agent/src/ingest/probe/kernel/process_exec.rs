//! How many programs this node started.
//!
//! In: the loaded object. Out: the count, read from the kernel whenever it is asked for.

use std::fmt;

use abi::process_exec::{COUNTS, PROGRAM, SLOT, TRACEPOINT};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    programs::{RawTracePoint, raw_trace_point::RawTracePointLink},
};

use crate::ingest::probe::load::{self, Fault};

pub(in crate::ingest::probe) struct ProcessExec {
    counts: PerCpuArray<MapData, u64>,
    /// The program runs until this is dropped.
    _link: RawTracePointLink,
}

impl ProcessExec {
    pub(in crate::ingest::probe) fn attach(object: &mut Ebpf) -> Result<Self, Fault> {
        let counts = object.take_map(COUNTS).ok_or(Fault::Missing(COUNTS))?;
        let counts = PerCpuArray::try_from(counts).map_err(Fault::Map)?;
        let program: &mut RawTracePoint = load::program(object, PROGRAM)?;
        program.load()?;
        let link = program.attach(TRACEPOINT)?;
        Ok(Self {
            counts,
            _link: program.take_link(link)?,
        })
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
