//! Events of the kernel, one probe per file.

pub(super) mod process_exec;
