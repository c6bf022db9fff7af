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

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use innerspan::ingest::probe::go::binary::{Arch, Binary, Kind, Type, Unreadable};
use tempfile::TempDir;

const SUBJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/go/subject");

const STRIPPED: &str = "-ldflags=-s -w";
const PIE: &str = "-buildmode=pie";
const EXTERNAL: &str = "-ldflags=-s -w -linkmode=external";
/// The linker writes relocations of the kind RELR too.
const PACKED: &str = "-ldflags=-s -w -linkmode=external -extldflags=-Wl,-z,pack-relative-relocs";

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
    for version in ["1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.9", "1.25.3"] {
        let toolchain = format!("go{version}");
        for flags in [&[STRIPPED][..], &[PIE, STRIPPED], &[PIE, EXTERNAL]] {
            let executable = Executable::build(flags, &[("GOTOOLCHAIN", &toolchain)]);
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
        go(&[]).args(["env", "GOVERSION"]).output_text().trim()
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

// === The program ===

struct Executable {
    path: PathBuf,
    what: String,
    /// Holds the file.
    _room: TempDir,
}

impl Executable {
    fn build(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("subject");
        let mut command = go(environment);
        command
            .args(["build", "-trimpath", "-o"])
            .arg(&path)
            .args(flags)
            .arg(".");
        command.output_text();
        Self {
            path,
            what: format!("{flags:?} {environment:?}"),
            _room: room,
        }
    }

    fn read(&self) -> Binary {
        Binary::open(File::open(&self.path).unwrap()).unwrap_or_else(|fault| panic!("{}: {fault}", self.what))
    }

    /// What the program says, by lines and words.
    fn run(&self) -> Vec<Vec<String>> {
        let said = Command::new(&self.path).output_text();
        said.lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Functions by name: the sizes of those of one name by address.
    fn symbols(&self) -> BTreeMap<String, BTreeMap<u64, u64>> {
        let listed = go(&[])
            .args(["tool", "nm", "-size"])
            .arg(&self.path)
            .output_text();
        let mut symbols: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
        for line in listed.lines() {
            let mut rest = line.trim_start();
            let mut word = || {
                let (word, more) = rest.split_once(' ').unwrap();
                rest = more.trim_start();
                word
            };
            let (address, size, kind) = (word(), word(), word());
            // No code: marks, and the stamp that the linker writes before the code. Generated comparisons of
            // types that are local to a function are listed under another name than they have.
            if !matches!(kind, "T" | "t") || size == "0" || rest == "go:buildid" || rest.starts_with("type:")
            {
                continue;
            }
            let name = rest.strip_suffix(".abi0").unwrap_or(rest);
            let address = u64::from_str_radix(address, 16).unwrap();
            symbols
                .entry(name.to_owned())
                .or_default()
                .insert(address, size.parse().unwrap());
        }
        symbols
    }

    /// Compares the file with what the program says of itself, wherever the kernel has put it.
    fn check(&self) {
        let statements = self.run();
        let binary = self.read();
        check_layouts(&binary, &statements);
        let mut biases = BTreeSet::new();
        let names: HashSet<&str> = statements
            .iter()
            .filter(|said| said[0] == "function")
            .map(|said| said[1].as_str())
            .collect();
        assert!(names.len() > 10, "{}", self.what);
        let functions = binary.functions(&names).unwrap();
        let file = File::open(&self.path).unwrap();
        for name in names {
            let said = statements
                .iter()
                .filter(|said| said[0] == "function" && said[1] == name);
            let mut said: Vec<(u64, u128)> = said
                .map(|said| {
                    (
                        said[2].parse().unwrap(),
                        u128::from_str_radix(&said[3], 16).unwrap(),
                    )
                })
                .collect();
            said.sort_unstable();
            let found = functions.named(name);
            assert_eq!(found.len(), said.len(), "{}: {name}", self.what);
            for (function, (entry, code)) in found.iter().zip(said) {
                biases.insert(entry - function.entry);
                let mut there = [0; 16];
                file.read_exact_at(&mut there, function.file_offset).unwrap();
                assert_eq!(u128::from_be_bytes(there), code, "{}: {function:?}", self.what);
                let code = binary.code(function).unwrap();
                assert_eq!(code.len() as u64, function.size, "{}", self.what);
                assert!(there.starts_with(&code[..code.len().min(16)]), "{}", self.what);
            }
        }
        let types = binary.types().unwrap();
        for said in statements.iter().filter(|said| said[0] == "type") {
            let ty = types.named(&said[1]).unwrap().unwrap();
            biases.insert(said[2].parse::<u64>().unwrap() - ty.address());
        }
        // One for all: none, or a multiple of the page.
        assert_eq!(biases.len(), 1, "{}: {biases:?}", self.what);
        assert!(
            biases.iter().all(|bias| bias % 4096 == 0),
            "{}: {biases:?}",
            self.what
        );
        assert_eq!(biases.contains(&0), !self.what.contains(PIE), "{}", self.what);
    }

    fn forget_sections(&self) {
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        // e_shoff, then e_shnum and e_shstrndx of the ELF header.
        file.write_all_at(&[0; 8], 0x28).unwrap();
        file.write_all_at(&[0; 4], 0x3c).unwrap();
    }
}

fn check_layouts(binary: &Binary, statements: &[Vec<String>]) {
    let types = binary.types().unwrap();
    let find = |name: &str| {
        types
            .named(name)
            .unwrap()
            .unwrap_or_else(|| panic!("{name} is not found"))
    };
    let mut fields = 0;
    for said in statements {
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        match said[..] {
            ["type", name, _, size] => {
                let ty = find(name);
                assert_eq!(
                    (ty.name().unwrap(), ty.size()),
                    (name.to_owned(), size.parse().unwrap())
                );
                let own = statements
                    .iter()
                    .filter(|said| said[0] == "field" && said[1] == name)
                    .count();
                assert_eq!(ty.fields().unwrap().len(), own, "{name}");
            }
            ["field", of, name, offset, ty, embedded] => {
                let field = find(of).field(name).unwrap().unwrap();
                assert_eq!(field.offset, offset.parse::<u64>().unwrap(), "{of}.{name}");
                assert_eq!(field.embedded.to_string(), embedded, "{of}.{name}");
                assert_eq!(field.ty.name().unwrap(), ty, "{of}.{name}");
                fields += 1;
            }
            ["method", ref rest @ ..] => {
                let method = find("*example.test/subject/odd.Ledger")
                    .method("Add")
                    .unwrap()
                    .unwrap();
                let list = |prefix, types: &[Type<'_>]| -> Vec<String> {
                    types
                        .iter()
                        .map(|ty| format!("{prefix} {}", ty.name().unwrap()))
                        .collect()
                };
                let found = [list("in", &method.params), list("out", &method.results)].concat();
                assert_eq!(found, rest);
                assert!(method.variadic);
            }
            ["function", ..] => {}
            _ => panic!("the program says {said:?}"),
        }
    }
    assert!(fields > 20, "the program names {fields} fields");
}

/// Go as it is installed, without a look at the network.
fn go(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(Path::new(SUBJECT))
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOTOOLCHAIN", "local");
    command.envs(environment.iter().copied());
    command
}

trait OutputText {
    fn output_text(&mut self) -> String;
}

impl OutputText for Command {
    fn output_text(&mut self) -> String {
        let output = self
            .output()
            .expect("it starts: the Go suite needs Go 1.26 or later");
        assert!(
            output.status.success(),
            "{self:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
