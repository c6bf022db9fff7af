//! A program on a raw tracepoint.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, OwnedFd},
};

use crate::{Fault, Kind, Object, call};

/// A program that runs at every event of a tracepoint, until this is dropped.
#[derive(Debug)]
pub struct RawTracepoint(#[expect(dead_code, reason = "open as long as the program runs")] OwnedFd);

impl RawTracepoint {
    pub fn attach(object: &Object, name: &'static str, tracepoint: &CStr) -> Result<Self, Fault> {
        let program = object.load(name, Kind::RawTracepoint)?;
        call::open_raw_tracepoint(program.as_fd(), tracepoint)
            .map(Self)
            .map_err(|source| Fault::Attach { name, source })
    }
}
