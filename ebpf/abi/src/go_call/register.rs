//! Where the kernel hands a probe the registers of the thread: `struct pt_regs`, as words of eight bytes.
//!
//! The order of its words is part of the kernel's interface with user space (ptrace, signals, BPF), and
//! the registers of Go's calls are part of Go's, see
//! <https://go.googlesource.com/go/+/refs/tags/go1.26.0/src/cmd/compile/abi-internal.md>.

/// The registers of one architecture. A register is named by its word.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// By the register's number in the instruction set, as far as a value may be read from it.
    pub words: &'static [u8],
    /// The words that hold them, from the first.
    pub length: usize,
    /// Where Go keeps the goroutine's descriptor.
    pub goroutine: usize,
    pub stack_pointer: usize,
    /// The integer arguments and results of Go's calls, in order.
    pub arguments: &'static [u8],
}

/// hook: 5.15.. `arch/x86/include/uapi/asm/ptrace.h:struct pt_regs`
pub const AMD64: File = File {
    //       AX  CX  DX BX  SP BP  SI  DI R8 R9 R10 R11 R12 R13 R14 R15
    words: &[10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0],
    length: 20,
    goroutine: 1,
    stack_pointer: 19,
    //           AX BX  CX  DI  SI R8 R9 R10 R11
    arguments: &[10, 5, 11, 14, 13, 9, 8, 7, 6],
};

/// Only the registers of arguments and results: a copy of all would not fit a program's stack.
///
/// hook: 5.15.. `arch/arm64/include/uapi/asm/ptrace.h:struct user_pt_regs`
pub const ARM64: File = File {
    words: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    length: 16,
    goroutine: 28,
    stack_pointer: 31,
    arguments: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
};
