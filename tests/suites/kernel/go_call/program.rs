//! The Go program whose calls are followed: built once, stripped as releases are, and told what to do.

use std::{
    env,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

pub(super) struct Program {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(super) fn start() -> Self {
        let mut child = Command::new(executable())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and returns what it says when that is done.
    pub(super) fn run(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        self.answers.next().unwrap().unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where it is built. A process that a test starts finds it there.
pub(super) fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/go/calls/main.go");
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = place.join("calls");
        // Under a name of its own first: another process may be running what is there.
        let fresh = place.join(format!("calls.{}", std::process::id()));
        let status = Command::new("go")
            .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
            .args([&fresh, &source])
            .env("CGO_ENABLED", "0")
            .status()
            .unwrap();
        assert!(status.success(), "go build {}: {status}", source.display());
        std::fs::rename(&fresh, &built).unwrap();
        built
    })
}
