//! The agent under measurement: `innerspan run`, as it is shipped, with its probes in what runs here.
//!
//! In: what its catalogue gets beside the embedded one. Out: its CPU time, and what its metrics say of one
//! component. It sends what it sees to a sink, as it would to a collector.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::super::{
    forwarder::free_address,
    process::{Cpu, Process},
};
use crate::{image, scrape};

/// From the start until the probes are in a process that runs already.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Agent {
    process: Process,
    admin: SocketAddr,
}

impl Agent {
    /// Starts it, and waits until its probes are in a process of the component.
    pub(super) async fn start(
        program: &Path,
        catalogue: &str,
        component: &str,
        sink: SocketAddr,
        files: &Path,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(files).with_context(|| format!("cannot create {}", files.display()))?;
        let config = files.join("config.yaml");
        let (admin, otlp) = (free_address()?, free_address()?);
        fs::write(
            &config,
            format!(
                r#"ingest:
  otlp: {{grpc: ["{otlp}"], http: []}}
  probe: {{services: [{catalogue}]}}
# Without the time in which it listens whether the component traces natively.
correlate: {{calls: {{modes: {{{component}: always}}}}}}
identify: {{cluster: {{enabled: false}}}}
export: {{endpoints: [{{name: sink, endpoint: "http://{sink}", protocol: grpc, compression: gzip}}]}}
admin: {{address: "{admin}"}}
"#
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config);
        command.envs(image::environment()?);
        let process = Process::start(&command, Cpu::Ours, admin, &files.join("log")).await;
        let process = process.context("innerspan did not start")?;
        let agent = Self { process, admin };
        agent.reach(component).await?;
        Ok(agent)
    }

    async fn reach(&self, component: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.total("innerspan_ingest_go_processes", component, "")? == 0 {
            if begun.elapsed() > PATIENCE {
                bail!(
                    "the agent has no probe in {component}: see {}",
                    self.process.log().display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu()
    }

    /// How often something happened at the probes in a component: `entered`, `returned`, `matched`.
    pub(super) fn count(&self, component: &str, state: &str) -> anyhow::Result<u64> {
        self.total(
            "innerspan_ingest_go_calls",
            component,
            &format!(r#"state="{state}""#),
        )
    }

    /// Nanoseconds that one run of its programs takes, if the kernel counts them.
    pub(super) fn nanos_per_run(&self) -> anyhow::Result<f64> {
        let metrics = scrape::get(self.admin, "/metrics")?;
        let sum = |metric| scrape::sum(&metrics, metric, &[]);
        Ok(1e9 * sum("innerspan_ingest_probe_run_seconds_total") / sum("innerspan_ingest_probe_runs_total"))
    }

    fn total(&self, metric: &str, component: &str, label: &str) -> anyhow::Result<u64> {
        let metrics = scrape::get(self.admin, "/metrics")?;
        let component = format!(r#"service="{component}""#);
        Ok(scrape::total(&metrics, metric, &[&component, label]))
    }
}
