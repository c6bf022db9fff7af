//! The eBPF programs on this host's kernel, one file per probe. Needs root.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so where it stands"
)]

mod go_call;
mod process_exec;
