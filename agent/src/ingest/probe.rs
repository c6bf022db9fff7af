//! What the kernel tells: the eBPF programs, loaded and attached once, at start.
//!
//! In: the object that `build.rs` embeds. Out: counters, and for each probe whether it works or why
//! not. Must not know OTLP, nor whose a process is.
//!
//! A missing ability turns its probe off and never the agent: [`Probe::load`] cannot fail. It needs
//! the capabilities BPF and PERFMON and nothing else, neither tracefs nor the kernel's BTF.

pub mod go;
mod kernel;
mod load;
mod metrics;

use std::error::Error as _;

use tracing::{info, warn};

use self::kernel::process_exec::ProcessExec;
pub use self::load::Fault;

/// All that the kernel asks of a process that loads and attaches these programs; the chart grants them.
pub const CAPABILITIES: &[&str] = &["BPF", "PERFMON"];

/// What is probed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether to load the programs.
    pub enabled: bool,
    /// The catalogue of Go functions.
    pub services: Vec<go::catalogue::Service>,
}

/// The eBPF programs of this agent. They stay attached as long as this lives.
#[derive(Debug)]
pub struct Probe {
    process_exec: Result<ProcessExec, Fault>,
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
        let process_exec = load::object().and_then(|mut object| ProcessExec::attach(&mut object));
        match &process_exec {
            Ok(_) => info!(probe = abi::process_exec::PROGRAM, "attached"),
            Err(reason) => {
                let reason = with_sources(reason);
                warn!(probe = abi::process_exec::PROGRAM, reason, "disabled");
            }
        }
        Self { process_exec }
    }

    /// Programs started on this node since the probe was attached.
    #[must_use]
    pub fn process_execs(&self) -> Option<u64> {
        self.process_exec.as_ref().ok()?.count()
    }

    #[must_use]
    pub fn state(&self) -> State<'_> {
        match &self.process_exec {
            Ok(_) => State::Attached,
            Err(reason) => State::Disabled { reason },
        }
    }
}

/// The whole chain in one line: the kernel's own word comes last.
fn with_sources(fault: &Fault) -> String {
    let mut line = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
