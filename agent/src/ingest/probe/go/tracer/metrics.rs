//! What the probes in components show of themselves: which functions are traced, and what happened at their points.

use std::{collections::BTreeMap, fmt};

use abi::go_call::Counts;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use super::{Targets, lock};

/// Read from the kernel at every scrape: between scrapes it costs nothing.
#[derive(Debug)]
pub struct Metrics {
    targets: Targets,
}

impl Metrics {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets }
    }
}

/// What is shown of one service: its processes come and go, so these are gauges of those that run now.
#[derive(Debug, Default)]
struct Shown {
    processes: i64,
    traced: i64,
    missing: i64,
    misshapen: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Shown {
    fn add(&mut self, counts: &Counts) {
        let Counts {
            entries,
            returns,
            matched,
            unmatched,
            overwritten,
            not_kept,
            stray,
            unread,
            lost_begins,
            lost_ends,
        } = *counts;
        for (state, count) in [
            ("entered", entries),
            ("returned", returns),
            ("matched", matched),
            ("unmatched", unmatched),
            ("overwritten", overwritten),
            ("not_kept", not_kept),
            ("stray", stray),
            ("unread_capture", unread),
            ("lost_begin", lost_begins),
            ("lost_end", lost_ends),
        ] {
            *self.counts.entry(state).or_default() += count;
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut services: BTreeMap<String, Shown> = BTreeMap::new();
        for target in lock(&self.targets).iter() {
            let shown = services.entry(target.plan().services.join(",")).or_default();
            shown.processes += 1;
            shown.traced += i64::try_from(target.plan().probes.len()).unwrap_or(i64::MAX);
            shown.missing += i64::try_from(target.plan().missing.len()).unwrap_or(i64::MAX);
            shown.misshapen += target.misshapen;
            for function in 0..target.plan().probes.len() {
                if let Some(counts) = target.attachment().counts(function) {
                    shown.add(&counts);
                }
            }
        }
        let name = "innerspan_ingest_go_functions";
        let help = "Functions of the catalogue in the components that run now, by whether they are traced";
        let mut functions = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (service, shown) in &services {
            for (state, count) in [("traced", shown.traced), ("missing", shown.missing)] {
                let labels = [("service", service.as_str()), ("state", state)];
                ConstGauge::new(count).encode(functions.encode_family(&labels)?)?;
            }
        }
        let name = "innerspan_ingest_go_processes";
        let help = "Processes of components that are traced";
        let mut processes = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (service, shown) in &services {
            let labels = [("service", service.as_str())];
            ConstGauge::new(shown.processes).encode(processes.encode_family(&labels)?)?;
        }
        let name = "innerspan_ingest_go_calls";
        let help = "What happened at the probes of the components that run now, since each was attached";
        let mut calls = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (service, shown) in &services {
            let misshapen = [("misshapen_capture", shown.misshapen)];
            let counts = shown.counts.iter().map(|(state, count)| (*state, *count));
            for (state, count) in counts.chain(misshapen) {
                let labels = [("service", service.as_str()), ("state", state)];
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                ConstGauge::new(count).encode(calls.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
