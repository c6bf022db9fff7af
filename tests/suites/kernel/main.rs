//! The eBPF programs on this host's kernel, one file per probe. Needs root.

mod process_exec;
