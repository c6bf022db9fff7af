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
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    Router,
    meters::{self, Meters},
    now,
    probes::Batch,
    traces::Asked,
};
use crate::{
    correlate::{
        calls::{self, Calls},
        coverage::{self, Compared, Coverage},
        pod_trace::{self, PodTraces},
    },
    export,
    ingest::{otlp, probe::go::catalogue::Service},
    model::{
        Component, Payload, ResourceAttributes, Signal,
        pod::PodEvent,
        time::{Nanos, Wall},
        trace::Span,
    },
};

/// Between two looks at what is complete.
const TICK: Duration = Duration::from_secs(1);
/// Native spans that wait to be looked at, in requests and in bytes. They are on their way to the endpoints already.
const MAX_REQUESTS: usize = 1024;
const MAX_BYTES: usize = 8 << 20;

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

/// Native spans on their way to be looked at: a bounded queue, which a request passes by where it is full.
#[derive(Clone, Debug)]
pub(super) struct Look {
    queue: mpsc::Sender<(Payload, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    unseen: Counter,
}

impl Look {
    pub(super) fn new(metrics: &Metrics) -> (Self, mpsc::Receiver<(Payload, OwnedSemaphorePermit)>) {
        let (queue, receiver) = mpsc::channel(MAX_REQUESTS);
        let look = Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_BYTES)),
            unseen: metrics.unseen.clone(),
        };
        (look, receiver)
    }

    pub(super) fn at(&self, payload: &Payload) {
        if payload.signal != Signal::Traces {
            return;
        }
        let bytes = u32::try_from(payload.body.len().min(MAX_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let sent = room
            .ok()
            .and_then(|room| self.queue.try_send((payload.clone(), room)).ok());
        if sent.is_none() {
            self.unseen.inc_by(payload.tally.total());
        }
    }
}

/// What is counted here.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    calls: calls::Metrics,
    coverage: coverage::Metrics,
    pods: pod_trace::Metrics,
    pub(super) meters: meters::Metrics,
    unseen: Counter,
    spans_dropped: Counter,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.calls.register(registry);
        self.coverage.register(registry);
        self.pods.register(registry);
        self.meters.register(registry);
        registry.register(
            "innerspan_pipeline_native_spans_unseen",
            "Spans of components that were passed on without being looked at, for want of room",
            self.unseen.clone(),
        );
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
    pub(super) pods: pod_trace::Config,
    pub(super) services: Vec<Arc<str>>,
    pub(super) compared: Vec<Compared>,
    pub(super) meters: Meters,
    pub(super) seed: [u8; 16],
    pub(super) now: Nanos<Wall>,
    pub(super) metrics: Metrics,
    pub(super) attributes: watch::Receiver<ResourceAttributes>,
    pub(super) router: Router,
}

/// What the correlator is told.
pub(super) struct Sources {
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) natives: mpsc::Receiver<(Payload, OwnedSemaphorePermit)>,
    pub(super) pods: mpsc::Receiver<PodEvent>,
    pub(super) asked: mpsc::Receiver<Asked>,
}

/// Turns what was seen into spans and hands them to the endpoints.
pub(super) struct Correlator {
    calls: Calls,
    coverage: Coverage,
    pods: PodTraces,
    meters: Meters,
    services: Vec<Arc<str>>,
    attributes: watch::Receiver<ResourceAttributes>,
    router: Router,
    spans_dropped: Counter,
}

impl Correlator {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            calls: Calls::new(parts.calls, parts.seed, parts.now, parts.metrics.calls),
            coverage: Coverage::new(parts.compared, parts.metrics.coverage),
            pods: PodTraces::new(parts.pods, parts.metrics.pods),
            meters: parts.meters,
            services: parts.services,
            attributes: parts.attributes,
            router: parts.router,
            spans_dropped: parts.metrics.spans_dropped,
        }
    }

    /// Runs until `stop`, and until the probes have told all.
    pub(super) async fn run(mut self, mut sources: Sources, stop: CancellationToken) {
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut telling = true;
        while telling || !stop.is_cancelled() {
            let mut spans = Vec::new();
            tokio::select! {
                batch = sources.batches.recv(), if telling => match batch {
                    Some(batch) => self.take_calls(batch, &mut spans),
                    None => telling = false,
                },
                Some((payload, _room)) = sources.natives.recv() => self.take_native(&payload),
                Some(event) = sources.pods.recv() => self.pods.pod(event),
                Some(asked) = sources.asked.recv() => self.answer(asked),
                _ = ticks.tick() => {
                    let at = now();
                    self.coverage.tick(at);
                    self.pods.tick(at, &mut spans);
                    self.meters.pods(&self.pods.take_measures(), at);
                    self.meters.tick(at, &self.attributes, &self.router).await;
                }
                () = stop.cancelled(), if !telling => {}
            }
            self.export(spans).await;
        }
        while let Ok((payload, _room)) = sources.natives.try_recv() {
            self.take_native(&payload);
        }
        let mut spans = Vec::new();
        self.pods.finish(now(), &mut spans);
        self.export(spans).await;
        self.meters.export(now(), &self.attributes, &self.router).await;
    }

    fn take_calls(&mut self, batch: Batch, spans: &mut Vec<Span>) {
        self.note_native(batch.at);
        if batch.is_lossy {
            self.pods.note_loss();
        }
        let (at, mut complete) = (now(), Vec::new());
        for event in batch.events {
            self.calls.take(event, &mut complete);
        }
        for call in complete {
            self.coverage.call(&call, batch.at);
            let is_kept = call.kept.is_some();
            let is_held = self.pods.call(&call, batch.at);
            self.meters.call(&call, is_held, at);
            if !is_held && !is_kept {
                spans.push(call.span);
            }
        }
    }

    fn take_native(&mut self, payload: &Payload) {
        let at = now();
        otlp::spans(&payload.body, |native| {
            let span = native.span;
            self.coverage.native(span, at);
            self.meters.native(&native, at);
            if let Some(keys) = pod_trace::wanted(span, |key| native.said(key)) {
                self.pods.native(native.keep(keys), at);
            }
        });
    }

    /// Whoever asked may have gone, which is no concern of ours.
    fn answer(&self, asked: Asked) {
        match asked {
            Asked::Summaries(answer) => drop(answer.send(self.pods.summaries(now()))),
            Asked::Latest(wanted, answer) => {
                let trace = self.pods.latest(|candidate| wanted.is(candidate), now());
                let node = self.attributes.borrow().clone();
                drop(answer.send(trace.map(|trace| (trace, node))));
            }
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

    async fn export(&mut self, spans: Vec<Span>) {
        self.meters.own(&spans, now());
        let count = spans.len() as u64;
        let payload = export::encode::spans(spans, &self.attributes.borrow());
        if let Some(payload) = payload
            && self.router.pass(payload).await.is_err()
        {
            self.spans_dropped.inc_by(count);
        }
    }
}

/// The functions of a catalogue whose every call is told, and reported by the component too.
pub(super) fn compared(services: &[Service]) -> Vec<Compared> {
    let functions = services.iter().flat_map(|service| &service.functions);
    let told = functions.filter(|function| function.hot.is_none());
    told.filter_map(|function| {
        let operation = &function.operation;
        Some((Arc::clone(&operation.service), operation.native.clone()?))
    })
    .collect()
}

/// The services of a catalogue, by name.
pub(super) fn names(services: &[Service]) -> Vec<Arc<str>> {
    services.iter().map(|service| Arc::clone(&service.name)).collect()
}
