//! A program on a raw tracepoint.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, OwnedFd},
};

use crate::{Fault, Kind, Object, RunTime, call};

/// A program that runs at every event of a tracepoint, until this is dropped.
#[derive(Debug)]
pub struct RawTracepoint {
    program: OwnedFd,
    #[expect(dead_code, reason = "open as long as the program runs")]
    link: OwnedFd,
}

impl RawTracepoint {
    pub fn attach(object: &Object, name: &'static str, tracepoint: &CStr) -> Result<Self, Fault> {
        let program = object.load(name, Kind::RawTracepoint)?;
        match call::open_raw_tracepoint(program.as_fd(), tracepoint) {
            Ok(link) => Ok(Self { program, link }),
            Err(source) => Err(Fault::Attach { name, source }),
        }
    }

    #[must_use]
    pub fn run_time(&self) -> Option<RunTime> {
        RunTime::of(self.program.as_fd())
    }
}
