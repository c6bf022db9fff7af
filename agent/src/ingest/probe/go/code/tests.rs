//! Tables over functions that the Go compiler made, and properties over any code.

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    super::binary::Arch, Callees, Entry, EntryKind, Function, Points, Refused, Register, Return, ReturnKind,
    Source, Want, oracle,
};

mod program;
mod results;
mod sample;
mod work;

use self::{program::Program, sample::Sample};

const AX: Register = Register(0);
const CX: Register = Register(1);
const BX: Register = Register(3);

#[test]
fn client_stub_that_fails_or_not_returns_at_one_branch() {
    let stub = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/cri_client_run_pod_sandbox.txt"
    ));
    let branch = Return {
        offset: 0x16a,
        frame: 0x88,
        kind: ReturnKind::Early,
        results: vec![Source::Register(AX), Source::Stack(0x70)],
    };
    check(
        &stub,
        &[Want::Value(BX), Want::Pointer(AX)],
        checked(0xf),
        &[branch],
    );
}

#[test]
fn result_that_no_place_holds_on_both_ways_is_read_where_it_returns() {
    let stub = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/kv_client_txn.txt"
    ));
    let results = || vec![Source::Register(AX)];
    let early = Return {
        offset: 0xc8,
        frame: 0x70,
        kind: ReturnKind::Early,
        results: vec![Source::Register(AX)],
    };
    check(&stub, &[Want::Value(BX)], checked(0xa), &[early]);
    let both = [ret(0xd7, results()), ret(0xe6, results())];
    check(&stub, &[Want::Value(AX)], checked(0xa), &both);
}

#[test]
fn nop_between_epilogue_and_ret_carries_the_point() {
    let handler = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/kv_server_range.txt"
    ));
    let error = || vec![Source::Register(BX)];
    let nop = Return {
        offset: 319,
        frame: 0,
        kind: ReturnKind::Early,
        results: error(),
    };
    check(
        &handler,
        &[Want::Value(BX)],
        checked(0xa),
        &[ret(285, error()), nop, ret(334, error())],
    );
}

#[test]
fn function_that_ends_in_an_indirect_call_returns_at_its_ret() {
    let handler = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/kv_txn_handler_func1.txt"
    ));
    let error = vec![Source::Register(CX)];
    check(&handler, &[Want::Value(CX)], checked(0xa), &[ret(224, error)]);
}

#[test]
fn function_with_defers_returns_behind_them() {
    let setter = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/set_prev_rev.txt"
    ));
    check(&setter, &[], checked(0xa), &[ret(135, vec![]), ret(146, vec![])]);
}

#[test]
fn jump_through_a_table_leaves_the_rets() {
    let name = Sample::new(include_str!(
        "../../../../../../tests/data/go/code/socks_reply_string.txt"
    ));
    let rets = [55, 73, 91, 109, 128, 146, 164, 182, 200, 242].map(|offset| ret(offset, vec![]));
    check(&name, &[], checked(0xa), &rets);
}

#[test]
fn leaf_without_a_frame_begins_at_its_start() {
    // lea rax, [rax + rbx]; ret
    let leaf = Sample::of(&[0x48, 0x8d, 0x04, 0x18, 0xc3]);
    let start = Entry {
        offset: 0,
        kind: EntryKind::Start,
    };
    check(
        &leaf,
        &[Want::Value(AX)],
        start,
        &[ret(4, vec![Source::Register(AX)])],
    );
}

/// A wrapper loads the goroutine again after its call into assembly: the NOP comes too early.
#[test]
fn point_is_where_the_goroutine_is_in_its_register() {
    let body = [
        &[0x55, 0xff, 0xd0, 0x90][..], // push rbp; call rax; nop
        &[0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff], // mov r14, fs:[-8]
        &[0x5d, 0xc3],                 // pop rbp; ret
    ];
    check(&Sample::of(&body.concat()), &[], checked(0), &[ret(14, vec![])]);
}

#[test]
fn call_never_ends_where_it_begins() {
    // push rbp; mov rbp, rsp; lea rax, [rax + rbx]; pop rbp; ret
    let sum = Sample::of(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x04, 0x18, 0x5d, 0xc3]);
    check(&sum, &[], checked(0), &[ret(9, vec![])]);
}

