//! What the probes show of themselves: their states and their counts.
//!
//! In: a [`Probe`], asked at every scrape. Out: metrics, whose names are written here only.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
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
