//! What of a function's results is read when it returns.
//!
//! In: its results with their places, and the values to capture of them. Out: the registers to ask for at each return
//! point, and which of them is whose.

use super::{
    super::{
        code::{self, Want},
        signature::Place,
    },
    Placed, Target,
    value::Value,
};

/// The results that the return probe shall read.
pub(super) struct Wants {
    pub(super) list: Vec<Want>,
    /// The place of the error in `list`.
    pub(super) error: Option<usize>,
    /// Numbers in the instruction set of the registers that carry results, in order.
    registers: Vec<u8>,
}

impl Wants {
    /// A result `err` says whether the call failed.
    pub(super) fn new(target: &Target<'_>, results: &[Placed<'_>]) -> Self {
        let words = target.file.words;
        let number = |word: &u8| words.iter().position(|other| other == word);
        let mut wants = Self {
            list: Vec::new(),
            error: None,
            registers: target
                .file
                .arguments
                .iter()
                .filter_map(number)
                .filter_map(|number| u8::try_from(number).ok())
                .collect(),
        };
        let error = results.iter().find(|(variable, _)| &*variable.name == "err");
        if let Some((_, Place::Register(first))) = error {
            wants.error = wants.push(*first, Want::Value);
        }
        wants
    }

    /// Asks for the words that a value starts from; gives the place of the first.
    pub(super) fn add(&mut self, value: &Value) -> Option<usize> {
        let Place::Register(first) = value.place else {
            return None;
        };
        if value.is_pair() {
            let pointer = self.push(first + value.word, Want::Value)?;
            self.push(first + value.word + 1, Want::Value)?;
            Some(pointer)
        } else {
            self.push(first + value.word, Want::Pointer)
        }
    }

    fn push(&mut self, register: u8, want: fn(code::Register) -> Want) -> Option<usize> {
        let number = *self.registers.get(usize::from(register))?;
        self.list.push(want(code::Register(number)));
        Some(self.list.len() - 1)
    }
}
