//! What the eBPF programs and the agent both know: record layouts, names, slots.
//!
//! The only crate that both sides import. It knows no other crate and holds no logic.
#![no_std]

pub mod process_exec;
