//! A program on a raw tracepoint.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use crate::{Fault, Kind, Object, call};

/// A program that runs at every event of a tracepoint, until this is dropped.
#[derive(Debug)]
pub struct RawTracepoint(#[expect(dead_code, reason = "open as long as the program runs")] OwnedFd);

impl RawTracepoint {
    /// Loads the program and attaches it: the two faults it can have.
    pub fn attach(
        object: &Object,
        program: &'static str,
        tracepoint: &CStr,
    ) -> Result<io::Result<Self>, Fault> {
        let program = object.load(program, Kind::RawTracepoint)?;
        Ok(call::open_raw_tracepoint(program.as_fd(), tracepoint).map(Self))
    }
}
