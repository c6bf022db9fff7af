//! The reader of Go executables against the Go toolchain: what `go tool nm` lists, and what a program says of
//! itself while it runs.
//!
//! In: the program in `tests/data/go/subject`, linked in every way that is found in the wild. It needs Go, and
//! without the feature `lab` no network: the program imports only what comes with Go.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program that cannot be built or read is a failed test"
)]

mod damage;
mod executable;

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
};

use innerspan::ingest::probe::go::binary::{Arch, Binary, Kind, Unreadable};

use crate::executable::{EXTERNAL, Executable, PACKED, PIE, STRIPPED, check_layouts, go, output};

#[test]
fn an_executable_is_as_the_program_in_it_says() {
    for flags in [
        &[][..],
        &[STRIPPED],
        &[PIE, STRIPPED],
        &[EXTERNAL],
        &[PIE, EXTERNAL],
        &[PIE, PACKED],
    ] {
        Executable::build(flags, &[]).check();
    }
}

#[test]
fn section_headers_are_not_needed() {
    for flags in [&[STRIPPED][..], &[PIE, STRIPPED], &[PIE, EXTERNAL]] {
        let executable = Executable::build(flags, &[]);
        executable.forget_sections();
        executable.check();
    }
}

/// Online: it fetches the toolchains, as Go does when a module asks for one.
#[test]
#[cfg(feature = "lab")]
fn every_go_since_1_20_is_understood() {
    for toolchain in [
        "go1.20", "go1.21.0", "go1.22.0", "go1.23.0", "go1.24.0", "go1.25.0",
    ] {
        for flags in [&[STRIPPED][..], &[PIE, STRIPPED], &[PIE, EXTERNAL]] {
            let executable = Executable::build(flags, &[("GOTOOLCHAIN", toolchain)]);
            executable.check();
            assert_eq!(executable.read().build().go, toolchain);
        }
    }
}

#[test]
fn the_functions_are_those_of_the_symbol_table() {
    for (arch, expected) in [("amd64", Arch::Amd64), ("arm64", Arch::Arm64)] {
        let executable = Executable::build(&[], &[("GOARCH", arch), ("CGO_ENABLED", "0")]);
        let binary = executable.read();
        assert_eq!(binary.arch(), expected);
        let symbols = executable.symbols();
        assert!(symbols.len() > 1000, "{arch}: only {} symbols", symbols.len());
        let names: HashSet<&str> = symbols.keys().map(String::as_str).collect();
        let functions = binary.functions(&names).unwrap();
        for (name, expected) in &symbols {
            let found = functions.named(name);
            let entries: BTreeSet<u64> = found.iter().map(|function| function.entry).collect();
            assert_eq!(entries, expected.keys().copied().collect(), "{arch}: {name}");
            for function in found {
                let size = expected[&function.entry];
                // The gap to the next function is part of it.
                assert!(
                    (size..size + 64).contains(&function.size),
                    "{arch}: {function:?}, not {size}"
                );
            }
        }
    }
}

#[test]
fn types_of_arm64_are_laid_out_as_those_of_amd64() {
    let here = Executable::build(&[STRIPPED], &[]);
    let there = Executable::build(&[PIE, STRIPPED], &[("GOARCH", "arm64"), ("CGO_ENABLED", "0")]);
    check_layouts(&there.read(), &here.run());
}

#[test]
fn the_build_is_told() {
    let executable = Executable::build(&[STRIPPED], &[]);
    let binary = executable.read();
    assert_eq!(
        binary.build().go,
        output(go(&[]).args(["env", "GOVERSION"])).trim()
    );
    assert_eq!(binary.build().main().unwrap().path, "example.test/subject");
    assert_eq!(binary.build().dependencies().count(), 0);
}

#[test]
fn a_name_that_is_not_one_function_or_type_is_told_apart() {
    let executable = Executable::build(&[STRIPPED], &[]);
    let binary = executable.read();
    let names = [
        "main.generic[...]",
        "main.small",
        "main.absent",
        "runtime.memmove",
    ];
    let functions = binary.functions(&names.into()).unwrap();
    // Of two wrappers, `main.generic[int8]` and `main.generic[string]`, nobody has asked.
    assert_eq!(functions.named("main.generic[...]").len(), 2);
    assert!(functions.named("main.small").is_empty() && functions.is_inlined("main.small"));
    assert!(functions.named("main.absent").is_empty() && !functions.is_inlined("main.absent"));
    assert!(
        functions
            .named("runtime.memmove")
            .iter()
            .all(|function| function.assembler)
    );
    let types = binary.types().unwrap();
    for absent in [
        "v1.Pod",
        "*v1.Pod",
        "main.local",
        "example.test/subject/one/v1.Absent",
        "",
        "*",
    ] {
        assert!(types.named(absent).unwrap().is_none(), "{absent}");
    }
    let pod = types.named("example.test/subject/one/v1.Pod").unwrap().unwrap();
    assert!(pod.field("Absent").unwrap().is_none() && pod.method("Absent").unwrap().is_none());
    assert!(pod.element().unwrap().is_none());
    let owners = pod.field("Owners").unwrap().unwrap().ty;
    assert_eq!((owners.kind(), owners.length().unwrap()), (Kind::Array, Some(3)));
}

#[test]
fn a_program_that_is_not_go_is_said_to_be_none() {
    let fault = Binary::open(File::open("/proc/self/exe").unwrap()).unwrap_err();
    assert!(matches!(fault, Unreadable::NotGo), "{fault}");
    let fault = Binary::open(File::open("/etc/passwd").unwrap()).unwrap_err();
    assert!(matches!(fault, Unreadable::NotElf(_)), "{fault}");
}
