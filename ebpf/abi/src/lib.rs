//! What the eBPF programs and the agent both know: record layouts and names.
#![no_std]
