//! Follows the components among this node's processes and tells of their calls.
//!
//! In: processes as they start and end, and the records of their probes. Out: [`CallEvent`]s in wall-clock time.
//! An executable is analysed once, whatever number of processes run it, and in doubt a process is left alone.

mod durations;
mod metrics;
mod target;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{debug, info, warn};

use self::target::{Bias, Target};
pub use self::{durations::Durations, metrics::Metrics};
use super::{
    attach::{Programs, Refused},
    binary::{Binary, Unreadable},
    catalogue::Service,
    clock::Clock,
    record::Record,
    resolve::{self, Plan},
};
use crate::model::{
    call::{CallEvent, ProcessId},
    process::{Executable, Pid},
    time::{Nanos, Wall},
};

/// Executables whose analysis is remembered. Most of a node's are no components, and cost a few bytes each.
const MAX_PLANS: usize = 1024;

/// The components that are traced, shared with whoever shows their counts.
type Targets = Arc<Mutex<target::Targets>>;

/// Attaches to components and reads what their probes say.
#[derive(Debug)]
pub struct Tracer {
    programs: Arc<Programs>,
    services: Vec<Service>,
    plans: HashMap<Executable, Option<Arc<Plan>>>,
    targets: Targets,
    clock: Clock,
    now: Nanos<Wall>,
}

/// What is traced in a process.
#[derive(Debug)]
pub struct Traced {
    /// The components that it is.
    pub services: String,
    /// How many functions have a probe.
    pub functions: usize,
}

/// Why an executable or a process is not traced.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot open its executable; the agent needs the capability SYS_PTRACE")]
    Open(#[source] io::Error),
    #[error("cannot read its executable")]
    Read(#[from] Unreadable),
    #[error("cannot attach to it")]
    Attach(#[from] Refused),
    #[error("cannot tell where its executable is mapped")]
    Bias(#[source] io::Error),
}

impl Tracer {
    /// The clock is compared at each [`Self::drain`]; without it there is nothing to tell.
    pub fn new(programs: Arc<Programs>, services: Vec<Service>) -> io::Result<Self> {
        let clock = Clock::read()?;
        Ok(Self {
            programs,
            services,
            plans: HashMap::new(),
            targets: Targets::default(),
            now: clock.now()?,
            clock,
        })
    }

    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::new(Arc::clone(&self.targets))
    }

    #[must_use]
    pub fn durations(&self) -> Durations {
        Durations::new(Arc::clone(&self.targets))
    }

    /// When [`Self::drain`] was called last.
    #[must_use]
    pub fn now(&self) -> Nanos<Wall> {
        self.now
    }

    /// What makes the ids of this node, since it booted, differ from all others.
    #[must_use]
    pub fn seed() -> [u8; 16] {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16)
            .unwrap_or_default()
            .to_be_bytes()
    }

    /// A process runs an executable, at this path as the agent sees it: `/proc/PID/exe`. Says what is traced if it is
    /// a component.
    pub fn started(&mut self, pid: Pid, executable: Executable, path: &Path) -> Option<Traced> {
        match self.attach(pid, executable, path) {
            Ok(traced) => traced,
            // Processes may end at any moment.
            Err(Fault::Open(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => {
                let reason = super::super::with_sources(&fault);
                warn!(pid = pid.0, reason, "a process is not traced");
                None
            }
        }
    }

    /// A process has ended, or runs something else now.
    pub fn ended(&mut self, pid: Pid, events: &mut Vec<CallEvent>) {
        // What it did last may still be in the ring.
        self.drain(events);
        let now = self.now;
        let ended = lock(&self.targets).remove(pid);
        if let Some(process) = ended {
            info!(pid = pid.0, "a component has ended");
            events.push(CallEvent::Exited(process, now));
        }
    }

    /// Hands over what has happened since the last time.
    pub fn drain(&mut self, events: &mut Vec<CallEvent>) {
        match Clock::read().and_then(|clock| Ok((clock, clock.now()?))) {
            Ok((clock, now)) => (self.clock, self.now) = (clock, now),
            Err(error) => debug!(%error, "the clocks are not compared this time"),
        }
        let (clock, mut targets) = (&self.clock, lock(&self.targets));
        self.programs.drain(|record| {
            let slot = match &record {
                Record::Begin(begin) => begin.call.slot,
                Record::End(end) => end.call.slot,
            };
            // Without a target it is of a process that has ended, and was told to be so.
            let event = targets
                .of_slot(slot)
                .and_then(|target| target.event(record, clock));
            events.extend(event);
        });
    }

    /// Calls, or ends of calls, that the kernel had no room to tell of, in all processes that are traced now.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let targets = lock(&self.targets);
        let counts = targets.iter().flat_map(|target| {
            let functions = 0..target.plan().probes.len();
            functions.filter_map(|function| target.attachment().counts(function))
        });
        counts
            .map(|counts| counts.lost_begins + counts.lost_ends + counts.not_kept)
            .sum()
    }

    fn attach(&mut self, pid: Pid, executable: Executable, path: &Path) -> Result<Option<Traced>, Fault> {
        let Some(plan) = self.plan(executable, path)? else {
            return Ok(None);
        };
        let bias = Bias::of(&plan, path).map_err(Fault::Bias)?;
        let functions: Vec<_> = plan.probes.iter().map(target::function).collect();
        let attachment = self
            .programs
            .attach(pid.0, path, target::process(&plan, bias), &functions)?;
        let process = ProcessId(attachment.slot().into());
        let traced = Traced {
            services: plan.services.join(", "),
            functions: functions.len(),
        };
        lock(&self.targets).insert(Target::new(pid, process, plan, attachment));
        Ok(Some(traced))
    }

    /// What there is to probe in an executable; none if it is no component.
    fn plan(&mut self, executable: Executable, path: &Path) -> Result<Option<Arc<Plan>>, Fault> {
        if let Some(known) = self.plans.get(&executable) {
            return Ok(known.clone());
        }
        let plan = match Binary::open(File::open(path).map_err(Fault::Open)?) {
            Ok(binary) => resolve::resolve(&binary, &self.services)?.map(Arc::new),
            // Most programs of a node: none of our business.
            Err(error) => {
                debug!(%error, path = %path.display(), "no Go executable");
                None
            }
        };
        for missing in plan.iter().flat_map(|plan| &plan.missing) {
            let (service, span) = (&*missing.operation.service, &*missing.operation.span);
            let reason = super::super::with_sources(&missing.why);
            info!(service, span, reason, "a function is not traced");
        }
        if self.plans.len() >= MAX_PLANS {
            self.plans.clear();
        }
        self.plans.insert(executable, plan.clone());
        Ok(plan)
    }
}

fn lock(targets: &Mutex<target::Targets>) -> MutexGuard<'_, target::Targets> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}
