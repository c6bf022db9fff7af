//! One process that is traced, and what its records mean.

use std::{collections::HashMap, fs, io, path::Path, sync::Arc, thread, time::Duration};

use abi::go_call::{Process, SPAN_TYPES, SpanType};

use super::{
    super::{
        attach::{Attachment, Function, ReturnPoint},
        clock::Clock,
        record::{Begin, Call, Captured, End, Record},
        resolve::{Named, Plan, Probe},
    },
    durations::Totals,
};
use crate::model::{
    call::{Begun, CallEvent, CallId, Captures, Ended, ProcessId},
    process::Pid,
};

/// The processes that are traced.
#[derive(Debug, Default)]
pub(super) struct Targets {
    by_slot: HashMap<u32, Target>,
    /// What the kernel had counted of those that have ended.
    pub(super) ended: Totals,
}

/// A process that is traced, for as long as this lives.
#[derive(Debug)]
pub(super) struct Target {
    pid: Pid,
    process: ProcessId,
    plan: Arc<Plan>,
    attachment: Attachment,
    /// Captures that did not look like what they should be.
    pub(super) misshapen: u64,
}

impl Targets {
    pub(super) fn insert(&mut self, target: Target) {
        self.by_slot.insert(target.attachment.slot(), target);
    }

    pub(super) fn of_slot(&mut self, slot: u32) -> Option<&mut Target> {
        self.by_slot.get_mut(&slot)
    }

    /// Takes the probes off a process.
    pub(super) fn remove(&mut self, pid: Pid) -> Option<ProcessId> {
        let slot = *self.by_slot.iter().find(|(_, target)| target.pid == pid)?.0;
        let target = self.by_slot.remove(&slot)?;
        target.count(&mut self.ended);
        Some(target.process)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.by_slot.values()
    }
}

impl Target {
    pub(super) fn new(pid: Pid, process: ProcessId, plan: Arc<Plan>, attachment: Attachment) -> Self {
        Self {
            pid,
            process,
            plan,
            attachment,
            misshapen: 0,
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Adds what the kernel has counted of its hot functions.
    pub(super) fn count(&self, totals: &mut Totals) {
        for (function, probe) in self.plan.probes.iter().enumerate() {
            if let Some(counts) = self.attachment.histogram(function) {
                totals.add(&probe.operation, &counts);
            }
        }
    }

    /// What a record says; nothing if it is of no function that is known.
    pub(super) fn event(&mut self, record: Record, clock: &Clock) -> Option<CallEvent> {
        let plan = Arc::clone(&self.plan);
        let probe = |call: &Call| plan.probes.get(self.attachment.function(call.row)?);
        match record {
            Record::Begin(begin) => {
                let probe = probe(&begin.call)?;
                Some(CallEvent::Begun(self.begun(probe, &begin, clock)))
            }
            Record::End(end) => {
                let probe = probe(&end.call)?;
                let ended = self.ended(probe, &end, clock);
                if !end.is_alone {
                    return Some(CallEvent::Ended(ended));
                }
                let begun = Begun {
                    id: ended.id,
                    operation: Arc::clone(&probe.operation),
                    start: clock.wall(end.call.start),
                    context: None,
                    captures: Captures::new(),
                };
                Some(CallEvent::Slow(begun, ended))
            }
        }
    }

    fn begun(&mut self, probe: &Probe, begin: &Begin, clock: &Clock) -> Begun {
        Begun {
            id: self.id(&begin.call),
            operation: Arc::clone(&probe.operation),
            start: clock.wall(begin.call.start),
            context: begin.native,
            captures: self.captures(&probe.entry_captures, &begin.captures),
        }
    }

    fn ended(&mut self, probe: &Probe, end: &End, clock: &Clock) -> Ended {
        let failed = end.failed == Some(true);
        // A function that fails returns nothing else that means anything.
        let returned = if failed { &[] } else { &*probe.return_captures };
        Ended {
            id: self.id(&end.call),
            end: clock.wall(end.end),
            failed,
            captures: self.captures(returned, &end.captures),
        }
    }

    fn id(&self, call: &Call) -> CallId {
        CallId {
            process: self.process,
            goroutine: call.goroutine,
            depth: call.depth,
            start: call.start,
        }
    }

    /// What looks like what it should be.
    fn captures(&mut self, named: &[Named], read: &[Captured]) -> Captures {
        let mut captures = Captures::new();
        for (named, read) in named.iter().zip(read) {
            let Some(value) = read.text().filter(|value| named.shape.fits(value)) else {
                self.misshapen += 1;
                continue;
            };
            match (&*named.keys, value.split_once('/')) {
                ([first, second], Some((left, right))) => {
                    captures.push((Arc::clone(first), left.into()));
                    captures.push((Arc::clone(second), right.into()));
                }
                ([key, ..], _) => captures.push((Arc::clone(key), value.into())),
                ([], _) => {}
            }
        }
        captures
    }
}

/// What the programs do at a function.
pub(super) fn function(probe: &Probe) -> Function {
    let point = |&(offset, point)| ReturnPoint { offset, point };
    Function {
        entry: probe.entry,
        spec: probe.spec,
        is_hot: probe.hot.is_some(),
        returns: probe.returns.iter().map(point).collect(),
    }
}

/// What a process adds to every address that the linker chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bias(u64);

impl Bias {
    /// The kernel tells a program where its headers are mapped, in the auxiliary vector beside `executable`.
    pub(super) fn of(plan: &Plan, executable: &Path) -> io::Result<Self> {
        /// A process that has only just begun to run its executable is told in a moment.
        const TRIES: usize = 20;
        const PAUSE: Duration = Duration::from_millis(1);
        let missing = || io::Error::other("it has no program headers");
        let linked = plan.headers.ok_or_else(missing)?;
        for _ in 0..TRIES {
            if let Some(mapped) = mapped_headers(executable)? {
                return Ok(Self(mapped.wrapping_sub(linked)));
            }
            thread::sleep(PAUSE);
        }
        Err(missing())
    }
}

/// None as long as nothing is told.
fn mapped_headers(executable: &Path) -> io::Result<Option<u64>> {
    /// <https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/auxvec.h>
    const AT_PHDR: u64 = 3;
    let vector = fs::read(executable.with_file_name("auxv"))?;
    let (words, _) = vector.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let mut entries = pairs.iter().map(|pair| pair.map(u64::from_ne_bytes));
    Ok(entries.find_map(|[key, value]| (key == AT_PHDR).then_some(value)))
}

/// What the programs know of a process as a whole.
pub(super) fn process(plan: &Plan, Bias(bias): Bias) -> Process {
    let mut span_types = [SpanType::default(); SPAN_TYPES];
    for (row, &(address, context)) in span_types.iter_mut().zip(&plan.span_types) {
        *row = SpanType {
            address: address.wrapping_add(bias),
            context,
            unused: 0,
        };
    }
    Process { span_types }
}
