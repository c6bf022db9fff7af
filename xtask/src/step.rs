//! A step is one named piece of work with a verdict.
//!
//! In: a name and what to do, mostly a command whose output goes straight to the terminal.
//! Out: a heading before, the elapsed time after, and in the end one line per step, so
//! that all faults are seen after one run. It does not know what the steps are.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// What has been done so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

#[derive(Debug)]
enum Outcome {
    Passed,
    Failed,
}

impl Steps {
    /// Does one step and remembers how it ended; true when it passed.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> anyhow::Result<()>) -> bool {
        eprintln!("=== {name}");
        let begun = Instant::now();
        let result = work();
        let took = begun.elapsed();
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(fault) => {
                eprintln!("{fault:#}");
                Outcome::Failed
            }
        };
        let passed = matches!(outcome, Outcome::Passed);
        self.done.push(Step { name, outcome, took });
        passed
    }

    /// Prints one line per step; a success only if none failed.
    pub(crate) fn verdict(self) -> ExitCode {
        println!();
        for Step { name, outcome, took } in &self.done {
            let seconds = took.as_secs_f64();
            match outcome {
                Outcome::Passed => println!("{name:<12} ok      {seconds:>7.1} s"),
                Outcome::Failed => println!("{name:<12} FAILED  {seconds:>7.1} s"),
            }
        }
        let failed = self
            .done
            .iter()
            .any(|step| matches!(step.outcome, Outcome::Failed));
        if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Runs a command to its end with its output on the terminal; anything but exit code 0 is an error.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}: is it installed?"))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
