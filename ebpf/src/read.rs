//! Reads what a probed thread holds: its registers, and memory of its process.
//!
//! In: places that the agent wrote down. Out: values, or nothing where a pointer leads nowhere. User
//! memory is all that is read, which the kernel allows under every lockdown.

use abi::go_call::{
    CONTEXT_HOPS, Capture, Prefix, Process, Source, kind, place,
    record::{Captured, Native, TEXT, state},
    register::{AMD64, ARM64, File},
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_probe_read_user, bpf_probe_read_user_buf},
    programs::ProbeContext,
};

/// The registers of the processor that this object is built for.
const FILE: File = match option_env!("AYA_BPF_TARGET_ARCH") {
    Some(arch) if matches!(arch.as_bytes(), b"aarch64") => ARM64,
    _ => AMD64,
};

/// A text that is longer is none: what lay there was no length.
const MAX_LENGTH: u64 = 1 << 24;

/// A goroutine is at most a gigabyte deep, by Go's own limit.
const MAX_DEPTH: u64 = 1 << 30;

/// The registers of the thread. Those that hold values are copied: the kernel lets a program index its own
/// stack by a number from a map, but not the context.
pub struct Registers {
    words: [u64; FILE.length],
    goroutine: u64,
    stack_pointer: u64,
}

/// Bytes of the process.
struct Text {
    pointer: u64,
    length: u64,
}

/// The beginning of a text, laid out so that it is zeroed and compared as words.
#[repr(align(8))]
struct Start([u8; Prefix::MAX]);

impl Registers {
    #[inline(always)]
    pub fn copy(context: &ProbeContext) -> Self {
        let mut words = [0; FILE.length];
        for (at, word) in words.iter_mut().enumerate() {
            *word = register(context, at);
        }
        Self {
            words,
            goroutine: register(context, FILE.goroutine),
            stack_pointer: register(context, FILE.stack_pointer),
        }
    }

    /// The goroutine, and how deep in its stack the call began, if SP was `frame` higher then.
    #[inline(always)]
    pub fn goroutine(&self, frame: u32) -> Option<(u64, u64)> {
        // The descriptor begins with the stack's bounds: `stack.lo`, `stack.hi`.
        let top: u64 = user(self.goroutine.wrapping_add(8))?;
        let depth = top.wrapping_sub(self.stack_pointer.wrapping_add(u64::from(frame)));
        (depth < MAX_DEPTH).then_some((self.goroutine, depth))
    }

    #[inline(always)]
    pub fn read(&self, source: &Source) -> Option<u64> {
        match source.place {
            place::ZERO => Some(0),
            place::REGISTER => self.words.get(usize::from(source.register)).copied(),
            place::STACK => user(offset(self.stack_pointer, source.offset)),
            _ => None,
        }
    }

    /// Reads a value into a record; false if it should be there and is not.
    #[inline(always)]
    pub fn capture(&self, capture: &Capture, into: &mut Captured) -> bool {
        into.length = 0;
        if capture.kind == kind::NONE {
            into.state = state::NONE;
            return true;
        }
        let length = self.capture_bytes(capture, &mut into.bytes);
        into.state = if length.is_some() {
            state::READ
        } else {
            state::UNREAD
        };
        into.length = length.unwrap_or(0);
        length.is_some()
    }

    #[inline(always)]
    fn capture_bytes(&self, capture: &Capture, into: &mut [u8; TEXT]) -> Option<u32> {
        if capture.kind == kind::VALUE {
            let value = self.read(&capture.from)?.to_ne_bytes();
            into[..value.len()].copy_from_slice(&value);
            return Some(8);
        }
        let text = self.text(capture)?;
        copy(&text, into)?;
        u32::try_from(text.length).ok()
    }

    /// Whether a text begins with this. An empty prefix is that of no text.
    #[inline(always)]
    pub fn has_prefix(&self, capture: &Capture, prefix: &Prefix) -> bool {
        if prefix.is_empty() {
            return false;
        }
        let Some(mut text) = self.text(capture) else {
            return false;
        };
        if text.length < prefix.len() {
            return false;
        }
        text.length = prefix.len();
        let mut start = Start([0; Prefix::MAX]);
        copy(&text, &mut start.0).is_some() && prefix.is(&start.0)
    }

    /// Follows the pointers of a capture.
    #[inline(always)]
    fn text(&self, capture: &Capture) -> Option<Text> {
        let mut at = self.read(&capture.from)?;
        if capture.kind == kind::PAIR {
            let length = self.read(&capture.length)?;
            return Text::checked(at, length);
        }
        for (hop, step) in capture.steps.iter().enumerate() {
            if hop < usize::from(capture.hops) {
                at = user(offset(at, *step))?;
            }
        }
        let at = offset(at, capture.last);
        if capture.kind == kind::WORD {
            return Text::checked(at, 8);
        }
        let [pointer, length]: [u64; 2] = user(at)?;
        Text::checked(pointer, length)
    }
}

impl Text {
    #[inline(always)]
    fn checked(pointer: u64, length: u64) -> Option<Self> {
        (length <= MAX_LENGTH).then_some(Self { pointer, length })
    }
}

/// One word of the register file.
#[inline(always)]
fn register(context: &ProbeContext, word: usize) -> u64 {
    let words: *const u64 = context.as_ptr().cast();
    // SAFETY: the context is the register file of this processor, and all words of `FILE` are in it.
    let at = unsafe { words.add(word) };
    // SAFETY: as above. Volatile, for the kernel lets the context be read word by word only.
    unsafe { at.read_volatile() }
}

/// Searches a `context.Context` for a native span, from the innermost context outwards.
///
/// The standard library's contexts all begin with their parent, as an interface. Its `valueCtx` goes on
/// with the key, and then with the value, whose type tells whether it is a span.
#[inline(always)]
pub fn native(process: &Process, mut context: u64, into: &mut Native) -> Option<()> {
    for _ in 0..CONTEXT_HOPS {
        let [_, parent, _, _, value_type, value]: [u64; 6] = user(context)?;
        for span in &process.span_types {
            if span.address != 0 && span.address == value_type {
                let at = value.wrapping_add(u64::from(span.context));
                into.trace_id = user(at)?;
                into.span_id = user(at.wrapping_add(16))?;
                into.trace_flags = u32::from(user::<u8>(at.wrapping_add(24))?);
                into.found = 1;
                return Some(());
            }
        }
        context = parent;
    }
    None
}

/// Copies the beginning of a text, as much as there is room for.
#[inline(always)]
fn copy<const ROOM: usize>(text: &Text, into: &mut [u8; ROOM]) -> Option<()> {
    let length = (text.length as usize).min(ROOM);
    let room = into.get_mut(..length)?;
    // SAFETY: the kernel checks that the address is one of user space, and reads it or fails.
    unsafe { bpf_probe_read_user_buf(text.pointer as *const u8, room) }.ok()
}

/// A value of the process's memory.
#[inline(always)]
fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the kernel checks that the address is one of user space, and reads it or fails; all types
    // here are of integers.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

fn offset(address: u64, by: i32) -> u64 {
    address.wrapping_add_signed(i64::from(by))
}
