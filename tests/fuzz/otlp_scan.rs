//! Any bytes, as a request of each signal: the scanner and prost agree, and nothing panics.
//!
//! Run with `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none otlp_scan` (from `cargo install cargo-fuzz`).
//! The agent has no `unsafe` of its own, so a sanitizer would only slow it down.
#![no_main]

use innerspan::{ingest::otlp::oracle, model::Signal};

libfuzzer_sys::fuzz_target!(|request: &[u8]| {
    for signal in Signal::ALL {
        oracle::check(signal, request);
    }
});
