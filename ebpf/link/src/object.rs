//! An object file in the kernel: its maps made, its programs pointed at them.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::maps::{MapData, MapError};
use aya_obj::{
    ParseError,
    generated::{
        bpf_attach_type::BPF_TRACE_UPROBE_MULTI,
        bpf_prog_type::{BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_RAW_TRACEPOINT},
    },
    relocation::EbpfRelocationError,
};

use crate::call;

/// Room for what the kernel says of a program that it refuses.
const LOG_SIZE: usize = 1 << 20;
/// Of that, what is kept: the fault stands at the end.
const LOG_KEPT: usize = 4 << 10;

/// Why an object is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the bytes are no eBPF object")]
    Parse(#[source] ParseError),
    #[error("cannot create a map")]
    Map(#[source] MapError),
    #[error("the object's programs do not fit its maps")]
    Relocate(#[source] EbpfRelocationError),
    #[error("the object has no program `{0}`")]
    Missing(&'static str),
    #[error("the kernel refuses the program `{name}`")]
    Refused {
        name: &'static str,
        /// The end of what the kernel's verifier says, if it came to that.
        log: String,
        source: io::Error,
    },
    #[error("the kernel does not attach the program `{name}`")]
    Attach { name: &'static str, source: io::Error },
}

/// What a program is loaded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RawTracepoint,
    /// For perf events, one for each probe.
    Uprobe,
    /// For one link that holds many probes: Linux 6.6.
    UprobeMulti,
}

/// An object whose maps are there. Its programs can be loaded until its maps are taken.
#[derive(Debug)]
pub struct Object {
    code: aya_obj::Object,
    maps: HashMap<String, MapData>,
}

impl Object {
    /// Creates the maps. The object's own types are not loaded: no program here needs them.
    pub fn create(bytes: &[u8]) -> Result<Self, Fault> {
        let mut code = aya_obj::Object::parse(bytes).map_err(Fault::Parse)?;
        let mut maps = HashMap::new();
        for (name, definition) in &code.maps {
            let map = MapData::create(definition.clone(), name, None).map_err(Fault::Map)?;
            maps.insert(name.clone(), map);
        }
        let texts: HashSet<usize> = code.functions.keys().map(|(section, _)| *section).collect();
        let definitions = std::mem::take(&mut code.maps);
        let placed = definitions.iter().filter_map(|(name, definition)| {
            let fd = maps.get(name)?.fd().as_fd().as_raw_fd();
            Some((name.as_str(), fd, definition))
        });
        code.relocate_maps(placed, &texts).map_err(Fault::Relocate)?;
        code.relocate_calls(&texts).map_err(Fault::Relocate)?;
        Ok(Self { code, maps })
    }

    /// Loads one program. It lives as long as the descriptor, or longest link, that holds it.
    pub fn load(&self, name: &'static str, kind: Kind) -> Result<OwnedFd, Fault> {
        let program = self.code.programs.get(name).ok_or(Fault::Missing(name))?;
        let function = self.code.functions.get(&program.function_key());
        let function = function.ok_or(Fault::Missing(name))?;
        let (kind, expected) = match kind {
            Kind::RawTracepoint => (BPF_PROG_TYPE_RAW_TRACEPOINT, None),
            Kind::Uprobe => (BPF_PROG_TYPE_KPROBE, None),
            Kind::UprobeMulti => (BPF_PROG_TYPE_KPROBE, Some(BPF_TRACE_UPROBE_MULTI)),
        };
        let program = call::Program {
            kind,
            expected,
            name,
            license: &program.license,
            code: &function.instructions,
        };
        // Without a log first: a sound program needs none, and its log would need much memory.
        call::load(&program, &mut []).map_err(|source| {
            let log = call_for_log(&program);
            Fault::Refused { name, log, source }
        })
    }

    /// Gives up the maps. No program is loaded any more, for it would find other files in their place.
    #[must_use]
    pub fn into_maps(self) -> HashMap<String, MapData> {
        self.maps
    }
}

/// What the verifier says, if it is the verifier that refuses.
fn call_for_log(program: &call::Program<'_>) -> String {
    let mut log = vec![0; LOG_SIZE];
    // The outcome is known; only what is said matters.
    drop(call::load(program, &mut log));
    let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let kept = said
        .get(said.len().saturating_sub(LOG_KEPT)..)
        .unwrap_or_default();
    String::from_utf8_lossy(kept).trim_end().to_owned()
}
