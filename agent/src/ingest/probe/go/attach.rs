//! Attaches the programs to functions of a process, and takes them off again.
//!
//! In: for each function its points and what to read there. Out: an [`Attachment`], which is all that
//! there is of it, and the [`Record`]s of all attachments together.
//!
//! Invariant: all of a process's functions are attached, or none. What the kernel holds for a process is
//! gone when its attachment is dropped, and in any case when the agent ends, however it ends.

use std::{
    collections::HashMap,
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use abi::go_call::{
    Counts, ENTER, LEAVE, Process, RECORDS, RING_SIZE, Return, Spec, cookie,
    histogram::Histogram,
    record::{Begin, End},
};
use aya::maps::{Map, MapData, MapError, RingBuf};
use link::{Method, Object, Point, Probes, RunTime, Uprobe};

use super::{
    record::Record,
    tables::{Rows, Tables},
};
use crate::ingest::probe::load;

/// The most records that the ring can hold.
const FULL_RING: usize = RING_SIZE as usize
    / if Begin::SIZE < End::SIZE {
        Begin::SIZE
    } else {
        End::SIZE
    };

/// A function of an executable: what to do where a call of it begins, and where it ends.
#[derive(Debug, Clone)]
pub struct Function {
    /// The place of its entry point in the file.
    pub entry: u64,
    /// What is read there. Its `histogram` is chosen here.
    pub spec: Spec,
    /// Whether its calls are counted in a histogram, and told only as `spec` says.
    pub is_hot: bool,
    pub returns: Vec<ReturnPoint>,
}

/// Where a call may end.
#[derive(Debug, Clone, Copy)]
pub struct ReturnPoint {
    /// Its place in the file.
    pub offset: u64,
    /// What is read there. Its `spec` is chosen here.
    pub point: Return,
}

/// Why a process is not traced.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("it has none of the functions")]
    Empty,
    #[error("there is no more room than for {bound} {table}: name fewer functions")]
    Full { table: &'static str, bound: u32 },
    #[error("cannot write down what to read")]
    Table(#[source] MapError),
    #[error("the kernel does not attach to it; the agent needs the capability SYS_PTRACE")]
    Attach(#[source] io::Error),
    #[error(
        "the kernel does not attach to it; before Linux 6.6 the agent needs the capability SYS_ADMIN (chart: olderKernels)"
    )]
    AttachEach(#[source] io::Error),
}

/// The two programs, loaded.
pub(in crate::ingest::probe) struct Uprobes {
    enter: Uprobe,
    leave: Uprobe,
}

/// The two programs with their tables: what attaches them to processes.
pub struct Programs {
    uprobes: Uprobes,
    tables: Arc<Tables>,
    records: Mutex<RingBuf<MapData>>,
}

/// The probes of one process. Dropping it takes them off, and frees what they had in the tables.
#[derive(Debug)]
pub struct Attachment {
    // In this order they are dropped: no call begins any more, then none ends, then no table is read.
    _enter: Probes,
    _leave: Probes,
    rows: Rows,
}

impl Uprobes {
    /// While the object's maps are in their place.
    pub(in crate::ingest::probe) fn load(object: &Object) -> Result<Self, load::Fault> {
        Self::load_each(|name| Uprobe::load(object, name))
    }

    /// To be attached one by one, whatever this kernel can do.
    pub(in crate::ingest::probe) fn load_for_events(object: &Object) -> Result<Self, load::Fault> {
        Self::load_each(|name| Uprobe::load_for(object, name, Method::Event))
    }

    fn load_each(load: impl Fn(&'static str) -> Result<Uprobe, link::Fault>) -> Result<Self, load::Fault> {
        Ok(Self {
            enter: load(ENTER).map_err(load::Fault::of_program)?,
            leave: load(LEAVE).map_err(load::Fault::of_program)?,
        })
    }
}

impl Programs {
    pub(in crate::ingest::probe) fn new(
        uprobes: Uprobes,
        maps: &mut HashMap<String, MapData>,
    ) -> Result<Self, load::Fault> {
        let records = load::map(maps, RECORDS, Map::RingBuf)?;
        Ok(Self {
            uprobes,
            tables: Arc::new(Tables::new(maps)?),
            records: Mutex::new(records),
        })
    }

    /// Attaches to functions of a process, whose executable is at this path as the agent sees it.
    pub fn attach(
        &self,
        pid: u32,
        executable: &Path,
        process: Process,
        functions: &[Function],
    ) -> Result<Attachment, Refused> {
        let mut rows = Rows::new(&self.tables, process)?;
        let (mut entries, mut returns) = (Vec::new(), Vec::new());
        for function in functions {
            let row = rows.add_function(&function.spec, function.is_hot)?;
            entries.push(Point {
                offset: function.entry,
                cookie: cookie(rows.slot(), row),
            });
            for ReturnPoint { offset, point } in &function.returns {
                let row = rows.add_return(Return { spec: row, ..*point })?;
                returns.push(Point {
                    offset: *offset,
                    cookie: cookie(rows.slot(), row),
                });
            }
        }
        if entries.is_empty() || returns.is_empty() {
            return Err(Refused::Empty);
        }
        // Returns first: then every call whose begin is seen can be seen to end.
        let leave = self.uprobes.leave.attach(executable, pid, &returns);
        let leave = leave.map_err(|error| self.refused(error))?;
        let enter = self.uprobes.enter.attach(executable, pid, &entries);
        let enter = enter.map_err(|error| self.refused(error))?;
        Ok(Attachment {
            _enter: enter,
            _leave: leave,
            rows,
        })
    }

    /// Hands over what has happened since the last time, oldest first.
    ///
    /// Records wake no one, so it is to be called often enough that the ring does not fill up: ten times a
    /// second. One call ends even when records come in faster than they are taken.
    pub fn drain(&self, mut take: impl FnMut(Record)) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..FULL_RING {
            let Some(bytes) = records.next() else { break };
            if let Some(record) = Record::decode(&bytes) {
                take(record);
            }
        }
    }

    pub(in crate::ingest::probe) fn run_times(&self) -> [(&'static str, Option<RunTime>); 2] {
        let Uprobes { enter, leave } = &self.uprobes;
        [(ENTER, enter.run_time()), (LEAVE, leave.run_time())]
    }

    fn refused(&self, error: io::Error) -> Refused {
        match self.uprobes.enter.method() {
            Method::Multi => Refused::Attach(error),
            Method::Event => Refused::AttachEach(error),
        }
    }
}

impl Attachment {
    /// The number by which records name this attachment: never used again for another.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.rows.slot()
    }

    /// Which of the functions it was made with a record names by this row.
    #[must_use]
    pub fn function(&self, row: u32) -> Option<usize> {
        self.rows
            .functions()
            .iter()
            .position(|function| function.row == row)
    }

    /// What has happened at the points of a function, by its number; none if the kernel does not say.
    #[must_use]
    pub fn counts(&self, function: usize) -> Option<Counts> {
        self.rows.counts(function)
    }

    /// How long the calls of a hot function took.
    #[must_use]
    pub fn histogram(&self, function: usize) -> Option<Histogram> {
        self.rows.histogram(function)
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}
