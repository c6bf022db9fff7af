//! The eBPF programs of one agent: every probe is a module, linked into one object.
//!
//! In: events of the kernel. Out: records and counters of `abi`. A program judges nothing and
//! joins nothing: it ends in a counter or a record.
#![no_std]
#![no_main]
// For the one instruction that adds atomically.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod emit;
mod go_call;
mod process_exec;
mod read;

/// The linker drops it from a sound program; the verifier refuses this loop in any other.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Without a GPL-compatible licence the kernel refuses most of its functions to a program.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
