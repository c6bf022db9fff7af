//! Builds the eBPF programs into `OUT_DIR/programs` and names the commit.
//!
//! Two kinds of toolchain can build them, both with bpf-linker: the distribution's compiler with a
//! precompiled core for BPF, or rustup's with the sources of the standard library. Whichever is
//! there is used. With `AYA_BUILD_SKIP=1` the object is empty, and the agent says so at run time.
use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

const TARGET: &str = "bpfel-unknown-none";
const MANIFEST: &str = "../ebpf/Cargo.toml";

fn main() {
    name_commit();
    if let Err(fault) = embed_programs() {
        for line in format!("{fault:#}").lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Leaves the object, or an empty file in its place, where `ingest::probe` includes it.
fn embed_programs() -> anyhow::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set: run cargo build")?);
    let programs = out.join("programs");
    println!("cargo::rerun-if-env-changed=AYA_BUILD_SKIP");
    if env::var_os("AYA_BUILD_SKIP").is_some_and(|skip| skip == "1" || skip == "true") {
        return fs::write(&programs, []).context("write an empty eBPF object");
    }
    for input in ["Cargo.toml", "Cargo.lock", "src", "abi"] {
        println!("cargo::rerun-if-changed=../ebpf/{input}");
    }
    let object = build_programs(&out)?;
    fs::copy(&object, &programs).with_context(|| format!("copy {}", object.display()))?;
    Ok(())
}

/// The first compiler that works is enough: one may be there whose LLVM is newer than the linker's.
fn build_programs(out: &Path) -> anyhow::Result<PathBuf> {
    let linker = find_linker();
    let compilers: Vec<Compiler> = [find_distribution(), find_with_sources()]
        .into_iter()
        .flatten()
        .collect();
    let found = |is: bool| if is { "found" } else { "not found" };
    let Some(linker) = linker.as_ref().filter(|_| !compilers.is_empty()) else {
        bail!(
            "no toolchain for the eBPF programs.\n\n  \
             bpf-linker, in PATH or in cargo's bin directory: {}\n  \
             this toolchain or nightly with rust-src, or the distribution's rustc with a core for BPF: {}\n\n\
             To install what is missing:      cargo xtask setup\n\
             To build without the programs:   AYA_BUILD_SKIP=1 cargo build\n",
            found(linker.is_some()),
            found(!compilers.is_empty()),
        );
    };
    let mut faults = String::from("the eBPF programs do not build");
    for compiler in compilers {
        match compiler.build(linker, &out.join("ebpf")) {
            Ok(object) => return Ok(object),
            Err(fault) => write!(faults, "\n\n{fault:#}")?,
        }
    }
    bail!(faults)
}

/// `INNERSPAN_COMMIT`, for `--version`. A source archive has no git: then it is `unknown`.
fn name_commit() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=INNERSPAN_COMMIT={commit}");
    // HEAD changes when another branch is checked out, its log with every commit.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// A Rust compiler that can build for BPF.
struct Compiler {
    bin: PathBuf,
    /// Is `core` there as a library, or only as source?
    precompiled_core: bool,
}

impl Compiler {
    /// Builds the object and returns its path.
    fn build(&self, linker: &Path, target_dir: &Path) -> anyhow::Result<PathBuf> {
        let mut cargo = Command::new(self.bin.join("cargo"));
        // Cargo and rustup tell a build script much that would mislead another cargo: target, flags,
        // wrappers, the pinned toolchain. What says how to reach a registry stays.
        for (name, _) in env::vars_os().filter(|(name, _)| misleads(name)) {
            cargo.env_remove(name);
        }
        cargo.args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            MANIFEST,
            "--target",
            TARGET,
        ]);
        cargo.arg("--target-dir").arg(target_dir);
        if !self.precompiled_core {
            cargo.args(["-Z", "build-std=core"]);
        }
        let flags = format!(
            "-Clinker={}\x1f-Clink-arg=--btf\x1f-Cdebuginfo=2",
            linker.display()
        );
        let arch = env::var_os("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
        let output = cargo
            .env("RUSTC", self.bin.join("rustc"))
            // The target is tier 3, which a stable compiler builds for only when told so.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("AYA_BPF_TARGET_ARCH", arch)
            .output()
            .with_context(|| format!("run cargo of {}", self.bin.display()))?;
        if !output.status.success() {
            bail!("{cargo:?}\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(target_dir.join(TARGET).join("release/ebpf"))
    }
}

fn misleads(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let starts_with = |prefix: &&str| name.starts_with(prefix);
    let reaches_registry = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    ["CARGO", "RUST"].iter().any(starts_with) && !reaches_registry.iter().any(starts_with)
}

/// `cargo install` puts it in cargo's bin directory, which a distribution's cargo has not in PATH.
fn find_linker() -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
        .find(|path| path.is_file())
}

/// The distribution's compiler, if it has a `core` for BPF.
fn find_distribution() -> Option<Compiler> {
    let core = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    core.is_dir().then(|| Compiler {
        bin: "/usr/bin".into(),
        precompiled_core: true,
    })
}

/// The toolchain of this build, else rustup's nightly, whichever has the sources of `core`.
fn find_with_sources() -> Option<Compiler> {
    let own = Command::new(env::var_os("RUSTC")?);
    let mut nightly = Command::new("rustup");
    nightly.args(["run", "nightly", "rustc"]);
    [own, nightly].into_iter().find_map(|mut rustc| {
        let output = rustc.args(["--print", "sysroot"]).output().ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let sources = sysroot.join("lib/rustlib/src/rust/library/core");
        (output.status.success() && sources.is_dir()).then(|| Compiler {
            bin: sysroot.join("bin"),
            precompiled_core: false,
        })
    })
}
