//! The accounts and the traffic of all endpoints, read at each scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Exporter, answer::Outcome};
use crate::model::{Account, Component, DropReason, Signal, Tally};

/// Shows the exporters' state. Every account is read at one instant, so that its columns add up.
#[derive(Debug)]
pub struct Metrics(Vec<Exporter>);

impl Metrics {
    pub fn register(registry: &mut Registry, exporters: &[Exporter]) {
        registry.register_collector(Box::new(Self(exporters.to_vec())));
    }
}

/// A label set: names are ours, values are names of endpoints from the configuration or of enum variants.
type Labels<'a> = [(&'static str, &'a str)];

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.accounts(&mut encoder)?;
        self.traffic(&mut encoder)
    }
}

impl Metrics {
    /// What became of every item.
    fn accounts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let accounts: Vec<Accounts<'_>> = self
            .0
            .iter()
            .map(|exporter| Accounts {
                exporter,
                accounts: exporter.ledger().read(),
            })
            .collect();
        counters(
            encoder,
            "innerspan_export_items_received",
            "Items taken over for an endpoint; equals exported, dropped and held together",
            |sample| {
                accounts
                    .iter()
                    .try_for_each(|a| a.items(|account| account.received, &[], sample))
            },
        )?;
        counters(
            encoder,
            "innerspan_export_items_exported",
            "Items that the endpoint acknowledged",
            |sample| {
                accounts
                    .iter()
                    .try_for_each(|a| a.items(|account| account.exported, &[], sample))
            },
        )?;
        counters(
            encoder,
            "innerspan_export_items_dropped",
            "Items that were taken over and lost",
            |sample| {
                DropReason::ALL.into_iter().try_for_each(|reason| {
                    let label = [("reason", reason.as_str())];
                    let column = |account: &Account| account.dropped[reason.index()];
                    accounts.iter().try_for_each(|a| a.items(column, &label, sample))
                })
            },
        )?;
        gauges(
            encoder,
            "innerspan_export_items_held",
            "Items that wait for the endpoint or are on their way to it",
            |sample| {
                accounts
                    .iter()
                    .try_for_each(|a| a.items(|account| account.held, &[], sample))
            },
        )
    }

    /// What went over the wire, and what waits to.
    fn traffic(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(
            encoder,
            "innerspan_export_requests",
            "Requests to the endpoint by outcome, every try counted",
            |sample| {
                self.each_signal(|exporter, signal| {
                    Outcome::ALL.into_iter().try_for_each(|outcome| {
                        let labels = [
                            ("endpoint", exporter.name()),
                            ("signal", signal.as_str()),
                            ("outcome", outcome.as_str()),
                        ];
                        sample(&labels, exporter.traffic().requests(signal, outcome))
                    })
                })
            },
        )?;
        counters(
            encoder,
            "innerspan_export_sent_bytes",
            "Bytes of request bodies as sent, compressed, every try counted",
            |sample| {
                self.each_signal(|exporter, signal| {
                    let labels = [("endpoint", exporter.name()), ("signal", signal.as_str())];
                    sample(&labels, exporter.traffic().sent_bytes(signal))
                })
            },
        )?;
        gauges(
            encoder,
            "innerspan_export_queue_used_bytes",
            "Bytes of the queue's bound that wait or are on their way",
            |sample| {
                self.0.iter().try_for_each(|exporter| {
                    sample(&[("endpoint", exporter.name())], exporter.queue().used().0 as u64)
                })
            },
        )?;
        gauges(
            encoder,
            "innerspan_export_queue_capacity_bytes",
            "The queue's bound",
            |sample| {
                self.0.iter().try_for_each(|exporter| {
                    sample(
                        &[("endpoint", exporter.name())],
                        exporter.queue().capacity().0 as u64,
                    )
                })
            },
        )
    }

    /// Visits every signal that an endpoint takes.
    fn each_signal(&self, mut visit: impl FnMut(&Exporter, Signal) -> fmt::Result) -> fmt::Result {
        for exporter in &self.0 {
            for signal in Signal::ALL.into_iter().filter(|signal| exporter.takes(*signal)) {
                visit(exporter, signal)?;
            }
        }
        Ok(())
    }
}

/// One endpoint's accounts as they were at one instant.
struct Accounts<'a> {
    exporter: &'a Exporter,
    accounts: [Account; Signal::ALL.len()],
}

impl Accounts<'_> {
    /// Samples of one column, of the components that were seen.
    fn items(
        &self,
        column: impl Fn(&Account) -> Tally,
        more: &Labels<'_>,
        sample: &mut Sample<'_>,
    ) -> fmt::Result {
        for signal in Signal::ALL
            .into_iter()
            .filter(|signal| self.exporter.takes(*signal))
        {
            let account = &self.accounts[signal.index()];
            for component in Component::ALL.into_iter().filter(|c| account.received.of(*c) > 0) {
                let mut labels = vec![
                    ("endpoint", self.exporter.name()),
                    ("signal", signal.as_str()),
                    ("component", component.as_str()),
                ];
                labels.extend_from_slice(more);
                sample(&labels, column(account).of(component))?;
            }
        }
        Ok(())
    }
}

/// Writes one sample.
type Sample<'a> = dyn FnMut(&Labels<'_>, u64) -> fmt::Result + 'a;

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl FnOnce(&mut Sample<'_>) -> fmt::Result,
) -> fmt::Result {
    family(encoder, name, help, samples, ConstCounter::new)
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl FnOnce(&mut Sample<'_>) -> fmt::Result,
) -> fmt::Result {
    // A gauge of this library holds an i64; ours count bytes and items, which are far below its limit.
    family(encoder, name, help, samples, |value| {
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
    })
}

fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl FnOnce(&mut Sample<'_>) -> fmt::Result,
    metric: impl Fn(u64) -> M,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, help, None, metric(0).metric_type())?;
    samples(&mut |labels, value| metric(value).encode(encoder.encode_family(&labels)?))
}
