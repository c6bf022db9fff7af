//! `innerspan functions`: what the catalogue finds in an executable, and what its probes will cost.
//!
//! In: an executable and the catalogue. Out: a line per function. Nothing is attached, so it needs no right but
//! to read the file, and whoever adds to the catalogue sees what becomes of it.

use std::{error::Error, fs::File, io::Write, path::Path};

use anyhow::{Context as _, bail};
use innerspan::ingest::probe::go::{
    binary::Binary,
    catalogue::Service,
    resolve::{self, Cost, Missing, Probe},
};
use serde::Serialize;

/// What becomes of one function of the catalogue.
#[derive(Debug, Serialize)]
struct Line<'a> {
    service: &'a str,
    span: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Traced {
        /// Whether its entry is behind the check for stack space.
        checked_entry: bool,
        /// Points where the kernel emulates the instruction, and points on the instruction that returns.
        early_returns: usize,
        last_returns: usize,
    },
    Missing {
        reason: String,
    },
}

/// Says what there is of the catalogue in an executable.
pub(super) fn list(
    executable: &Path,
    services: &[Service],
    as_json: bool,
    to: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = executable.display();
    let file = File::open(executable).with_context(|| format!("open {name}"))?;
    let binary = Binary::open(file).with_context(|| format!("read {name}"))?;
    let plan = resolve::resolve(&binary, services).with_context(|| format!("read {name}"))?;
    let Some(plan) = plan else {
        bail!("{name} is no component of the catalogue: it holds none of the functions in any `holds`");
    };
    let lines: Vec<Line<'_>> = plan
        .probes
        .iter()
        .map(Line::traced)
        .chain(plan.missing.iter().map(Line::missing))
        .collect();
    if as_json {
        serde_json::to_writer(&mut *to, &lines)?;
        writeln!(to)?;
        return Ok(());
    }
    for line in lines {
        let (service, span) = (line.service, line.span);
        match line.outcome {
            Outcome::Traced {
                checked_entry,
                early_returns,
                last_returns,
            } => {
                let entry = if checked_entry { "checked" } else { "start" };
                writeln!(
                    to,
                    "{service:<24} {span:<50} entry {entry:<7}  returns {early_returns} early, {last_returns} last"
                )?;
            }
            Outcome::Missing { reason } => writeln!(to, "{service:<24} {span:<50} not traced: {reason}")?,
        }
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn traced(probe: &'a Probe) -> Self {
        let Cost {
            checked_entry,
            early,
            ret,
        } = probe.cost;
        Self {
            service: &probe.operation.service,
            span: &probe.operation.span,
            outcome: Outcome::Traced {
                checked_entry,
                early_returns: early,
                last_returns: ret,
            },
        }
    }

    fn missing(missing: &'a Missing) -> Self {
        let sources = std::iter::successors(missing.why.source(), |&cause| cause.source());
        let reason = sources.fold(missing.why.to_string(), |line, cause| format!("{line}: {cause}"));
        Self {
            service: &missing.operation.service,
            span: &missing.operation.span,
            outcome: Outcome::Missing { reason },
        }
    }
}
