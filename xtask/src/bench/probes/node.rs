//! What all probes together cost a node on which nothing happens: the lab's, with the tracing of the components off.
//!
//! In: the metrics of the agent in a lab. Out: the agent's share of a core, and a bound for that of its probes in the
//! components: each call as dear as one whose return is seen at its RET.

use std::{
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::super::{
    markdown::{head, markdown},
    spread::float,
};
use crate::{lab, scrape::total, step};

/// The agent's CPU time is told in hundredths of a second.
const LENGTH: Duration = Duration::from_mins(1);

/// What was measured of an idle node.
#[derive(Debug)]
pub(super) struct Idle {
    functions: u64,
    /// Of probed functions, in a second.
    calls: f64,
    /// Parts of a core.
    agent: f64,
}

/// None without a lab.
pub(super) fn measure(boot: bool) -> anyhow::Result<Option<Idle>> {
    if boot {
        lab(&["up", "--native", "off"])?;
        // What the boot has begun goes on for a while.
        thread::sleep(LENGTH);
    }
    let measured = lab::agent_metrics()?.map(|before| {
        eprintln!("the lab: an idle node");
        let begun = Instant::now();
        thread::sleep(LENGTH);
        anyhow::Ok((before, lab::agent_metrics()?, begun.elapsed()))
    });
    if boot {
        lab(&["down"])?;
    }
    let Some((before, Some(after), elapsed)) = measured.transpose()? else {
        return Ok(None);
    };
    let entered = |metrics: &str| total(metrics, "innerspan_ingest_go_calls", &[r#"state="entered""#]);
    let per_second = |value: f64| value / elapsed.as_secs_f64();
    Ok(Some(Idle {
        functions: total(&after, "innerspan_ingest_go_functions", &[r#"state="traced""#]),
        calls: per_second(float(entered(&after).saturating_sub(entered(&before)))),
        agent: per_second(cpu_seconds(&after) - cpu_seconds(&before)),
    }))
}

impl Idle {
    /// With what a call costs whose return is seen at its RET, in nanoseconds.
    pub(super) fn table(&self, nanos_per_call: f64) -> String {
        let Self {
            functions,
            calls,
            agent,
        } = self;
        let bound = calls * nanos_per_call / 1e9;
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        markdown(&[
            head([
                "functions probed",
                "calls/s",
                "agent, of a core",
                "probes at most",
                "together",
            ]),
            vec![
                functions.to_string(),
                format!("{calls:.0}"),
                percent(*agent),
                percent(bound),
                percent(agent + bound),
            ],
        ])
    }
}

fn lab(words: &[&str]) -> anyhow::Result<()> {
    step::succeed(Command::new(env::current_exe()?).arg("lab").args(words))
}

fn cpu_seconds(metrics: &str) -> f64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("process_cpu_seconds_total ")?.parse().ok());
    value.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_costs_its_agent_and_at_most_a_ret_for_each_call() {
        let idle = Idle {
            functions: 126,
            calls: 62.0,
            agent: 0.003,
        };
        let table = idle.table(20_000.0);
        let cells: Vec<&str> = table.lines().nth(2).unwrap().split('|').map(str::trim).collect();
        assert_eq!(cells, ["", "126", "62", "0.30 %", "0.12 %", "0.42 %", ""]);
    }

    #[test]
    fn the_time_of_a_process_is_read_from_its_metrics() {
        let metrics = "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.25\n";
        assert!((cpu_seconds(metrics) - 1.25).abs() < 1e-9);
    }
}
