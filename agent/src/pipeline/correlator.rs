//! What becomes of all that is seen: calls, native spans and pods in, spans of our own out to the endpoints.
//!
//! One task of the data path owns everything that remembers, so that nothing is locked. It is told over bounded
//! channels and never holds up what tells it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Router, probes::Batch};
use crate::{
    correlate::calls::{self, Calls},
    export,
    ingest::{otlp::Intake as _, probe::go::catalogue::Service},
    model::{
        Component, Payload, ResourceAttributes, Signal,
        time::{Nanos, Wall},
        trace::Span,
    },
};

/// When each component last sent spans of its own.
#[derive(Debug)]
pub(super) struct Seen {
    /// Milliseconds since `start`, plus one; zero for never.
    last: [AtomicU64; Component::ALL.len()],
    start: Instant,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            last: Default::default(),
            start: Instant::now(),
        }
    }
}

impl Seen {
    pub(super) fn note(&self, payload: &Payload) {
        if payload.signal != Signal::Traces {
            return;
        }
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        for component in Component::ALL {
            if payload.tally.of(component) > 0 {
                self.last[component.index()].store(now, Ordering::Relaxed);
            }
        }
    }

    /// How long ago that was.
    fn ago(&self, component: Component) -> Option<Duration> {
        let last = self.last[component.index()]
            .load(Ordering::Relaxed)
            .checked_sub(1)?;
        Some(self.start.elapsed().saturating_sub(Duration::from_millis(last)))
    }
}

/// What is counted here.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    calls: calls::Metrics,
    spans_dropped: Counter,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.calls.register(registry);
        registry.register(
            "innerspan_pipeline_own_spans_dropped",
            "Spans of this agent's own that no endpoint's queue had room for",
            self.spans_dropped.clone(),
        );
    }
}

/// What the correlator is made of.
pub(super) struct Parts {
    pub(super) calls: calls::Config,
    pub(super) services: Vec<Arc<str>>,
    pub(super) seed: [u8; 16],
    pub(super) now: Nanos<Wall>,
    pub(super) metrics: Metrics,
    pub(super) attributes: watch::Receiver<ResourceAttributes>,
    pub(super) router: Router,
}

/// Turns what was seen into spans and hands them to the endpoints.
pub(super) struct Correlator {
    calls: Calls,
    services: Vec<Arc<str>>,
    attributes: watch::Receiver<ResourceAttributes>,
    router: Router,
    spans_dropped: Counter,
}

impl Correlator {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            calls: Calls::new(parts.calls, parts.seed, parts.now, parts.metrics.calls),
            services: parts.services,
            attributes: parts.attributes,
            router: parts.router,
            spans_dropped: parts.metrics.spans_dropped,
        }
    }

    /// Runs until the probes have told all.
    pub(super) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            self.note_native(batch.at);
            let mut complete = Vec::new();
            for event in batch.events {
                self.calls.take(event, &mut complete);
            }
            let exported = complete.into_iter().filter(|call| call.kept.is_none());
            self.export(exported.map(|call| call.span).collect()).await;
        }
    }

    /// Tells which components have traced of late.
    fn note_native(&mut self, now: Nanos<Wall>) {
        for service in &self.services {
            let component = Component::of_service(service.as_bytes());
            if let Some(ago) = self.router.seen.ago(component) {
                let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
                self.calls
                    .native(service, Nanos::new(now.count().saturating_sub(ago)));
            }
        }
    }

    async fn export(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let payload = export::encode(spans, &self.attributes.borrow());
        if let Some(payload) = payload
            && self.router.admit(payload).await.is_err()
        {
            self.spans_dropped.inc_by(count);
        }
    }
}

/// The services of a catalogue, by name.
pub(super) fn names(services: &[Service]) -> Vec<Arc<str>> {
    services.iter().map(|service| Arc::clone(&service.name)).collect()
}
