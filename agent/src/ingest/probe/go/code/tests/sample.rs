//! A function from a stripped release executable, as `tests/data/go/code` has it: one fact per line.

use super::super::{super::binary::Arch, Function};

pub(super) struct Sample {
    address: u64,
    /// The functions that it calls, as far as they matter.
    calls: Vec<(String, u64)>,
    code: Vec<u8>,
}

impl Sample {
    pub(super) fn of(code: &[u8]) -> Self {
        Self {
            address: 0x40_1000,
            calls: Vec::new(),
            code: code.to_vec(),
        }
    }

    pub(super) fn new(text: &str) -> Self {
        let mut sample = Self::of(&[]);
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["function" | "of", ..] => {}
                ["address", address] => sample.address = number(address),
                ["calls", address, name] => sample.calls.push((name.to_owned(), number(address))),
                ["code", bytes] => sample.code.extend(
                    (0..bytes.len())
                        .step_by(2)
                        .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()),
                ),
                _ => panic!("unknown line: {line}"),
            }
        }
        sample
    }

    pub(super) fn function(&self) -> Function<'_> {
        Function {
            code: &self.code,
            address: self.address,
            arch: Arch::Amd64,
        }
    }

    pub(super) fn address(&self, name: &str) -> Option<u64> {
        Some(self.calls.iter().find(|(known, _)| known == name)?.1)
    }
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}
