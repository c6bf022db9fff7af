//! The tables that tell the programs what to do, and the rows in them that belong to one process.
//!
//! Invariant: a row belongs to one process at most, its counters begin at zero, and a slot is never used
//! again: what a process left behind in the kernel is no other process's.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use abi::go_call::{
    COUNTS, Counts, HISTOGRAMS, MAX_HISTOGRAMS, MAX_PROCESSES, MAX_RETURNS, MAX_SPECS, PROCESSES, Process,
    RETURNS, Return, SLOW, SPECS, Spec, histogram::Histogram,
};
use aya::{
    maps::{self, Array, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};

use super::attach::Refused;
use crate::ingest::probe::load::{self, Fault};

/// The tables of all processes.
pub(super) struct Tables(Mutex<Inner>);

struct Inner {
    next_slot: u32,
    free_processes: u32,
    processes: maps::HashMap<MapData, u32, [u8; Process::SIZE]>,
    free_specs: Free,
    specs: Array<MapData, [u8; Spec::SIZE]>,
    counts: PerCpuArray<MapData, [u8; Counts::SIZE]>,
    free_returns: Free,
    returns: Array<MapData, [u8; Return::SIZE]>,
    free_histograms: Free,
    histograms: PerCpuArray<MapData, [u8; Histogram::SIZE]>,
}

/// The rows of a table that no process has.
struct Free {
    table: &'static str,
    bound: u32,
    rows: Vec<u32>,
}

/// The rows of one process, which are free again when this is dropped.
pub(super) struct Rows {
    tables: Arc<Tables>,
    slot: u32,
    functions: Vec<FunctionRow>,
    returns: Vec<u32>,
}

pub(super) struct FunctionRow {
    pub(super) row: u32,
    /// Of a hot function.
    histogram: Option<u32>,
}

impl Tables {
    pub(super) fn new(maps: &mut HashMap<String, MapData>) -> Result<Self, Fault> {
        Ok(Self(Mutex::new(Inner {
            next_slot: 1,
            free_processes: MAX_PROCESSES,
            processes: load::map(maps, PROCESSES, Map::HashMap)?,
            free_specs: Free::new("functions", MAX_SPECS),
            specs: load::map(maps, SPECS, Map::Array)?,
            counts: load::map(maps, COUNTS, Map::PerCpuArray)?,
            free_returns: Free::new("return points", MAX_RETURNS),
            returns: load::map(maps, RETURNS, Map::Array)?,
            free_histograms: Free::new("hot functions", MAX_HISTOGRAMS),
            histograms: load::map(maps, HISTOGRAMS, Map::PerCpuArray)?,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add_process(&mut self, process: Process) -> Result<u32, Refused> {
        if self.free_processes == 0 {
            let (table, bound) = ("processes", MAX_PROCESSES);
            return Err(Refused::Full { table, bound });
        }
        let slot = self.next_slot;
        self.processes
            .insert(slot, process.to_bytes(), 0)
            .map_err(Refused::Table)?;
        self.next_slot += 1;
        self.free_processes -= 1;
        Ok(slot)
    }

    fn add_histogram(&mut self) -> Result<u32, Refused> {
        let row = self.free_histograms.take()?;
        let zeros = on_each_cpu([0; Histogram::SIZE]).and_then(|zeros| self.histograms.set(row, zeros, 0));
        self.free_histograms.keep(row, zeros)
    }

    fn add_function(&mut self, spec: Spec) -> Result<u32, Refused> {
        let row = self.free_specs.take()?;
        let written = on_each_cpu([0; Counts::SIZE])
            .and_then(|zeros| self.counts.set(row, zeros, 0))
            .and_then(|()| self.specs.set(row, spec.to_bytes(), 0));
        self.free_specs.keep(row, written)
    }

    fn add_return(&mut self, point: Return) -> Result<u32, Refused> {
        let row = self.free_returns.take()?;
        let written = self.returns.set(row, point.to_bytes(), 0);
        self.free_returns.keep(row, written)
    }
}

impl Free {
    fn new(table: &'static str, bound: u32) -> Self {
        let rows = (0..bound).rev().collect();
        Self { table, bound, rows }
    }

    fn take(&mut self) -> Result<u32, Refused> {
        let Self { table, bound, rows } = self;
        let (table, bound) = (*table, *bound);
        rows.pop().ok_or(Refused::Full { table, bound })
    }

    /// A row that could not be written stays free.
    fn keep(&mut self, row: u32, written: Result<(), MapError>) -> Result<u32, Refused> {
        written.map(|()| row).map_err(|error| {
            self.rows.push(row);
            Refused::Table(error)
        })
    }
}

impl Rows {
    pub(super) fn new(tables: &Arc<Tables>, process: Process) -> Result<Self, Refused> {
        let slot = tables.lock().add_process(process)?;
        Ok(Self {
            tables: Arc::clone(tables),
            slot,
            functions: Vec::new(),
            returns: Vec::new(),
        })
    }

    /// Writes down a function, with a histogram if it is a hot one.
    pub(super) fn add_function(&mut self, spec: &Spec, is_hot: bool) -> Result<u32, Refused> {
        let mut tables = self.tables.lock();
        let histogram = is_hot.then(|| tables.add_histogram()).transpose()?;
        let spec = Spec {
            histogram: histogram.unwrap_or(SLOW),
            ..*spec
        };
        let row = tables.add_function(spec).inspect_err(|_| {
            tables.free_histograms.rows.extend(histogram);
        })?;
        self.functions.push(FunctionRow { row, histogram });
        Ok(row)
    }

    pub(super) fn add_return(&mut self, point: Return) -> Result<u32, Refused> {
        let row = self.tables.lock().add_return(point)?;
        self.returns.push(row);
        Ok(row)
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// In the order in which they were added.
    pub(super) fn functions(&self) -> &[FunctionRow] {
        &self.functions
    }

    pub(super) fn counts(&self, function: usize) -> Option<Counts> {
        let row = self.functions.get(function)?.row;
        let each = self.tables.lock().counts.get(&row, 0).ok()?;
        Some(Counts::from_bytes(sum(&each)))
    }

    pub(super) fn histogram(&self, function: usize) -> Option<Histogram> {
        let row = self.functions.get(function)?.histogram?;
        let each = self.tables.lock().histograms.get(&row, 0).ok()?;
        Some(Histogram::from_bytes(sum(&each)))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let mut tables = self.tables.lock();
        let tables = &mut *tables;
        tables
            .free_specs
            .rows
            .extend(self.functions.iter().map(|function| function.row));
        tables
            .free_histograms
            .rows
            .extend(self.functions.iter().filter_map(|function| function.histogram));
        tables.free_returns.rows.append(&mut self.returns);
        if tables.processes.remove(&self.slot).is_ok() {
            tables.free_processes += 1;
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

fn on_each_cpu<const SIZE: usize>(value: [u8; SIZE]) -> Result<PerCpuValues<[u8; SIZE]>, MapError> {
    let cpus = nr_cpus().map_err(|(_, error)| MapError::IoError(error))?;
    PerCpuValues::try_from(vec![value; cpus]).map_err(MapError::IoError)
}

/// Adds up what each CPU has counted: records that are made of counters only.
fn sum<const SIZE: usize>(each: &PerCpuValues<[u8; SIZE]>) -> [u8; SIZE] {
    let mut total = [0; SIZE];
    for cpu in each.iter() {
        let counters = total.as_chunks_mut().0.iter_mut().zip(cpu.as_chunks().0);
        for (total, counter) in counters {
            *total = (u64::from_ne_bytes(*total).wrapping_add(u64::from_ne_bytes(*counter))).to_ne_bytes();
        }
    }
    total
}
