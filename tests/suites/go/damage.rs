//! Whatever is damaged in an executable, it is read or refused, and what is told agrees with the file.
//!
//! The damage is done where it matters: headers, the description of the tables, the tables and the types.

use std::{fs, os::unix::fs::FileExt as _, sync::LazyLock};

use innerspan::ingest::probe::go::binary::oracle;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use crate::executable::{Executable, PIE, STRIPPED};

const FUNCTIONS: [&str; 4] = [
    "main.main",
    "main.closure.func1",
    "main.generic[...]",
    "runtime.memmove",
];
const TYPES: [&str; 4] = [
    "example.test/subject/one/v1.Pod",
    "*example.test/subject/one/v1.Pod",
    "*example.test/subject/odd.Ledger",
    "reflect.Value",
];

struct Sample {
    bytes: Vec<u8>,
    /// Where damage matters: begin and length.
    places: Vec<(usize, usize)>,
}

static SAMPLES: LazyLock<[Sample; 2]> =
    LazyLock::new(|| [Sample::build(&[STRIPPED]), Sample::build(&[PIE, STRIPPED])]);

impl Sample {
    fn build(flags: &[&str]) -> Self {
        let bytes = fs::read(Executable::build(flags, &[]).path).unwrap();
        let mut places = vec![(0, 1024), (0, bytes.len())];
        // The table of functions begins with this, and its description points back to it: with this word,
        // or by a relocation that holds it.
        let table = find(&bytes, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8], 8);
        places.push((table, 4096));
        for name in [b".gopclntab\0", b".go.module\0"] {
            places.push((find(&bytes, name, 1), name.len()));
        }
        // The headers of sections, from where the header of the file says.
        let sections = bytes[0x28..0x30].try_into().map(u64::from_le_bytes).unwrap();
        places.push((usize::try_from(sections).unwrap(), 64 * 32));
        for (nth, header) in bytes[usize::try_from(sections).unwrap()..]
            .chunks_exact(64)
            .take(32)
            .enumerate()
        {
            let word = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).unwrap();
            let (offset, size) = (
                usize::try_from(word(24)).unwrap(),
                usize::try_from(word(32)).unwrap(),
            );
            // Nothing is read of what has no bytes in the file, as .bss.
            if nth > 0 && offset + size <= bytes.len() && size > 0 {
                places.push((offset, size.min(64 << 10)));
            }
        }
        Self { bytes, places }
    }
}

fn find(bytes: &[u8], pattern: &[u8], step: usize) -> usize {
    (0..bytes.len() - pattern.len())
        .step_by(step)
        .find(|&at| bytes[at..].starts_with(pattern))
        .unwrap()
}

/// Where, counted within a place, and what is written there.
fn damages() -> impl Strategy<Value = Vec<(Index, Index, Vec<u8>)>> {
    let word = prop_oneof![
        any::<u64>(),
        0..4096_u64,
        Just(u64::MAX),
        Just(1 << 63),
        0x40_0000..0x80_0000_u64
    ];
    let written = prop_oneof![
        vec(any::<u8>(), 1..4),
        word.prop_map(|word| word.to_le_bytes().to_vec())
    ];
    vec((any::<Index>(), any::<Index>(), written), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_that_are_wrong(nth in select(vec![0, 1]), damages in damages()) {
        let sample: &Sample = &SAMPLES[nth];
        let mut bytes = sample.bytes.clone();
        for (place, at, written) in damages {
            let (begin, length) = sample.places[place.index(sample.places.len())];
            // Words are aligned where they matter.
            let at = begin + if written.len() == 8 { at.index(length) & !7 } else { at.index(length) };
            let end = (at + written.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&written[..end - at]);
        }
        check(&bytes);
    }

    #[test]
    fn an_end_that_is_missing(nth in select(vec![0, 1]), length in any::<Index>()) {
        let sample: &Sample = &SAMPLES[nth];
        check(&sample.bytes[..length.index(sample.bytes.len())]);
    }
}

#[test]
fn the_samples_are_whole() {
    for sample in &*SAMPLES {
        assert!(sample.places.len() > 15, "{} places", sample.places.len());
        check(&sample.bytes);
    }
}

fn check(bytes: &[u8]) {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    oracle::check(&file, &FUNCTIONS, &TYPES).unwrap();
}