/// No compiler makes it: dead code that jumps to the start would seem to be where a call comes in.
#[test]
fn call_comes_in_at_the_start() {
    let body = [
        &[0x48, 0x39, 0xc0][..],   // cmp rax, rax
        &[0x55, 0x90, 0x5d, 0xc3], // push rbp; nop; pop rbp; ret
        &[0xeb, 0xf7, 0xeb, 0xf5], // two jumps to the start
    ];
    let nop = Return {
        offset: 4,
        frame: 8,
        kind: ReturnKind::Early,
        results: vec![],
    };
    check(&Sample::of(&body.concat()), &[], checked(3), &[nop]);
}

/// No compiler makes it: one of the two ways returns with the stack out of balance.
#[test]
fn branch_before_two_depths_of_the_stack_carries_no_point() {
    let body = [
        &[0x55, 0xff, 0xd0][..], // push rbp; call rax
        &[0x48, 0x85, 0xc0],     // test rax, rax
        &[0x74, 0x03],           // je over the next three
        &[0x50, 0x5d, 0xc3],     // push rax; pop rbp; ret
        &[0x5d, 0xc3],           // pop rbp; ret
    ];
    let push = Return {
        offset: 8,
        frame: 0,
        kind: ReturnKind::Early,
        results: vec![],
    };
    let points = [push, ret(12, vec![])];
    check(&Sample::of(&body.concat()), &[], checked(0), &points);
}

#[test]
fn arm64_entry_is_behind_each_form_of_the_check() {
    const RET: u32 = 0xd65f_03c0;
    // str x30, [sp, #-32]!
    const SAVE: u32 = 0xf81e_0ffe;
    let checks: [&[u32]; 4] = [
        // ldr x16, [x28, #16]; cmp sp, x16; b.ls
        &[0xf940_0b90, 0xeb30_63ff, 0x5400_0069],
        // ldr; sub x17, sp, #528; cmp x17, x16; b.ls
        &[0xf940_0b90, 0xd108_43f1, 0xeb10_023f, 0x5400_0069],
        // ldr; subs x17, sp, #3984; b.lo; cmp; b.ls
        &[0xf940_0b90, 0xf13e_43f1, 0x5400_00a3, 0xeb10_023f, 0x5400_0069],
        // ldr; movz x27, #65424; movk x27, #15, lsl #16; subs x17, sp, x27; b.lo; cmp; b.ls
        &[
            0xf940_0b90,
            0xd29f_f21b,
            0xf2a0_01fb,
            0xeb3b_63f1,
            0x5400_00a3,
            0xeb10_023f,
            0x5400_0069,
        ],
    ];
    for check in checks {
        let offset = u32::try_from(check.len() * 4).unwrap();
        // Behind the frame and the return: bl runtime.morestack_noctxt, and back to the start.
        let back = 0x1700_0000 | (0x00ff_ffff - u32::try_from(check.len() + 2).unwrap());
        let code = [check, &[SAVE, RET, 0x9400_1000, back]].concat();
        let points = arm64(&code, &[Want::Value(Register(1))]).unwrap();
        let results = vec![Source::Register(Register(1))];
        assert_eq!(
            points,
            Points {
                entry: checked(offset),
                returns: vec![ret(offset + 4, results)]
            }
        );
    }
}

#[test]
fn arm64_doubt_is_refused() {
    const RET: u32 = 0xd65f_03c0;
    assert_eq!(arm64(&[0xd503_201f], &[]), Err(Refused::Endless));
    // retaa
    assert_eq!(arm64(&[0xd65f_0bff], &[]), Err(Refused::Return(0)));
    // b to itself; b before the start
    assert_eq!(arm64(&[0x1400_0000, RET], &[]), Err(Refused::Loop(0)));
    assert_eq!(arm64(&[0x17ff_ffff, RET], &[]), Err(Refused::Leaves(0)));
    // ldr x0, #8: the constant there looks like a RET, and so does its upper half.
    assert_eq!(arm64(&[0x5800_0040, RET, RET], &[]), Err(Refused::Return(8)));
    assert_eq!(arm64(&[0x5800_0020, 0, RET, RET], &[]), Err(Refused::Return(8)));
}

