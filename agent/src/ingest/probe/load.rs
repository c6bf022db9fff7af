//! Brings the embedded eBPF object into the kernel.
//!
//! In: the bytes that `build.rs` left in `OUT_DIR`. Out: the object with its maps created and its
//! programs ready to load, or the one reason why this node cannot have it.

use std::{collections::HashMap, io};

use aya::{
    include_bytes_aligned,
    maps::{Map, MapData, MapError},
};
use link::Object;

/// Why a probe is disabled.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("this build has no eBPF programs: build without AYA_BUILD_SKIP")]
    NotBuilt,
    #[error("cannot create the maps; the agent needs the capabilities BPF and PERFMON, and Linux 5.8")]
    Object(#[source] link::Fault),
    #[error("the eBPF object has no `{0}`: agent and programs are of different builds")]
    Missing(&'static str),
    #[error("the map is of another type than the agent expects")]
    Map(#[source] MapError),
    #[error("the kernel refuses the program; the agent needs the capabilities BPF and PERFMON")]
    Refused(#[source] io::Error),
    #[error("cannot attach the program")]
    Attach(#[source] io::Error),
}

/// An empty file if the agent was built without a BPF toolchain.
static PROGRAMS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/programs"));

pub(super) fn object() -> Result<Object, Fault> {
    if PROGRAMS.is_empty() {
        return Err(Fault::NotBuilt);
    }
    Object::create(PROGRAMS).map_err(Fault::Object)
}

/// Takes a map out of those of the object; `wrap` is its kind.
pub(super) fn map<M: TryFrom<Map, Error = MapError>>(
    maps: &mut HashMap<String, MapData>,
    name: &'static str,
    wrap: impl FnOnce(MapData) -> Map,
) -> Result<M, Fault> {
    let map = maps.remove(name).ok_or(Fault::Missing(name))?;
    M::try_from(wrap(map)).map_err(Fault::Map)
}

impl Fault {
    /// The verifier's log is for who writes programs, at level debug; an operator needs the reason.
    pub(super) fn of_program(fault: link::Fault) -> Self {
        match fault {
            link::Fault::Missing(name) => Self::Missing(name),
            link::Fault::Attach { source, .. } => Self::Attach(source),
            link::Fault::Refused { name, log, source } => {
                tracing::debug!(program = name, log, "the kernel refuses a program");
                Self::Refused(source)
            }
            other => Self::Object(other),
        }
    }
}
