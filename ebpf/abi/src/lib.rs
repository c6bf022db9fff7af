//! What the eBPF programs and the agent both know: record layouts, names, slots.
//!
//! The only crate that both sides import. It knows no other crate, and no logic but what must be the
//! same on both sides: records as bytes, and the bounds of histogram buckets.
#![cfg_attr(not(test), no_std)]

mod bytes;
pub mod go_call;
pub mod process_exec;
