//! Calls of Go functions: one program where they begin, one where they end, whatever the function.
//!
//! In: hits of probes, each with a cookie that names a process and a row of a table. Out: records, counts
//! and histograms. A call is known by its goroutine and by how deep in the goroutine's stack it began:
//! calls in calls, stacks that move and goroutines that change threads are no special cases.

use abi::go_call::{
    Counts, InFlight, Key, MAX_CALLS, MAX_HISTOGRAMS, MAX_PROCESSES, MAX_RETURNS, MAX_SPECS, Process,
    RING_SIZE, Return, SLOW, Source, Spec,
    histogram::{self, Histogram},
    record::{BEGIN, Begin, END, End, Head, flag, outcome},
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_get_attach_cookie, bpf_ktime_get_boot_ns},
    },
    macros::{map, uprobe},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    programs::ProbeContext,
};

use crate::{
    emit::{Room, add},
    read::{self, Registers},
};

#[map]
static SPECS: Array<Spec> = Array::with_max_entries(MAX_SPECS, 0);
#[map]
static RETURNS: Array<Return> = Array::with_max_entries(MAX_RETURNS, 0);
#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(MAX_SPECS, 0);
#[map]
static HISTOGRAMS: PerCpuArray<Histogram> = PerCpuArray::with_max_entries(MAX_HISTOGRAMS, 0);
#[map]
static PROCESSES: HashMap<u32, Process> = HashMap::with_max_entries(MAX_PROCESSES, 0);
#[map]
static CALLS: LruHashMap<Key, InFlight> = LruHashMap::with_max_entries(MAX_CALLS, 0);
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_SIZE, 0);

#[uprobe]
fn enter(context: ProbeContext) -> u32 {
    // Nothing but a point that outlives its rows ends without a count, and the agent keeps none.
    let _ = begin(&context);
    0
}

#[uprobe]
fn leave(context: ProbeContext) -> u32 {
    let _ = end(&context);
    0
}

#[inline(always)]
fn begin(context: &ProbeContext) -> Option<()> {
    let (slot, row) = cookie(context);
    let spec = SPECS.get(row)?;
    let counts = counts(row)?;
    let registers = Registers::copy(context);
    let Some((goroutine, depth)) = registers.goroutine(0) else {
        add(&mut counts.stray, 1);
        return None;
    };
    add(&mut counts.entries, 1);
    let key = Key {
        slot,
        spec: row,
        goroutine,
        depth,
    };
    let start = now();
    let wanted = spec.histogram == SLOW || registers.has_prefix(&spec.captures[0], &spec.prefix);
    let room = if wanted { Room::in_ring(&RECORDS) } else { None };
    if wanted && room.is_none() {
        add(&mut counts.lost_begins, 1);
    }
    let overwrites = CALLS.get_ptr(key).is_some();
    let call = InFlight {
        start,
        told: u64::from(room.is_some()),
    };
    if CALLS.insert(key, call, 0).is_err() {
        add(&mut counts.not_kept, 1);
        if let Some(room) = room {
            room.leave_empty();
        }
        return None;
    }
    if overwrites {
        add(&mut counts.overwritten, 1);
    }
    room?.fill(|record: &mut Begin| {
        let flags = if overwrites { flag::OVERWRITES } else { 0 };
        record.head = head(BEGIN, flags, key, start);
        record.native.found = 0;
        // SAFETY: a process's row is written before its probes are attached, and removed after them.
        if let Some(process) = unsafe { PROCESSES.get(slot) }
            && let Some(innermost) = registers.read(&spec.context)
        {
            read::native(process, innermost, &mut record.native);
        }
        for (capture, captured) in spec.captures.iter().zip(&mut record.captures) {
            if !registers.capture(capture, captured) {
                add(&mut counts.unread, 1);
            }
        }
    });
    Some(())
}

#[inline(always)]
fn end(context: &ProbeContext) -> Option<()> {
    let (slot, row) = cookie(context);
    let point = RETURNS.get(row)?;
    let spec = SPECS.get(point.spec)?;
    let counts = counts(point.spec)?;
    let registers = Registers::copy(context);
    let Some((goroutine, depth)) = registers.goroutine(point.frame) else {
        add(&mut counts.stray, 1);
        return None;
    };
    add(&mut counts.returns, 1);
    let key = Key {
        slot,
        spec: point.spec,
        goroutine,
        depth,
    };
    let Some(call) = take(&key) else {
        add(&mut counts.unmatched, 1);
        return None;
    };
    add(&mut counts.matched, 1);
    let now = now();
    let alone = call.told == 0;
    if spec.histogram != SLOW {
        let duration = now - call.start;
        observe(spec.histogram, duration);
        if alone && duration <= spec.threshold {
            return None;
        }
    } else if alone {
        return None;
    }
    let Some(room) = Room::in_ring(&RECORDS) else {
        add(&mut counts.lost_ends, 1);
        return None;
    };
    room.fill(|record: &mut End| {
        let flags = if alone { flag::ALONE } else { 0 };
        record.head = head(END, flags, key, call.start);
        record.end = now;
        record.outcome = result(&registers, &point.error);
        record.unused = 0;
        for (capture, captured) in point.captures.iter().zip(&mut record.captures) {
            if !registers.capture(capture, captured) {
                add(&mut counts.unread, 1);
            }
        }
    });
    Some(())
}

/// The slot of the process, and the row of the point.
#[inline(always)]
fn cookie(context: &ProbeContext) -> (u32, u32) {
    // SAFETY: the helper reads the cookie of the link that this context came by.
    let cookie = unsafe { bpf_get_attach_cookie(context.as_ptr()) };
    ((cookie >> 32) as u32, cookie as u32)
}

/// The counters of this CPU.
#[inline(always)]
fn counts(row: u32) -> Option<&'static mut Counts> {
    let counts = COUNTS.get_ptr_mut(row)?;
    // SAFETY: it points at this CPU's own slot, which lives as long as the program does, and is only ever
    // added to atomically.
    Some(unsafe { &mut *counts })
}

/// A call in flight, which is not in flight any more.
#[inline(always)]
fn take(key: &Key) -> Option<InFlight> {
    // SAFETY: a goroutine is in one place at a time, so that no one else removes or overwrites its call
    // here. The bound of the table may take the call away at this very moment; then the start of another
    // call is read, once in a great many, and what it says is a duration that is not this call's.
    let call = *unsafe { CALLS.get(key) }?;
    let _ = CALLS.remove(key);
    Some(call)
}

#[inline(always)]
fn observe(histogram: u32, duration: u64) {
    let Some(at) = HISTOGRAMS.get_ptr_mut(histogram) else {
        return;
    };
    // SAFETY: as for `counts`.
    let histogram = unsafe { &mut *at };
    add(&mut histogram.sum, duration);
    let counter = match histogram::bucket(duration) {
        Some(bucket) => histogram.buckets.get_mut(bucket as usize),
        None => Some(&mut histogram.zero),
    };
    if let Some(counter) = counter {
        add(counter, 1);
    }
}

#[inline(always)]
fn result(registers: &Registers, error: &Source) -> u32 {
    match registers.read(error) {
        None => outcome::UNKNOWN,
        Some(0) => outcome::SUCCESS,
        Some(_) => outcome::ERROR,
    }
}

#[inline(always)]
fn head(kind: u32, flags: u32, key: Key, start: u64) -> Head {
    Head {
        kind,
        flags,
        key,
        start,
        thread: bpf_get_current_pid_tgid() as u32,
        unused: 0,
    }
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
