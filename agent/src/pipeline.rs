//! The only file that sees every stage: what is wired to what, what bounds it, and the order of draining.
//!
//! ingest → admission → one bounded queue per endpoint → export. A payload is admitted by all endpoints
//! that take its signal or by none, so an acknowledged item is in each of their ledgers.

mod correlator;
mod meters;
mod probes;
mod traces;

use std::{io, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

pub use self::traces::{Traces, Untold};
use self::{
    correlator::{Correlator, Look, Parts, Seen, Sources},
    meters::Meters,
    probes::Probes,
    traces::Asked,
};
use crate::{
    config::{Correlate, Ingest},
    correlate::coverage::Compared,
    export::{self, Exporter},
    ingest::{
        otlp::{self, Intake, Refused, Stamp},
        probe::go::{clock, tracer::Tracer},
    },
    model::{
        ByteSize, Heartbeat, Payload, ResourceAttributes, Signal, Tally, Watchdog,
        call::Operation,
        metric::Family,
        pod::PodEvent,
        time::{Nanos, Wall},
    },
};

/// How long a sender is held back when a queue is full, before it is refused: senders that wait cost less
/// than senders that come again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two signs of life of the data path's runtime.
const PULSE: Duration = Duration::from_secs(1);

/// How long work may stand still, beyond the longest time that an endpoint is given to answer.
const STANDSTILL: Duration = Duration::from_secs(30);

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// From SIGTERM to the end: what is not delivered by then is dropped and counted.
    pub shutdown_grace: Duration,
}

/// Why the data path cannot start. All reasons are found before anything runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] otlp::BindErrors),
    #[error("set up endpoint {name}")]
    Endpoint {
        name: String,
        source: export::CredentialsError,
    },
}

/// The data path, ready to run.
#[derive(Debug)]
pub struct Pipeline {
    config: Config,
    server: otlp::Server,
    received: otlp::Metrics,
    exporters: Arc<[Exporter]>,
    /// None if the probes are turned off.
    probes: Option<Probes>,
    services: Vec<Arc<str>>,
    compared: Vec<Compared>,
    counted: Vec<Arc<Operation>>,
    families: watch::Sender<Arc<[Family]>>,
    correlate: Correlate,
    correlated: correlator::Metrics,
    traces: Traces,
    asked: mpsc::Receiver<Asked>,
    pulse: Arc<Heartbeat>,
    standstill: Duration,
}

impl Pipeline {
    /// Binds every address and reads every certificate.
    pub fn build(
        config: Config,
        ingest: Ingest,
        correlate: Correlate,
        export: export::Config,
    ) -> Result<Self, Vec<StartError>> {
        let mut errors = Vec::new();
        let server = otlp::Server::bind(&ingest.otlp).map_err(|fault| errors.push(fault.into()));
        let answer = export
            .endpoints
            .iter()
            .map(|endpoint| endpoint.timeout)
            .max()
            .unwrap_or_default();
        let mut exporters = Vec::new();
        for endpoint in export.endpoints {
            let name = endpoint.name.clone();
            match Exporter::new(endpoint) {
                Ok(exporter) => exporters.push(exporter),
                Err(source) => errors.push(StartError::Endpoint { name, source }),
            }
        }
        let (traces, asked) = Traces::new();
        match server {
            Ok(server) if errors.is_empty() => Ok(Self {
                config,
                server,
                received: otlp::Metrics::default(),
                exporters: exporters.into(),
                services: correlator::names(&ingest.probe.services),
                compared: correlator::compared(&ingest.probe.services),
                counted: meters::counted(&ingest.probe.services),
                families: watch::channel(Arc::default()).0,
                probes: ingest.probe.enabled.then(|| Probes::load(ingest.probe)),
                correlate,
                correlated: correlator::Metrics::default(),
                traces,
                asked,
                pulse: Arc::default(),
                standstill: answer + STANDSTILL,
            }),
            _ => Err(errors),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        self.received.register(registry);
        export::Metrics::register(registry, &self.exporters);
        self.correlated.register(registry);
        if let Some(probes) = &self.probes {
            probes.register(registry);
        }
    }

    /// Watches the data path from outside it.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        let runtime = ("data path".to_owned(), Arc::clone(&self.pulse));
        let lanes = self.exporters.iter().flat_map(Exporter::heartbeats);
        Watchdog::new(self.standstill, std::iter::once(runtime).chain(lanes))
    }

    /// What is measured of the components, as it stood a few seconds ago.
    #[must_use]
    pub fn families(&self) -> watch::Receiver<Arc<[Family]>> {
        self.families.subscribe()
    }

