//! Return points of every function of a real program, against runs of its code and Go's own disassembler.
//!
//! In: the `go` command itself, which is on every machine that has Go: fifteen thousand functions of the
//! compiler's, and of assembler code. It needs Go, and no network.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program that cannot be read is a failed test"
)]

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    path::PathBuf,
    process::Command,
};

use innerspan::ingest::probe::go::{
    binary::Binary,
    code::{Callees, EntryKind, Function, Refused, Register, ReturnKind, Want, Work, oracle},
};

const AX: Register = Register(0);
const BX: Register = Register(3);
/// Of each function, what is asked for: nothing, one word, and an error beside a pointer.
const WANTS: [&[Want]; 3] = [&[], &[Want::Value(AX)], &[Want::Value(BX), Want::Pointer(AX)]];

#[test]
fn every_function_of_a_program_keeps_its_promises() {
    let program = Program::read();
    let (mut accepted, mut checked, mut early, mut returned) = (0, 0, 0, 0);
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (address, code) in &program.functions {
        let function = Function {
            code,
            address: *address,
            arch: program.binary.arch(),
        };
        // Also as if each were there for the calls that it makes through interfaces.
        let until = program.callees.clone().until(Work {
            addresses: Vec::new(),
            indirect: true,
        });
        for (wants, callees) in WANTS.iter().zip([&program.callees, &program.callees, &until]) {
            match oracle::check(&function, callees, wants, 3, *address) {
                Ok((points, runs)) if wants.is_empty() => {
                    accepted += 1;
                    checked += usize::from(points.entry.kind == EntryKind::Checked);
                    early += usize::from(points.returns.iter().any(|point| point.kind == ReturnKind::Early));
                    returned += runs;
                }
                Ok(_) => {}
                Err(reason) => {
                    *refused.entry(kind(reason)).or_default() += 1;
                    break;
                }
            }
        }
    }
    let all = program.functions.len();
    eprintln!(
        "{all} functions: {accepted} accepted, {checked} with an entry behind the check, {early} with an early \
         return, {returned} runs that returned; refused: {refused:?}"
    );
    // What compilers make is accepted, but for a few in a hundred: those that never return or end in a jump.
    assert!(accepted * 100 > all * 95, "{accepted} of {all}: {refused:?}");
    assert!(checked * 100 > all * 70 && early * 100 > all * 20 && returned > all);
}

#[test]
fn rets_are_where_the_disassembler_of_go_sees_them() {
    let program = Program::read();
    let disassembled = program.rets("^(net/http|encoding/json|strconv|time)\\.");
    let mut compared = 0;
    for (address, code) in &program.functions {
        let end = address + code.len() as u64;
        let expected: BTreeSet<u64> = disassembled.range(*address..end).copied().collect();
        let function = Function {
            code,
            address: *address,
            arch: program.binary.arch(),
        };
        // No want is met by another place, so that no RET is spared.
        let Ok(points) = function.points(&Callees::default(), &[]) else {
            continue;
        };
        let rets = points
            .returns
            .iter()
            .filter(|point| point.kind == ReturnKind::Ret);
        let rets: BTreeSet<u64> = rets.map(|point| address + u64::from(point.offset)).collect();
        if expected.is_empty() {
            continue;
        }
        compared += 1;
        assert!(rets.is_subset(&expected), "{rets:x?} of {expected:x?}");
        let spared = points.returns.iter().any(|point| point.kind == ReturnKind::Early);
        assert!(spared || rets == expected, "{rets:x?}, not {expected:x?}");
    }
    assert!(compared > 1000, "only {compared} functions compared");
}

/// The reason without its place.
fn kind(refused: Refused) -> String {
    let text = format!("{refused:?}");
    text.split('(').next().unwrap().to_owned()
}

/// The `go` command.
struct Program {
    path: PathBuf,
    binary: Binary,
    callees: Callees,
    /// Their code by their address; without what is written in assembler code.
    functions: BTreeMap<u64, Vec<u8>>,
}

impl Program {
    fn read() -> Self {
        let root = output(Command::new("go").args(["env", "GOROOT"]));
        let path = PathBuf::from(root.trim()).join("bin/go");
        let binary = Binary::open(File::open(&path).unwrap()).unwrap();
        let listed = output(Command::new("go").args(["tool", "nm"]).arg(&path));
        let mut names: HashSet<&str> = listed
            .lines()
            .filter_map(|line| {
                let (_address, rest) = line.trim_start().split_once(' ')?;
                let (kind, name) = rest.trim_start().split_once(' ')?;
                matches!(kind, "T" | "t").then_some(name)
            })
            .collect();
        for name in Callees::names() {
            names.insert(name);
        }
        let found = binary.functions(&names).unwrap();
        let callees = Callees::find(|name| {
            found
                .named(name)
                .iter()
                .map(|function| function.entry)
                .collect::<Vec<_>>()
        });
        let functions = found
            .all()
            .iter()
            .filter(|function| !function.assembler)
            .map(|function| (function.entry, binary.code(function).unwrap().to_vec()))
            .collect();
        Self {
            path,
            binary,
            callees,
            functions,
        }
    }

    /// The addresses of RET in functions whose names match.
    fn rets(&self, names: &str) -> BTreeSet<u64> {
        let listed = output(
            Command::new("go")
                .args(["tool", "objdump", "-s", names])
                .arg(&self.path),
        );
        let ret = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let address = words.next()?.strip_prefix("0x")?;
            (words.nth(1)? == "RET")
                .then(|| u64::from_str_radix(address, 16).ok())
                .flatten()
        };
        listed.lines().filter_map(ret).collect()
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("Go is needed: https://go.dev/dl");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
