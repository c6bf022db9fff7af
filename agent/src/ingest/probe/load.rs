//! Brings the embedded eBPF object into the kernel.
//!
//! In: the bytes that `build.rs` left in `OUT_DIR`. Out: the object with its maps created and its
//! programs ready to load, or the one reason why this node cannot have it.

use std::io;

use aya::{
    Ebpf, EbpfError, include_bytes_aligned,
    maps::MapError,
    programs::{Program, ProgramError},
};

/// Why a probe is disabled.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("this build has no eBPF programs: build without AYA_BUILD_SKIP")]
    NotBuilt,
    #[error("cannot create the maps; the agent needs the capabilities BPF and PERFMON, and Linux 5.8")]
    Object(#[source] EbpfError),
    #[error("the eBPF object has no `{0}`: agent and programs are of different builds")]
    Missing(&'static str),
    #[error("the map is of another type than the agent expects")]
    Map(#[source] MapError),
    #[error("the kernel refuses the program; the agent needs the capabilities BPF and PERFMON")]
    Refused(#[source] io::Error),
    #[error("cannot attach the program")]
    Attach(#[source] ProgramError),
}

/// An empty file if the agent was built without a BPF toolchain.
static PROGRAMS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/programs"));

pub(super) fn object() -> Result<Ebpf, Fault> {
    if PROGRAMS.is_empty() {
        return Err(Fault::NotBuilt);
    }
    Ebpf::load(PROGRAMS).map_err(Fault::Object)
}

pub(super) fn program<'a, P>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, Fault>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    object
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(Fault::Missing(name))
}

impl From<ProgramError> for Fault {
    /// The verifier's log is for who writes programs, at level debug; an operator needs the reason.
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } => {
                tracing::debug!(%verifier_log, "the kernel refuses a program");
                Self::Refused(io_error)
            }
            other => Self::Attach(other),
        }
    }
}
