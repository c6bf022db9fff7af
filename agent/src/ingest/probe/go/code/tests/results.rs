//! Where a result is before the last branch or store, by small functions made for one question each.

use super::{AX, BX, Return, ReturnKind, Sample, Source, Want, check, checked, ret};

/// A branch with a result in BX: it is zero on one way, and what was compared on the other.
#[test]
fn comparison_with_zero_decides_where_a_branch_leaves_a_result() {
    const JE: u8 = 0x74;
    const JNE: u8 = 0x75;
    const TEST: &[u8] = &[0x48, 0x85, 0xc0]; // test rax, rax
    const ZERO: &[u8] = &[0x31, 0xdb]; // xor ebx, ebx
    const COMPARED: &[u8] = &[0x48, 0x89, 0xc3]; // mov rbx, rax
    let compared = Some(Source::Register(AX));
    for (test, jump, next, taken, at_branch) in [
        (TEST, JE, COMPARED, ZERO, compared),
        (TEST, JNE, ZERO, COMPARED, compared),
        (TEST, JE, ZERO, COMPARED, Some(Source::Zero)),
        (TEST, JNE, COMPARED, ZERO, Some(Source::Zero)),
        // Below is another branch than on equality.
        (TEST, 0x72, COMPARED, ZERO, None),
        // cmp rax, 0; cmp rax, 1
        (&[0x48, 0x83, 0xf8, 0x00], JE, COMPARED, ZERO, compared),
        (&[0x48, 0x83, 0xf8, 0x01], JE, COMPARED, ZERO, None),
        // test eax, eax; test rcx, rcx; test rax, rcx
        (&[0x85, 0xc0], JE, COMPARED, ZERO, None),
        (&[0x48, 0x85, 0xc9], JE, COMPARED, ZERO, None),
        (&[0x48, 0x85, 0xc8], JE, COMPARED, ZERO, None),
        // test rax, rax; mov rdx, rax
        (
            &[0x48, 0x85, 0xc0, 0x48, 0x89, 0xc2],
            JE,
            COMPARED,
            ZERO,
            compared,
        ),
        // test rax, rax; mov rax, rcx
        (&[0x48, 0x85, 0xc0, 0x48, 0x89, 0xc8], JE, COMPARED, ZERO, None),
        // test rcx, rcx; js to the branch; test rax, rax
        (
            &[0x48, 0x85, 0xc9, 0x78, 0x03, 0x48, 0x85, 0xc0],
            JE,
            COMPARED,
            ZERO,
            None,
        ),
    ] {
        // push rbp; call rax
        let mut code = vec![0x55, 0xff, 0xd0];
        code.extend(test);
        let branch = code.len();
        let over = u8::try_from(next.len() + 2).unwrap();
        code.extend([jump, over]);
        let mut rets = [0; 2];
        for (way, ret) in [next, taken].into_iter().zip(&mut rets) {
            // pop rbp; ret
            code.extend([way, &[0x5d, 0xc3]].concat());
            *ret = code.len() - 1;
        }
        let offset = |at| u32::try_from(at).unwrap();
        let points = match at_branch {
            Some(source) => vec![Return {
                offset: offset(branch),
                frame: 8,
                kind: ReturnKind::Early,
                results: vec![source],
            }],
            None => rets
                .map(|at| ret(offset(at), vec![Source::Register(BX)]))
                .to_vec(),
        };
        check(&Sample::of(&code), &[Want::Value(BX)], checked(0), &points);
    }
}

/// What a failed call returns instead of a pointer is nothing to read by.
#[test]
fn pointer_may_be_another_where_none_is_returned() {
    let body = [
        &[0x55, 0xff, 0xd0, 0x48, 0x85, 0xc9][..], // push rbp; call rax; test rcx, rcx
        &[0x74, 0x04],                             // je over the next three
        &[0x31, 0xc0, 0x5d, 0xc3],                 // xor eax, eax; pop rbp; ret
        &[0x5d, 0xc3],                             // pop rbp; ret
    ];
    let code = body.concat();
    let results = vec![Source::Register(AX)];
    let branch = Return {
        offset: 6,
        frame: 8,
        kind: ReturnKind::Early,
        results: results.clone(),
    };
    check(&Sample::of(&code), &[Want::Pointer(AX)], checked(0), &[branch]);
    let rets = [11, 13].map(|offset| ret(offset, results.clone()));
    check(&Sample::of(&code), &[Want::Value(AX)], checked(0), &rets);
}

#[test]
fn store_that_may_reach_the_slot_of_a_result_hides_it() {
    let stores: [&[u8]; 3] = [
        &[0x48, 0x89, 0x19],             // mov [rcx], rbx
        &[0x48, 0x89, 0x5c, 0xcc, 0x08], // mov [rsp+rcx*8+8], rbx
        &[0x48, 0x89, 0x5c, 0x24, 0x04], // mov [rsp+4], rbx
    ];
    for store in stores {
        let body = [
            &[0x55, 0x48, 0x83, 0xec, 0x10, 0xff, 0xd0, 0x90], // push rbp; sub rsp, 10h; call rax; nop
            store,
            &[0x48, 0x8b, 0x04, 0x24],             // mov rax, [rsp]
            &[0x48, 0x83, 0xc4, 0x10, 0x5d, 0xc3], // add rsp, 10h; pop rbp; ret
        ];
        let code = body.concat();
        let end = u32::try_from(code.len() - 1).unwrap();
        let results = vec![Source::Register(AX)];
        check(
            &Sample::of(&code),
            &[Want::Value(AX)],
            checked(0),
            &[ret(end, results)],
        );
    }
}
