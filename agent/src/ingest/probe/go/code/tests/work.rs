//! Where a function ends whose work is in some of its calls.

use super::{
    super::{Callees, Work},
    BX, Entry, Return, ReturnKind, Sample, Source, Want, check, check_by, checked, ret,
};

#[test]
fn what_comes_after_the_last_call_that_is_work_carries_the_point() {
    const FILL: &str = "go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*header).fill";
    let handler = Sample::new(include_str!(
        "../../../../../../../tests/data/go/code/kv_server_txn.txt"
    ));
    let error = || vec![Source::Register(BX)];
    let rets = [180, 214, 228, 242, 256].map(|offset| ret(offset, error()));
    check(&handler, &[Want::Value(BX)], checked(0xa), &rets);
    // Its work is the call of the server through an interface: `fill` comes after it.
    let server = Work {
        indirect: true,
        ..Work::default()
    };
    let mut points = rets.clone();
    points[1] = Return {
        offset: 195,
        frame: 0x30,
        kind: ReturnKind::Early,
        results: vec![Source::Zero],
    };
    check_until(&handler, server, &[Want::Value(BX)], checked(0xa), &points);
    let fill = |addresses| Work {
        addresses,
        indirect: false,
    };
    let last = fill(vec![handler.address(FILL).unwrap()]);
    check_until(&handler, last, &[Want::Value(BX)], checked(0xa), &rets);
    // Work that is in none of its calls was compiled into it, and may be anywhere.
    let nowhere = fill(vec![0x1234]);
    check_until(&handler, nowhere, &[Want::Value(BX)], checked(0xa), &rets);
}

/// A panic that is recovered comes back to where the defers run, and every call might panic.
#[test]
fn function_with_defers_makes_no_other_call_after_its_point() {
    // push rbp; call the work; call another; pop rbp; ret
    const PLAIN: &str = "address 0x401000\ncode 55e8fa0f0000e8f51f00005dc3";
    // call runtime.deferreturn; pop rbp; ret
    const DEFERS: &str = "\ncalls 0x404000 runtime.deferreturn\ncode e8ee2f00005dc3";
    let work = || Work {
        addresses: vec![0x40_2000],
        indirect: false,
    };
    let early = Return {
        offset: 6,
        frame: 8,
        kind: ReturnKind::Early,
        results: vec![],
    };
    check_until(&Sample::new(PLAIN), work(), &[], checked(0), &[early]);
    let defers = Sample::new(&format!("{PLAIN}{DEFERS}"));
    let rets = [ret(12, vec![]), ret(19, vec![])];
    check_until(&defers, work(), &[], checked(0), &rets);
}

fn check_until(sample: &Sample, work: Work, wants: &[Want], entry: Entry, returns: &[Return]) {
    let callees = Callees::find(|name| sample.address(name)).until(work);
    check_by(&callees, sample, wants, entry, returns);
}
