//! Brings eBPF programs into the kernel and hangs them on its events.
//!
//! In: an object file. Out: its maps, for aya to read and write, and its programs, loaded; then links,
//! each of which detaches when it is dropped. Must not know what any program is for.
//!
//! aya loads and attaches too, but 0.14 knows no `uprobe_multi` links: one link for all probes of a
//! process, which detaches in half a second instead of a tenth of a second per probe, and for which
//! `CAP_SYS_ADMIN` is not needed. 0.16 knows them, from Rust 1.98 on: then this crate can go. aya's
//! loader also reads all types of the kernel first, into 37 MB, which none of our programs needs.

mod call;
mod object;
mod run_time;
mod tracepoint;
mod uprobe;

pub use self::{
    object::{Fault, Kind, Object},
    run_time::RunTime,
    tracepoint::RawTracepoint,
    uprobe::{Method, Point, Probes, Uprobe},
};
