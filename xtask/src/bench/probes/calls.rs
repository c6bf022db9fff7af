//! What one probed call costs: a Go program that does nothing but call, timed by its own thread's CPU time.
//!
//! In: an agent with a catalogue of one function. Out: nanoseconds per call, round by round, beside those of the
//! same calls without any probe.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    super::{
        markdown::{head, markdown, thousands},
        spread::Spread,
    },
    Plan,
    agent::Agent,
};
use crate::{place, step};

/// The Go program of the kernel's test suite.
const SOURCE: &str = "tests/data/go/calls/main.go";
/// What the catalogue calls it.
const COMPONENT: &str = "calls";
/// A call without a probe takes so little that it is timed over so many times as many.
const UNPROBED: u32 = 1_000;
/// The agent empties the ring of records more often than this.
const PAUSE: Duration = Duration::from_millis(200);

/// One way in which a call can be probed.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What the program is told to do, over and over.
    command: &'static str,
    /// The function that is called then, as the catalogue has it.
    function: &'static str,
    /// Whether each call makes records, so that the ring must be emptied now and then.
    told: bool,
}

pub(super) const CASES: [Case; 4] = [
    Case {
        name: "entry and early return",
        command: "stub",
        function: "{function: main.Stub, span: call, hot: {slow_ms: 1000}}",
        told: false,
    },
    Case {
        name: "the same, with a key that is read and compared",
        command: "stub",
        function: "{function: main.Stub, span: call, hot: {slow_ms: 1000, prefix: /registry/pods/},
                    params: key string, results: 'pod *_, err error', capture: {etcd.key: key}}",
        told: false,
    },
    Case {
        name: "the same, and each call told",
        command: "stub",
        function: "{function: main.Stub, span: call, params: key string, results: 'pod *_, err error',
                    capture: {etcd.key: key}}",
        told: true,
    },
    Case {
        name: "entry and return at RET",
        command: "loop",
        function: "{function: main.Loop, span: call, hot: {slow_ms: 1000}}",
        told: false,
    },
];

/// Nanoseconds per call, one figure for each round.
#[derive(Debug)]
pub(super) struct Cost {
    name: &'static str,
    without: Vec<f64>,
    with: Vec<f64>,
}

/// Measures one case without and with probes, in turns.
pub(super) async fn measure(
    plan: Plan,
    case: &Case,
    program: &Path,
    innerspan: &Path,
    sink: SocketAddr,
    files: &Path,
) -> anyhow::Result<Cost> {
    let mut cost = Cost {
        name: case.name,
        without: Vec::new(),
        with: Vec::new(),
    };
    let catalogue = format!(
        "{{service: {COMPONENT}, holds: [main.Stub], functions: [{}]}}",
        case.function
    );
    for _ in 0..plan.pairs {
        let mut program = Program::start(program)?;
        cost.without
            .push(program.nanos_per_call(case.command, plan.calls.saturating_mul(UNPROBED))?);
        let agent = Agent::start(innerspan, &catalogue, COMPONENT, sink, files).await?;
        cost.with.push(if case.told {
            program.nanos_per_told_call(case.command, plan.calls)?
        } else {
            program.nanos_per_call(case.command, plan.calls)?
        });
        let matched = agent.count(COMPONENT, "matched")?;
        ensure!(
            matched == u64::from(plan.calls),
            "{}: {matched} of {} calls were seen from begin to end",
            case.name,
            plan.calls
        );
        let lost = agent.count(COMPONENT, "lost_begin")? + agent.count(COMPONENT, "lost_end")?;
        ensure!(lost == 0, "{}: {lost} records were lost", case.name);
    }
    Ok(cost)
}

impl Cost {
    /// What a probe adds.
    pub(super) fn added(&self) -> Spread {
        let rounds = self.with.iter().zip(&self.without);
        Spread::of(rounds.map(|(with, without)| with - without))
    }
}

/// A line for each case.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut lines = vec![head(["one call, with", "without probes, ns", "added, ns"])];
    lines.extend(costs.iter().map(|cost| {
        let without = Spread::of(cost.without.iter().copied());
        vec![
            cost.name.to_owned(),
            format!("{:.1}", without.median),
            cost.added().show(thousands),
        ]
    }));
    markdown(&lines)
}

/// Builds the program, as releases are built.
pub(super) fn build(files: &Path) -> anyhow::Result<PathBuf> {
    let built = files.join("calls");
    step::succeed(
        Command::new("go")
            .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
            .args([&built, &place::root().join(SOURCE)])
            .env("CGO_ENABLED", "0"),
    )?;
    Ok(built)
}

/// The program, which does what it is told line by line.
#[derive(Debug)]
struct Program {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new("taskset")
            .args(["--cpu-list", "0"])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start taskset: install util-linux")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = child.stdout.take().context("it has no output")?;
        Ok(Self {
            child,
            input,
            answers: BufReader::new(output).lines(),
        })
    }

    fn nanos_per_call(&mut self, command: &str, calls: u32) -> anyhow::Result<f64> {
        Ok(self.run(command, calls)? / f64::from(calls))
    }

    /// In bursts, each of which the ring of records has room for.
    fn nanos_per_told_call(&mut self, command: &str, calls: u32) -> anyhow::Result<f64> {
        const BURST: u32 = 500;
        let mut nanos = 0.0;
        for _ in 0..calls / BURST {
            nanos += self.run(command, BURST)?;
            thread::sleep(PAUSE);
        }
        Ok(nanos / f64::from(calls))
    }

    /// Nanoseconds of CPU time that so many calls take.
    fn run(&mut self, command: &str, calls: u32) -> anyhow::Result<f64> {
        writeln!(self.input, "{command} {calls}")?;
        let answer = self.answers.next().context("the program ended")??;
        answer
            .parse()
            .with_context(|| format!("`{command}` was answered with {answer}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
