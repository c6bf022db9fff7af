//! Any bytes, as a Go executable: nothing panics, and what is told of it agrees with the file.
//!
//! Run with `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none go_binary` (from `cargo install cargo-fuzz`),
//! on a corpus that begins with small executables: `go build -ldflags='-s -w'` in `tests/data/go/subject`.
#![no_main]

use std::os::unix::fs::FileExt as _;

use innerspan::ingest::probe::go::binary::oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::tempfile().expect("a place for a file");
    file.write_all_at(bytes, 0).expect("room for a file");
    let types = ["*example.test/subject/one/v1.Pod", "*example.test/subject/odd.Ledger"];
    oracle::check(&file, &["main.main", "main.generic[...]"], &types).expect("a file that can be read");
});