    /// Whom to ask of pods' traces, while it runs.
    #[must_use]
    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Runs until `stop`, then drains: first no new requests, then the queues, all within the grace period.
    pub async fn run(
        self,
        attributes: watch::Receiver<ResourceAttributes>,
        pods: mpsc::Receiver<PodEvent>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let lanes = TaskTracker::new();
        self.exporters.iter().for_each(|exporter| exporter.start(&lanes));
        lanes.close();
        tokio::spawn(pulse(Arc::clone(&self.pulse)));

        let (look, natives) = Look::new(&self.correlated);
        let router = Router {
            exporters: Arc::clone(&self.exporters),
            seen: Arc::default(),
            look,
        };
        let meters = Meters::new(meters::Parts {
            spans: self.correlate.span_metrics,
            interval: self.correlate.metrics_interval,
            counted: self.counted,
            durations: self.probes.as_ref().and_then(Probes::durations),
            shown: self.families,
            metrics: self.correlated.meters.clone(),
            now: now(),
        });
        let batches = match self.probes {
            Some(probes) => probes.start(stop.clone())?,
            None => probes::none(),
        };
        let correlator = Correlator::new(Parts {
            calls: self.correlate.calls,
            pods: self.correlate.pod_trace,
            services: self.services,
            compared: self.compared,
            meters,
            seed: Tracer::seed(),
            now: now(),
            metrics: self.correlated,
            attributes: attributes.clone(),
            router: router.clone(),
        });
        let sources = Sources {
            batches,
            natives,
            pods,
            asked: self.asked,
        };
        let correlator = tokio::spawn(correlator.run(sources, stop.clone()));
        let stamp = stamps(attributes);
        let mut serving = tokio::spawn(self.server.run(router, stamp, self.received, stop.clone()));
        tokio::select! {
            // First: what is asked to stop may have done so before this task gets its turn, and is to be drained all
            // the same.
            biased;
            () = stop.cancelled() => {}
            ended = &mut serving => return ended?,
        }

        let end = Instant::now() + self.config.shutdown_grace;
        // A sender that stalls must not take the time that the queues need.
        let answered = time::timeout(self.config.shutdown_grace / 2, &mut serving)
            .await
            .is_ok();
        if !answered {
            serving.abort();
        }
        let correlated = time::timeout(self.config.shutdown_grace / 4, correlator).await;
        if correlated.is_err() {
            warn!("the last of what was seen is lost: the endpoints have no room for it");
        }
        self.exporters.iter().for_each(Exporter::close);
        let drained = time::timeout_at(end, lanes.wait()).await.is_ok();
        self.exporters
            .iter()
            .for_each(|exporter| settle(exporter, drained));
        Ok(())
    }
}

/// Now, by the clock that tells when anything on this node was seen; zero if it cannot be read, which the kernel does
/// not let happen.
#[must_use]
pub fn now() -> Nanos<Wall> {
    clock::now().unwrap_or_default()
}

/// The last word on an endpoint's items.
fn settle(to: &Exporter, drained: bool) {
    for (signal, account) in Signal::ALL.into_iter().zip(to.ledger().read()) {
        let received = account.received.total();
        if received == 0 {
            continue;
        }
        let (endpoint, signal) = (to.name(), signal.as_str());
        let exported = account.exported.total();
        let dropped: u64 = account.dropped.iter().map(Tally::total).sum();
        let held = account.held.total();
        if drained {
            info!(endpoint, signal, received, exported, dropped, "drained");
        } else {
            warn!(
                endpoint,
                signal,
                received,
                exported,
                dropped,
                lost_at_exit = held,
                "not drained in time"
            );
        }
    }
}

/// Shows that the runtime of the data path still turns.
async fn pulse(heartbeat: Arc<Heartbeat>) {
    let _working = heartbeat.working();
    let mut ticks = time::interval(PULSE);
    loop {
        ticks.tick().await;
        heartbeat.beat();
    }
}

/// Follows the node's attributes in the form that requests are stamped with.
fn stamps(mut attributes: watch::Receiver<ResourceAttributes>) -> watch::Receiver<Arc<Stamp>> {
    let stamp = |attributes: &ResourceAttributes| Arc::new(Stamp::new(attributes));
    let (sender, receiver) = watch::channel(stamp(&attributes.borrow_and_update()));
    tokio::spawn(async move {
        while attributes.changed().await.is_ok() {
            sender.send_replace(stamp(&attributes.borrow_and_update()));
        }
    });
    receiver
}

/// Admits payloads to the endpoints.
#[derive(Clone, Debug)]
struct Router {
    exporters: Arc<[Exporter]>,
    seen: Arc<Seen>,
    look: Look,
}

impl Intake for Router {
    async fn admit(&self, payload: Payload) -> Result<(), Refused> {
        self.pass(payload.clone()).await?;
        self.seen.note(&payload);
        self.look.at(&payload);
        Ok(())
    }
}

impl Router {
    /// Hands a payload to the endpoints that take its signal.
    async fn pass(&self, payload: Payload) -> Result<(), Refused> {
        let until = Instant::now() + PATIENCE;
        let size = ByteSize(payload.body.len());
        let mut places = Vec::with_capacity(self.exporters.len());
        for exporter in self
            .exporters
            .iter()
            .filter(|exporter| exporter.takes(payload.signal))
        {
            let place = exporter.reserve(size, until).await;
            let place = place.map_err(|full| Refused::Full {
                retry_after: full.retry_after,
            })?;
            places.push((exporter, place));
        }
        if places.is_empty() {
            return Err(Refused::NoEndpoint);
        }
        for (exporter, place) in places {
            exporter.push(payload.clone(), place);
        }
        Ok(())
    }
}
