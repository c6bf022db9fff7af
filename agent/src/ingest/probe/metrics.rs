//! What the probes show of themselves: their states and their counts.
//!
//! In: a [`Probe`], asked at every scrape. Out: metrics, whose names are written here only.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use super::{Probe, State};

/// Read from the kernel at every scrape: between scrapes a probe costs the agent nothing.
#[derive(Debug)]
pub struct Metrics(pub(super) Arc<Probe>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut states = encoder.encode_descriptor(
            "innerspan_ingest_probe_state",
            "1 for the state that the eBPF probe is in",
            None,
            MetricType::Gauge,
        )?;
        for (probe, state) in self.0.states() {
            let attached = matches!(state, State::Attached);
            for (state, is) in [("attached", attached), ("disabled", !attached)] {
                let labels = [("probe", probe), ("state", state)];
                ConstGauge::new(i64::from(is)).encode(states.encode_family(&labels)?)?;
            }
        }
        if let Some(execs) = self.0.process_execs() {
            let count = encoder.encode_descriptor(
                "innerspan_ingest_process_execs",
                "Programs started on this node since the agent started",
                None,
                MetricType::Counter,
            )?;
            ConstCounter::new(execs).encode(count)?;
        }
        self.encode_run_times(&mut encoder)
    }
}

impl Metrics {
    /// The programs' own time in the processes that they are in.
    fn encode_run_times(&self, encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
        let run_times: Vec<_> = self.0.run_times().collect();
        if run_times.is_empty() {
            return Ok(());
        }
        let mut runs = encoder.encode_descriptor(
            "innerspan_ingest_probe_runs",
            "Runs of each eBPF program, counted while kernel.bpf_stats_enabled is 1",
            None,
            MetricType::Counter,
        )?;
        for (program, run_time) in &run_times {
            let labels = [("program", *program)];
            ConstCounter::new(run_time.runs).encode(runs.encode_family(&labels)?)?;
        }
        let mut seconds = encoder.encode_descriptor(
            "innerspan_ingest_probe_run",
            "Time that each eBPF program has run, without that of the trap that starts it",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        for (program, run_time) in &run_times {
            let labels = [("program", *program)];
            ConstCounter::new(run_time.time.as_secs_f64()).encode(seconds.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, registry::Registry};

    use super::super::Fault;
    use super::*;

    #[test]
    fn a_disabled_probe_shows_its_state_and_counts_nothing() {
        let mut registry = Registry::default();
        let fault = Arc::new(Fault::NotBuilt);
        registry.register_collector(Box::new(Metrics(Arc::new(Probe {
            process_exec: Err(Arc::clone(&fault)),
            go_call: Err(fault),
        }))));
        let mut shown = String::new();
        text::encode(&mut shown, &registry).unwrap();
        let samples: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"innerspan_ingest_probe_state{probe="process_exec",state="attached"} 0"#,
                r#"innerspan_ingest_probe_state{probe="process_exec",state="disabled"} 1"#,
                r#"innerspan_ingest_probe_state{probe="go_call",state="attached"} 0"#,
                r#"innerspan_ingest_probe_state{probe="go_call",state="disabled"} 1"#,
            ]
        );
    }
}
