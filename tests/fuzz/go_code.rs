//! Any bytes, as the code of a Go function: nothing panics, and every run keeps what its points promise.
//!
//! Run with `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none go_code` (from `cargo install cargo-fuzz`).
#![no_main]

use innerspan::ingest::probe::go::{
    binary::Arch,
    code::{Callees, Function, Register, Want, oracle},
};

libfuzzer_sys::fuzz_target!(|code: &[u8]| {
    let wants = [Want::Value(Register(0)), Want::Pointer(Register(3))];
    for arch in [Arch::Amd64, Arch::Arm64] {
        let function = Function { code, address: 0x40_1000, arch };
        // A refusal is as good an answer as any.
        let _ = oracle::check(&function, &Callees::default(), &wants, 8, 1);
    }
});
