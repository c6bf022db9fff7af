//! The probe `process_exec`: how many programs this node started.

use core::ffi::CStr;

/// The program in the object.
pub const PROGRAM: &str = "process_exec";
/// The raw tracepoint that it hangs on.
pub const TRACEPOINT: &CStr = c"sched_process_exec";
/// The per-CPU array that it counts in.
pub const COUNTS: &str = "PROCESS_EXECS";
/// The slot of that array.
pub const SLOT: u32 = 0;
