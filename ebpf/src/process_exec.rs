//! Counts programs started on this node.
//!
//! A raw tracepoint: it needs neither BTF of the kernel, nor tracefs, nor more than the capabilities
//! BPF and PERFMON, and it runs under lockdown=confidentiality because it reads nothing.

use abi::process_exec::SLOT;
use aya_ebpf::{
    macros::{map, raw_tracepoint},
    maps::PerCpuArray,
    programs::RawTracePointContext,
};

/// One counter per CPU, so that CPUs do not fight for a cache line.
#[map]
static PROCESS_EXECS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOT + 1, 0);

/// hook: 4.17.. include/trace/events/sched.h:TRACE_EVENT(sched_process_exec)
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_: RawTracePointContext) -> u32 {
    if let Some(execs) = PROCESS_EXECS.get_ptr_mut(SLOT) {
        // SAFETY: it points at this CPU's own slot, and the kernel never runs a tracepoint's program
        // twice at once on one CPU, so that nothing else writes there.
        unsafe { *execs += 1 };
    }
    0
}
