//! The program under `tests/data/go/subject`, built, and held against what is read of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use innerspan::ingest::probe::go::binary::{Binary, Type};
use tempfile::TempDir;

const SUBJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/go/subject");

pub(crate) const STRIPPED: &str = "-ldflags=-s -w";
pub(crate) const PIE: &str = "-buildmode=pie";
pub(crate) const EXTERNAL: &str = "-ldflags=-s -w -linkmode=external";
/// The linker writes relocations of the kind RELR too.
pub(crate) const PACKED: &str = "-ldflags=-s -w -linkmode=external -extldflags=-Wl,-z,pack-relative-relocs";

pub(crate) struct Executable {
    pub(crate) path: PathBuf,
    what: String,
    /// Holds the file.
    _room: TempDir,
}

impl Executable {
    pub(crate) fn build(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("subject");
        let mut command = go(environment);
        command
            .args(["build", "-trimpath", "-o"])
            .arg(&path)
            .args(flags)
            .arg(".");
        output(&mut command);
        Self {
            path,
            what: format!("{flags:?} {environment:?}"),
            _room: room,
        }
    }

    pub(crate) fn read(&self) -> Binary {
        Binary::open(File::open(&self.path).unwrap()).unwrap_or_else(|fault| panic!("{}: {fault}", self.what))
    }

    /// What the program says, by lines and words.
    pub(crate) fn run(&self) -> Vec<Vec<String>> {
        let said = output(&mut Command::new(&self.path));
        said.lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Functions by name: the sizes of those of one name by address.
    pub(crate) fn symbols(&self) -> BTreeMap<String, BTreeMap<u64, u64>> {
        let listed = output(go(&[]).args(["tool", "nm", "-size"]).arg(&self.path));
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
    pub(crate) fn check(&self) {
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

    pub(crate) fn forget_sections(&self) {
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        // e_shoff, then e_shnum and e_shstrndx of the ELF header.
        file.write_all_at(&[0; 8], 0x28).unwrap();
        file.write_all_at(&[0; 4], 0x3c).unwrap();
    }
}

pub(crate) fn check_layouts(binary: &Binary, statements: &[Vec<String>]) {
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
pub(crate) fn go(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(Path::new(SUBJECT))
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOTOOLCHAIN", "local");
    command.envs(environment.iter().copied());
    command
}

/// What a command prints, once it has ended well.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("it starts: the Go suite needs Go 1.26 or later");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}
