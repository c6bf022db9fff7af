//! Who is compared: innerspan, the OpenTelemetry Collector and Rotel, each in the forms in
//! which it is run.
//!
//! In: where the sink is. Out: a program and its configuration that takes OTLP/gRPC and
//! hands it on to the sink. What a peer may do is set in its own favour: no telemetry of its
//! own, no log but warnings.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::process::{Cpu, Process};
use crate::{image, lab::components::Components, place, step};

/// The release of Rotel whose wheel runs without a Python of its own.
const ROTEL: &str = "0.0.1a15";

/// One program in one configuration.
#[derive(Debug)]
pub(super) struct Forwarder {
    pub(super) name: &'static str,
    pub(super) gzip: bool,
    pub(super) ours: bool,
    form: Form,
    program: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Innerspan,
    /// With the batch processor, or without.
    Collector {
        batch: bool,
    },
    Rotel,
}

/// Every forwarder that can be had here; a peer that cannot is left out with the reason.
pub(super) fn all(only_ours: bool) -> anyhow::Result<Vec<Forwarder>> {
    // As users run it: the program of the image, and below its environment.
    let program = image::static_binary()?;
    let innerspan = |name, gzip| Forwarder {
        name,
        gzip,
        ours: true,
        form: Form::Innerspan,
        program: program.clone(),
    };
    let mut all = vec![
        innerspan("innerspan, gzip", true),
        innerspan("innerspan, plain", false),
    ];
    if only_ours {
        return Ok(all);
    }
    match collector() {
        Ok(program) => {
            let collector = |name, gzip, batch| Forwarder {
                name,
                gzip,
                ours: false,
                form: Form::Collector { batch },
                program: program.clone(),
            };
            all.push(collector("collector, gzip, batch 8192/200 ms", true, true));
            all.push(collector("collector, gzip", true, false));
            all.push(collector("collector, plain", false, false));
        }
        Err(fault) => eprintln!("left out: the collector: {fault:#}"),
    }
    match rotel() {
        Ok(program) => all.push(Forwarder {
            name: "Rotel, gzip, batch 8192/200 ms",
            gzip: true,
            ours: false,
            form: Form::Rotel,
            program,
        }),
        Err(fault) => eprintln!("left out: Rotel: {fault:#}"),
    }
    Ok(all)
}

impl Forwarder {
    /// Starts it with its files in a directory of its own; also gives the address to send to.
    pub(super) async fn start(
        &self,
        sink: SocketAddr,
        files: &Path,
    ) -> anyhow::Result<(Process, SocketAddr)> {
        fs::create_dir_all(files).with_context(|| format!("cannot create {}", files.display()))?;
        let listen = free_address()?;
        let config = files.join("config.yaml");
        let mut command = Command::new(&self.program);
        match self.form {
            Form::Innerspan => {
                fs::write(&config, self.innerspan_config(listen, sink)?)?;
                command.arg("run").arg("--config").arg(&config);
                command.envs(image::environment()?);
            }
            Form::Collector { batch } => {
                fs::write(&config, self.collector_config(listen, sink, batch))?;
                command.arg("--config").arg(&config);
            }
            Form::Rotel => {
                command
                    .arg("start")
                    .args(["--otlp-grpc-endpoint", &listen.to_string()])
                    .args(["--otlp-http-endpoint", &free_address()?.to_string()])
                    .args(["--exporter", "otlp", "--otlp-exporter-protocol", "grpc"])
                    .args(["--otlp-exporter-endpoint", &format!("http://{sink}")])
                    .arg("--pid-file")
                    .arg(files.join("pid"));
            }
        }
        let started = Process::start(&command, Cpu::Alone, listen, &files.join("log")).await;
        Ok((
            started.with_context(|| format!("{} did not start", self.name))?,
            listen,
        ))
    }

    fn compression(&self) -> &'static str {
        if self.gzip { "gzip" } else { "none" }
    }

    fn innerspan_config(&self, listen: SocketAddr, sink: SocketAddr) -> anyhow::Result<String> {
        let admin = free_address()?;
        let compression = self.compression();
        Ok(format!(
            r#"ingest: {{otlp: {{grpc: ["{listen}"], http: []}}}}
identify: {{cluster: {{enabled: false}}}}
export:
  endpoints:
    - {{name: sink, endpoint: "http://{sink}", protocol: grpc, compression: {compression}}}
admin: {{address: "{admin}"}}
"#
        ))
    }

    fn collector_config(&self, listen: SocketAddr, sink: SocketAddr, batch: bool) -> String {
        let processors = if batch { "batch" } else { "" };
        let compression = self.compression();
        format!(
            r#"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "{listen}"}}}}}}}}
processors: {{batch: {{send_batch_size: 8192, timeout: 200ms}}}}
exporters:
  otlp_grpc: {{endpoint: "{sink}", tls: {{insecure: true}}, compression: {compression}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [{processors}], exporters: [otlp_grpc]}}
"#
        )
    }
}

/// An address on which nobody listens at the moment.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The lab's collector: the one that stands for the user's own.
fn collector() -> anyhow::Result<PathBuf> {
    Components::locate()?.build_program("collector", "otelcol")
}

/// Rotel is published as a Python wheel that carries its binary.
fn rotel() -> anyhow::Result<PathBuf> {
    let home = place::cache()?.join(format!("rotel-{ROTEL}"));
    let program = home.join("rotel/rotel-agent");
    if !program.exists() {
        step::succeed(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps"])
                .arg(format!("rotel=={ROTEL}"))
                .arg("--target")
                .arg(&home),
        )
        .context("install python3-pip and the libpython3 of this distribution")?;
    }
    Ok(program)
}
