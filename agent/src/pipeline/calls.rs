//! Calls of Go functions on their way: probes → correlate → encode → the endpoints.
//!
//! The probes have a thread of their own, which looks for components among the node's processes and empties the
//! ring; it never waits for anybody. What it read goes over a bounded channel to a task of the data path.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Router;
use crate::{
    correlate::calls::{self, Calls},
    export,
    identify::process::{Processes, Started},
    ingest::{
        otlp::Intake as _,
        probe::{self, Probe, go::tracer::Tracer},
    },
    model::{
        Component, Payload, ResourceAttributes, Signal,
        call::CallEvent,
        time::{Nanos, Wall},
    },
};

/// Between two looks into the ring. It holds what a node does in several times this.
const DRAIN: Duration = Duration::from_millis(100);
/// Drains between two looks at the processes, if programs were started meanwhile.
const LOOK: u32 = 5;
/// Drains between two looks at the processes in any case: processes end without a sign.
const LOOK_ANYWAY: u32 = 20;
/// Batches between the two: 6 s of them.
const BATCHES: usize = 64;

/// What the thread of the probes read at one time.
#[derive(Debug)]
struct Batch {
    events: Vec<CallEvent>,
    at: Nanos<Wall>,
}

/// Drops on this way, which has no sender to refuse.
#[derive(Clone, Debug, Default)]
struct Metrics {
    calls: calls::Metrics,
    events_dropped: Counter,
    spans_dropped: Counter,
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        self.calls.register(registry);
        registry.register(
            "innerspan_pipeline_call_events_dropped",
            "Begins and ends of calls that the data path had no room for",
            self.events_dropped.clone(),
        );
        registry.register(
            "innerspan_pipeline_call_spans_dropped",
            "Spans of calls that no endpoint's queue had room for",
            self.spans_dropped.clone(),
        );
    }
}

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

/// The probes, ready to run.
#[derive(Debug)]
pub(super) struct Source {
    probe: Arc<Probe>,
    /// None where the kernel does not let the agent look into other programs.
    tracer: Option<Tracer>,
    services: Vec<Arc<str>>,
    calls: calls::Config,
    metrics: Metrics,
}

impl Source {
    /// Loads the programs. What cannot be had is said in the log and in the metrics.
    pub(super) fn load(config: probe::Config, calls: calls::Config) -> Self {
        let probe = Arc::new(Probe::load());
        let services = config
            .services
            .iter()
            .map(|service| Arc::clone(&service.name))
            .collect();
        let programs = probe.go_call().ok().cloned();
        let tracer = programs.and_then(|programs| {
            Tracer::new(programs, config.services)
                .inspect_err(|error| warn!(%error, "no calls are traced: the clocks cannot be read"))
                .ok()
        });
        Self {
            probe,
            tracer,
            services,
            calls,
            metrics: Metrics::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.probe.metrics()));
        if let Some(tracer) = &self.tracer {
            registry.register_collector(Box::new(tracer.metrics()));
            self.metrics.register(registry);
        }
    }

    /// Starts the thread and the task; both end after `stop`, when all that was read is on its way.
    pub(super) fn start(
        self,
        attributes: watch::Receiver<ResourceAttributes>,
        router: Router,
        stop: CancellationToken,
    ) -> io::Result<JoinHandle<()>> {
        let Some(tracer) = self.tracer else {
            return Ok(tokio::spawn(async {}));
        };
        let (sender, receiver) = mpsc::channel(BATCHES);
        let task = Task {
            calls: Calls::new(self.calls, Tracer::seed(), tracer.now(), self.metrics.calls),
            services: self.services,
            attributes,
            router,
            dropped: self.metrics.spans_dropped,
        };
        let watcher = Watcher {
            probe: self.probe,
            tracer,
            processes: Processes::new(Path::new("/proc")),
            said: false,
            dropped: self.metrics.events_dropped,
        };
        thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || watcher.run(sender, &stop))?;
        Ok(tokio::spawn(task.run(receiver)))
    }
}

/// The thread of the probes.
struct Watcher {
    probe: Arc<Probe>,
    tracer: Tracer,
    processes: Processes,
    /// Whether it was said that not all of them can be looked into.
    said: bool,
    dropped: Counter,
}

impl Watcher {
    fn run(mut self, to: mpsc::Sender<Batch>, stop: &CancellationToken) {
        let mut execs = None;
        for turn in 0_u32.. {
            let last = stop.is_cancelled();
            let mut events = Vec::new();
            self.tracer.drain(&mut events);
            let now = self.probe.process_execs();
            let due = turn.is_multiple_of(LOOK_ANYWAY) || (turn.is_multiple_of(LOOK) && now != execs);
            if due && !last {
                execs = now;
                self.look(&mut events);
            }
            let count = events.len() as u64;
            let batch = Batch {
                events,
                at: self.tracer.now(),
            };
            if count > 0 && to.try_send(batch).is_err() {
                self.dropped.inc_by(count);
            }
            if last {
                // The kernel takes seconds to take all probes off, which nobody has to wait for.
                drop(to);
                return;
            }
            thread::park_timeout(DRAIN);
        }
    }

    /// Follows the processes of the node.
    fn look(&mut self, events: &mut Vec<CallEvent>) {
        match self.processes.refresh() {
            Ok(changes) => {
                for pid in changes.ended {
                    self.tracer.ended(pid, events);
                }
                for Started { pid, executable } in changes.started {
                    self.tracer.started(pid, executable, &self.processes.path(pid));
                }
            }
            Err(error) => warn!(%error, "cannot look at the processes of this node"),
        }
        if self.processes.refused() && !self.said {
            warn!("some programs cannot be looked into: the agent needs the capability SYS_PTRACE");
            self.said = true;
        }
    }
}

/// Turns calls into spans and hands them to the endpoints.
struct Task {
    calls: Calls,
    services: Vec<Arc<str>>,
    attributes: watch::Receiver<ResourceAttributes>,
    router: Router,
    dropped: Counter,
}

impl Task {
    async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            for service in &self.services {
                let component = Component::of_service(service.as_bytes());
                if let Some(ago) = self.router.seen.ago(component) {
                    let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
                    self.calls
                        .native(service, Nanos::new(batch.at.count().saturating_sub(ago)));
                }
            }
            let mut spans = Vec::new();
            for event in batch.events {
                self.calls.take(event, &mut spans);
            }
            let count = spans.len() as u64;
            let payload = export::encode(spans, &self.attributes.borrow());
            if let Some(payload) = payload
                && self.router.admit(payload).await.is_err()
            {
                self.dropped.inc_by(count);
            }
        }
    }
}
