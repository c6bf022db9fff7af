//! What is measured of all that is seen, and its two ways out: to the endpoints, now and then, and to `/metrics`.
//!
//! In: spans and calls, as the correlator has them. Out: families as they stand, as payloads of metrics and as a
//! snapshot that is renewed every few seconds, so that whoever reads it holds up nobody.

use std::{sync::Arc, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{sync::watch, time::Instant};
use tracing::info;

use super::Router;
use crate::{
    correlate::{
        api_durations::ApiDurations,
        api_request::ApiRequests,
        calls::Call,
        function_durations::FunctionDurations,
        pod_durations::PodDurations,
        pod_trace::Measure,
        span_metrics::{self, SpanMetrics},
    },
    export,
    ingest::{
        otlp::{NativeSpan, Refused},
        probe::go::{catalogue::Service, tracer::Durations},
    },
    model::{
        Component, ResourceAttributes,
        attr::{self, Said},
        call::Operation,
        histogram::Source,
        metric::Family,
        time::{Nanos, Wall},
        trace::Span,
    },
};

/// Between two snapshots.
const SHOW: Duration = Duration::from_secs(5);

/// What is counted here.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    dropped: Counter,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "innerspan_pipeline_own_points_dropped",
            "Data points of this agent's own that no endpoint's queue had room for",
            self.dropped.clone(),
        );
    }
}

/// What the meters are made of.
pub(super) struct Parts {
    pub(super) spans: span_metrics::Config,
    /// Between two exports.
    pub(super) interval: Duration,
    /// The functions that the kernel counts.
    pub(super) counted: Vec<Arc<Operation>>,
    /// What it has counted; none where it counts nothing.
    pub(super) durations: Option<Durations>,
    pub(super) shown: watch::Sender<Arc<[Family]>>,
    pub(super) metrics: Metrics,
    pub(super) now: Nanos<Wall>,
}

/// Counts and durations since the agent started.
pub(super) struct Meters {
    spans: SpanMetrics,
    functions: FunctionDurations,
    pods: PodDurations,
    requests: ApiRequests,
    api: ApiDurations,
    durations: Option<Durations>,
    shown: watch::Sender<Arc<[Family]>>,
    show_at: Instant,
    interval: Duration,
    export_at: Instant,
    /// When they were last exported.
    since: Nanos<Wall>,
    /// Whether it was said that nobody takes them.
    said: bool,
    dropped: Counter,
}

impl Meters {
    pub(super) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        Self {
            spans: SpanMetrics::new(parts.spans, parts.now),
            functions: FunctionDurations::new(parts.counted, parts.now),
            pods: PodDurations::new(parts.now),
            requests: ApiRequests::default(),
            api: ApiDurations::new(parts.now),
            durations: parts.durations,
            shown: parts.shown,
            show_at: now,
            interval: parts.interval,
            export_at: now + parts.interval,
            since: parts.now,
            said: false,
            dropped: parts.metrics.dropped,
        }
    }

    /// Counts a span that a component reported.
    pub(super) fn native(&mut self, native: &NativeSpan<'_>, at: Nanos<Wall>) {
        self.spans.record(native.span, |key| native.said(key), at);
        if Component::of_service(native.span.service.as_bytes()) == Component::KubeApiserver {
            self.request(native, at);
        }
    }

    /// Counts a request to the API server, once all calls of etcd for it have been reported.
    fn request(&mut self, native: &NativeSpan<'_>, at: Nanos<Wall>) {
        let span = native.span;
        let Some(anatomy) = self.requests.take(span) else {
            return;
        };
        // A watch lasts as long as somebody listens.
        if matches!(native.said(attr::HTTP_TARGET), Some(Said::Text(target)) if target.contains("watch=")) {
            return;
        }
        let source = Source {
            trace_id: span.trace_id,
            span_id: span.span_id,
            at,
        };
        self.api.record(&anatomy, source);
    }

    /// Counts what stories of pods took.
    pub(super) fn pods(&mut self, measures: &[Measure], at: Nanos<Wall>) {
        for measure in measures {
            self.pods.record(measure, at);
        }
    }

    /// Counts spans of this agent's own.
    pub(super) fn own(&mut self, spans: &[Span], at: Nanos<Wall>) {
        for span in spans {
            self.spans.record_own(span, at);
        }
    }

    /// Counts a call; `is_held` if its span goes into the trace of a pod, whichever that will be.
    pub(super) fn call(&mut self, call: &Call, is_held: bool, at: Nanos<Wall>) {
        let is_exported = call.kept.is_none() && !is_held;
        let trace = is_exported.then_some(call.span.trace_id);
        self.functions.record(call, trace, at);
    }

    /// Does what is due by now.
    pub(super) async fn tick(
        &mut self,
        at: Nanos<Wall>,
        attributes: &watch::Receiver<ResourceAttributes>,
        router: &Router,
    ) {
        let now = Instant::now();
        if now >= self.export_at {
            self.export_at = now + self.interval;
            self.export(at, attributes, router).await;
        } else if now >= self.show_at {
            self.show();
        }
    }

    /// Shows and exports all as it stands.
    pub(super) async fn export(
        &mut self,
        at: Nanos<Wall>,
        attributes: &watch::Receiver<ResourceAttributes>,
        router: &Router,
    ) {
        let families = self.show();
        let payloads = export::encode::metrics(&families, self.since, at, &attributes.borrow());
        self.since = at;
        let mut payloads = payloads.into_iter();
        while let Some(payload) = payloads.next() {
            let points = payload.tally.total();
            match router.pass(payload).await {
                Ok(()) => {}
                Err(Refused::NoEndpoint) => return self.say(),
                // The next ones count all that these have; to wait for each would hold up the spans.
                Err(Refused::Full { .. }) => {
                    let left: u64 = payloads.map(|payload| payload.tally.total()).sum();
                    self.dropped.inc_by(points + left);
                    return;
                }
            }
        }
    }

    fn show(&mut self) -> Arc<[Family]> {
        self.show_at = Instant::now() + SHOW;
        let counted = self.durations.as_ref().map(Durations::read).unwrap_or_default();
        let mut families = Vec::from(self.spans.families());
        families.extend(self.functions.families(&counted));
        families.extend(self.pods.families());
        families.extend(self.api.families());
        let families: Arc<[Family]> = families.into();
        self.shown.send_replace(Arc::clone(&families));
        families
    }

    /// Endpoints may well take nothing but traces.
    fn say(&mut self) {
        if !self.said {
            info!("no endpoint takes metrics: span metrics and durations are on /metrics alone");
            self.said = true;
        }
    }
}

/// The functions of a catalogue whose calls the kernel counts.
pub(super) fn counted(services: &[Service]) -> Vec<Arc<Operation>> {
    let functions = services.iter().flat_map(|service| &service.functions);
    let hot = functions.filter(|function| function.hot.is_some());
    hot.map(|function| Arc::clone(&function.operation)).collect()
}
