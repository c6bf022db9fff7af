//! The command line: what each command does and how it ends.

mod agent;
mod functions;
pub(crate) mod trace;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use innerspan::{
    admin,
    config::{self, Config, Environment},
    identify::cluster::{self, Cluster, Host},
    ingest::probe::go::catalogue::Service,
    pipeline::{self, Pipeline, Traces},
    telemetry,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::EX_USAGE;

/// Threads of the data path. More than two would only wait for each other at the rates of one node.
const MAX_WORKERS: usize = 2;

const BUILD: telemetry::Build = telemetry::Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("INNERSPAN_COMMIT"),
};

/// Traces what Kubernetes itself does on this node, and sends it to your OpenTelemetry endpoint.
#[derive(Debug, Parser)]
#[command(version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("INNERSPAN_COMMIT"), ")"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent until SIGTERM; a second signal ends it at once.
    Run {
        /// The configuration; without it the `OTEL_*` variables of the environment must name an endpoint.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration: prints all faults with their lines, and exits with 64 if there are any.
    Check {
        /// The configuration.
        file: PathBuf,
    },
    /// Say which functions of a Go executable would be traced, and where their probes would be.
    Functions {
        /// The executable, or `/proc/PID/exe`.
        executable: PathBuf,
        /// A configuration that adds functions of its own.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A list of JSON objects, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show where the time of a pod's start went, or of its stop: asks the agent of the pod's node.
    Trace(trace::Args),
}

pub(crate) fn check(file: &Path) -> ExitCode {
    let Some(config) = load(Some(file)) else {
        return ExitCode::from(EX_USAGE);
    };
    let said = writeln!(io::stdout(), "{}: ok\n{config}", file.display());
    said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

pub(crate) fn run(file: Option<&Path>) -> ExitCode {
    let Some(config) = load(file) else {
        return ExitCode::from(EX_USAGE);
    };
    if let Err(error) = telemetry::log::start(&config.telemetry.log) {
        complain(&format!("{error:#}"));
        return ExitCode::FAILURE;
    }
    match start(config) {
        Ok(code) => code,
        Err(errors) => {
            for error in errors {
                error!("cannot start: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn functions(executable: &Path, file: Option<&Path>, as_json: bool) -> ExitCode {
    let services = match file {
        Some(_) => load(file).map(|config| config.ingest.probe.services),
        None => embedded(),
    };
    let Some(services) = services else {
        return ExitCode::from(EX_USAGE);
    };
    let listed = functions::list(executable, &services, as_json, &mut io::stdout().lock());
    listed.map_or_else(
        |error| {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Reads the configuration, or prints all that is wrong with it.
fn load(file: Option<&Path>) -> Option<Config> {
    config::load(file, &Environment::of_process())
        .map_err(|faults| complain(&faults.to_string()))
        .ok()
}

fn embedded() -> Option<Vec<Service>> {
    config::embedded_catalogue()
        .map_err(|faults| complain(&faults.to_string()))
        .ok()
}

/// Before there is a log, standard error is one; without it there is nobody to tell.
fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
}

/// Builds everything, so that all that hinders a start is known at once, and then runs it.
fn start(config: Config) -> Result<ExitCode, Vec<anyhow::Error>> {
    let pipeline = Pipeline::build(config.pipeline, config.ingest, config.correlate, config.export);
    let admin = admin::Server::bind(&config.admin);
    let (pipeline, admin) = match (pipeline, admin) {
        (Ok(pipeline), Ok(admin)) => (pipeline, admin),
        (pipeline, admin) => {
            let pipeline = pipeline
                .err()
                .unwrap_or_default()
                .into_iter()
                .map(anyhow::Error::from);
            return Err(pipeline.chain(admin.err().map(anyhow::Error::from)).collect());
        }
    };
    drive(pipeline, admin, config.identify.cluster).map_err(|error| vec![error])
}

/// Runs the data path on its own threads and everything else on this one.
fn drive(pipeline: Pipeline, admin: admin::Server, cluster: cluster::Config) -> anyhow::Result<ExitCode> {
    let control = control_runtime()?;
    let data = data_runtime().context("start the runtime of the data path")?;

    let (cluster, attributes, pods) = Cluster::new(cluster, Host::read(Path::new("/")), pipeline::now);
    let mut registry = telemetry::registry(BUILD);
    cluster.metrics().register(&mut registry);
    pipeline.register(&mut registry);

    let (phase, phases) = watch::channel(admin::Phase::Starting);
    let traces = pipeline.traces();
    let view = admin::View {
        metrics: Box::new(move || telemetry::encode(&registry)),
        families: pipeline.families(),
        traces: Box::new(move |wanted| Box::pin(tell(traces.clone(), wanted))),
        watchdog: Mutex::new(pipeline.watchdog()),
        phase: phases,
    };
    let data_path = data.handle().clone();
    let code = control.block_on(async move {
        let mut signals = Signals::listen().context("listen for signals")?;
        let stop = CancellationToken::new();
        tokio::spawn(cluster.run());
        tokio::spawn(admin.run(view, CancellationToken::new()));
        let mut running = data_path.spawn(pipeline.run(attributes, pods, stop.clone()));
        phase.send_replace(admin::Phase::Running);
        info!(version = BUILD.version, revision = BUILD.revision, "running");

        tokio::select! {
            ended = &mut running => {
                ended.context("the data path panicked")?.context("the data path ended")?;
                return Ok(ExitCode::FAILURE);
            }
            name = signals.next() => info!(signal = name, "draining; a second signal ends at once"),
        }
        phase.send_replace(admin::Phase::Draining);
        stop.cancel();
        tokio::select! {
            ended = running => {
                ended.context("the data path panicked")?.context("drain")?;
                Ok(ExitCode::SUCCESS)
            }
            name = signals.next() => {
                warn!(signal = name, "ends without draining");
                Ok(ExitCode::FAILURE)
            }
        }
    });
    data.shutdown_background();
    code
}

/// What the data path says of one trace, or of all.
async fn tell(traces: Traces, wanted: Option<admin::Wanted>) -> Result<String, admin::Untold> {
    let told = match wanted {
        Some(admin::Wanted { pod, story }) => traces.latest(&pod, &story).await,
        None => traces.stories().await,
    };
    told.map_err(|why| match why {
        pipeline::Untold::Unknown => admin::Untold::Unknown,
        why => admin::Untold::Because(why.to_string()),
    })
}

/// Of this thread alone.
fn control_runtime() -> anyhow::Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("start the control runtime")
}

fn data_runtime() -> io::Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS));
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("data")
        .enable_all()
        .build()
}

/// The two signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
