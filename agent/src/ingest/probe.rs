//! What the kernel tells: the eBPF programs, loaded once, at start.
//!
//! In: the object that `build.rs` embeds. Out: counters, calls of Go functions, and for each probe
//! whether it works or why not. Must not know OTLP, nor whose a process is.
//!
//! A missing ability turns its probe off and never the agent: [`Probe::load`] cannot fail. It needs
//! the capabilities that [`CAPABILITIES`] names and nothing else, neither tracefs nor the kernel's BTF.

pub mod go;
mod kernel;
mod load;
mod metrics;

use std::{error::Error, sync::Arc};

use link::{Object, RunTime};
use tracing::{info, warn};

use self::{
    go::attach::{Programs, Uprobes},
    kernel::process_exec::ProcessExec,
};
pub use self::{load::Fault, metrics::Metrics};

/// All that the kernel asks of a process that loads these programs and attaches them to others; the chart
/// grants them.
pub const CAPABILITIES: &[&str] = &["BPF", "PERFMON", "SYS_PTRACE"];

/// What it asks for besides, before Linux 6.6, to attach to processes; the chart grants it if it is told so.
pub const OLDER_KERNELS_CAPABILITY: &str = "SYS_ADMIN";

/// What is probed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether to load the programs.
    pub enabled: bool,
    /// The catalogue of Go functions.
    pub services: Vec<go::catalogue::Service>,
}

/// The eBPF programs of this agent. They stay in the kernel as long as this lives.
#[derive(Debug)]
pub struct Probe {
    process_exec: Result<ProcessExec, Arc<Fault>>,
    go_call: Result<Arc<Programs>, Arc<Fault>>,
}

/// Does a probe work, and if not, why?
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    Attached,
    Disabled { reason: &'a Fault },
}

impl Probe {
    #[must_use]
    pub fn load() -> Self {
        Self::load_by(Uprobes::load)
    }

    /// As on a kernel that has no links for many probes, or not good ones: before 6.6.
    #[must_use]
    pub fn load_without_multi_links() -> Self {
        Self::load_by(Uprobes::load_for_events)
    }

    fn load_by(load_uprobes: fn(&Object) -> Result<Uprobes, Fault>) -> Self {
        let probe = Self::try_load(load_uprobes).unwrap_or_else(|fault| {
            // One reason for all.
            let fault = Arc::new(fault);
            Self {
                process_exec: Err(Arc::clone(&fault)),
                go_call: Err(fault),
            }
        });
        for (name, state) in probe.states() {
            match state {
                State::Attached => info!(probe = name, "attached"),
                State::Disabled { reason } => {
                    warn!(probe = name, reason = with_sources(reason), "disabled");
                }
            }
        }
        probe
    }

    fn try_load(load_uprobes: fn(&Object) -> Result<Uprobes, Fault>) -> Result<Self, Fault> {
        let object = load::object()?;
        let process_exec = ProcessExec::attach(&object);
        let go_call = load_uprobes(&object);
        let mut maps = object.into_maps();
        let process_exec = process_exec.and_then(|link| ProcessExec::new(link, &mut maps));
        let go_call = go_call.and_then(|uprobes| Programs::new(uprobes, &mut maps));
        Ok(Self {
            process_exec: process_exec.map_err(Arc::new),
            go_call: go_call.map(Arc::new).map_err(Arc::new),
        })
    }

    #[must_use]
    pub fn metrics(self: &Arc<Self>) -> Metrics {
        Metrics(Arc::clone(self))
    }

    /// Programs started on this node since the probe was attached.
    #[must_use]
    pub fn process_execs(&self) -> Option<u64> {
        self.process_exec.as_ref().ok()?.count()
    }

    /// The programs for calls of Go functions, which are attached to one process after another.
    pub fn go_call(&self) -> Result<&Arc<Programs>, &Arc<Fault>> {
        self.go_call.as_ref()
    }

    /// Of each program that the kernel counts the time of, by name.
    fn run_times(&self) -> impl Iterator<Item = (&'static str, RunTime)> {
        let exec = self.process_exec.as_ref().ok();
        let exec = exec.map(|probe| (abi::process_exec::PROGRAM, probe.run_time()));
        let calls = self.go_call.iter().flat_map(|programs| programs.run_times());
        let all = exec.into_iter().chain(calls);
        all.filter_map(|(program, run_time)| Some((program, run_time?)))
    }

    /// Of each probe, by name.
    #[must_use]
    pub fn states(&self) -> [(&'static str, State<'_>); 2] {
        [
            (abi::process_exec::PROGRAM, State::of(&self.process_exec)),
            (abi::go_call::PROBE, State::of(&self.go_call)),
        ]
    }
}

impl<'a> State<'a> {
    fn of<T>(probe: &'a Result<T, Arc<Fault>>) -> Self {
        match probe {
            Ok(_) => Self::Attached,
            Err(reason) => Self::Disabled { reason },
        }
    }
}

/// The whole chain in one line: the kernel's own word comes last.
fn with_sources(fault: &dyn Error) -> String {
    let mut line = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
