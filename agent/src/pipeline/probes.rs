//! The probes' own thread: looks for components among the node's processes and empties the ring.
//!
//! It never waits for anybody: what it read goes over a bounded channel to the correlator, or is dropped and counted.

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{field, info, warn};

use crate::{
    identify::process::{Processes, Started},
    ingest::probe::{
        self, Probe,
        go::tracer::{Durations, Traced, Tracer},
    },
    model::{
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
/// Drains between two looks at what the kernel had no room for: reading all counters costs a millisecond.
const LOOK_FOR_LOSS: u32 = 50;
/// Batches between the two: 6 s of them.
const BATCHES: usize = 64;

/// What the thread of the probes read at one time.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<CallEvent>,
    /// Whether there is more that was lost.
    pub(super) is_lossy: bool,
    pub(super) at: Nanos<Wall>,
}

/// The probes, ready to run.
#[derive(Debug)]
pub(super) struct Probes {
    probe: Arc<Probe>,
    /// None where the kernel does not let the agent look into other programs.
    tracer: Option<Tracer>,
    dropped: Counter,
}

impl Probes {
    /// Loads the programs. What cannot be had is said in the log and in the metrics.
    pub(super) fn load(config: probe::Config) -> Self {
        let probe = Arc::new(Probe::load());
        let programs = probe.go_call().ok().cloned();
        let tracer = programs.and_then(|programs| {
            Tracer::new(programs, config.services)
                .inspect_err(|error| warn!(%error, "no calls are traced: the clocks cannot be read"))
                .ok()
        });
        Self {
            probe,
            tracer,
            dropped: Counter::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.probe.metrics()));
        if let Some(tracer) = &self.tracer {
            registry.register_collector(Box::new(tracer.metrics()));
            registry.register(
                "innerspan_pipeline_call_events_dropped",
                "Begins and ends of calls that the data path had no room for",
                self.dropped.clone(),
            );
        }
    }

    /// What the kernel counts of calls.
    pub(super) fn durations(&self) -> Option<Durations> {
        self.tracer.as_ref().map(Tracer::durations)
    }

    /// Starts the thread, which ends after `stop`, when all that was read is on its way.
    pub(super) fn start(self, stop: CancellationToken) -> io::Result<mpsc::Receiver<Batch>> {
        let (sender, receiver) = mpsc::channel(BATCHES);
        if let Some(tracer) = self.tracer {
            let watcher = Watcher {
                probe: self.probe,
                tracer,
                processes: Processes::new(Path::new("/proc")),
                said: false,
                lost: 0,
                dropped: self.dropped,
            };
            thread::Builder::new()
                .name("probe".to_owned())
                .spawn(move || watcher.run(sender, &stop))?;
        }
        Ok(receiver)
    }
}

/// What arrives where the probes are turned off.
pub(super) fn none() -> mpsc::Receiver<Batch> {
    mpsc::channel(1).1
}

/// The thread of the probes.
struct Watcher {
    probe: Arc<Probe>,
    tracer: Tracer,
    processes: Processes,
    /// Whether it was said that not all of them can be looked into.
    said: bool,
    /// What had been lost at the last look.
    lost: u64,
    dropped: Counter,
}

impl Watcher {
    fn run(mut self, to: mpsc::Sender<Batch>, stop: &CancellationToken) {
        let (mut execs, mut is_lossy) = (None, false);
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
            if turn.is_multiple_of(LOOK_FOR_LOSS) {
                // A component that ends takes its counts along.
                let before = std::mem::replace(&mut self.lost, self.tracer.lost());
                is_lossy |= self.lost > before;
            }
            let count = events.len() as u64;
            let batch = Batch {
                events,
                is_lossy,
                at: self.tracer.now(),
            };
            if count > 0 || is_lossy {
                // What is dropped here is a loss too, to be told with the next batch that has room.
                is_lossy = to.try_send(batch).is_err();
                self.dropped.inc_by(if is_lossy { count } else { 0 });
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
                    let path = self.processes.path(pid);
                    if let Some(traced) = self.tracer.started(pid, executable, &path) {
                        let Traced { services, functions } = traced;
                        let place = self.processes.place(pid);
                        let pod = place.as_ref().map(|place| field::display(place.pod));
                        let container = place.as_ref().and_then(|place| place.container.as_deref());
                        info!(
                            pid = pid.0,
                            services, functions, pod, container, "tracing a component"
                        );
                    }
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