#[test]
fn doubt_is_refused() {
    let refused = |code: &[u8], why: Refused| {
        assert_eq!(
            Sample::of(code).function().points(&Callees::default(), &[]),
            Err(why),
            "{code:02x?}"
        );
    };
    refused(&[], Refused::Endless);
    refused(&[0xeb, 0xfe], Refused::Loop(0));
    // push rbp; jmp to it
    refused(&[0x55, 0xeb, 0xfd, 0xc3], Refused::Loop(1));
    // mov eax, ebx; jmp -1
    refused(&[0x89, 0xd8, 0xeb, 0xfd, 0xc3], Refused::Misaligned(2));
    // jmp far away
    refused(&[0xe9, 0x00, 0x01, 0x00, 0x00, 0xc3], Refused::Leaves(0));
    // nop, and what comes after is another function's
    refused(&[0x90], Refused::Leaves(0));
    // ret 8
    refused(&[0xc2, 0x08, 0x00], Refused::Return(0));
    // push es, which 64-bit code does not have
    refused(&[0x06, 0xc3], Refused::Undecodable(0));
    // mov r14, fs:[-8]; ret
    refused(
        &[0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff, 0xc3],
        Refused::Goroutine(0),
    );
    refused(&[0xc3; 65], Refused::Returns(65));
    refused(&vec![0x90; (256 << 10) + 1], Refused::Long((256 << 10) + 1));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(code in proptest::collection::vec(any::<u8>(), 0..300), seed: u64) {
        let sample = Sample::of(&code);
        let checked = oracle::check(&sample.function(), &Callees::default(), &[Want::Value(AX)], 4, seed);
        if let Ok((points, _)) = checked {
            prop_assert!(!points.returns.is_empty());
        }
        let arm = Function { arch: Arch::Arm64, ..sample.function() };
        if let Ok(points) = arm.points(&Callees::default(), &[Want::Value(AX)]) {
            prop_assert!(!points.returns.is_empty());
        }
    }

    #[test]
    fn every_run_passes_the_entry_and_one_return(program in Program::any(), seed: u64) {
        let wants = [Want::Value(AX), Want::Pointer(BX)];
        let sample = Sample::of(&program.code);
        // Without a way to its RET a program is refused, and there is nothing to run.
        if let Ok((points, _)) = oracle::check(&sample.function(), &program.callees, &wants, 32, seed) {
            prop_assert_eq!(points.entry, checked(0));
        }
    }
}

/// The generator would prove nothing if its programs were refused, never returned or had no early point.
#[test]
fn generated_programs_are_worth_running() {
    let mut runner = TestRunner::deterministic();
    let (mut accepted, mut returned, mut early) = (0, 0, 0);
    for seed in 0..256 {
        let program = Program::any().new_tree(&mut runner).unwrap().current();
        let sample = Sample::of(&program.code);
        let wants = [Want::Value(AX)];
        if let Ok((points, runs)) = oracle::check(&sample.function(), &program.callees, &wants, 8, seed) {
            accepted += 1;
            returned += runs;
            early += usize::from(points.returns.iter().any(|point| point.kind == ReturnKind::Early));
        }
    }
    assert!(
        accepted > 128 && returned > 512 && early > 32,
        "{accepted} accepted, {returned} returned, {early} early"
    );
}

fn check(sample: &Sample, wants: &[Want], entry: Entry, returns: &[Return]) {
    let callees = Callees::find(|name| sample.address(name));
    check_by(&callees, sample, wants, entry, returns);
}

fn check_by(callees: &Callees, sample: &Sample, wants: &[Want], entry: Entry, returns: &[Return]) {
    let (points, returned) = oracle::check(&sample.function(), callees, wants, 200, 1).unwrap();
    assert_eq!(
        points,
        Points {
            entry,
            returns: returns.to_vec()
        }
    );
    assert!(returned > 0, "no run returned");
}

fn arm64(words: &[u32], wants: &[Want]) -> Result<Points, Refused> {
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let function = Function {
        code: &code,
        address: 0x1_0000,
        arch: Arch::Arm64,
    };
    function.points(&Callees::default(), wants)
}

fn checked(offset: u32) -> Entry {
    Entry {
        offset,
        kind: EntryKind::Checked,
    }
}

fn ret(offset: u32, results: Vec<Source>) -> Return {
    Return {
        offset,
        frame: 0,
        kind: ReturnKind::Ret,
        results,
    }
}
