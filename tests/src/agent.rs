//! The agent: the real program, with a configuration of the test's own.
//!
//! In: sections of the configuration. Out: where it listens, what its metrics say, how it ends. It listens on
//! ports that the system chooses, which its log names.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use http::StatusCode;
use innerspan::model::Signal;
use nix::{
    sys::signal::{Signal as Kill, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{self, Reply},
    metrics::{Account, Metrics},
    patience::{until, until_true},
};

/// The name of the file with its configuration.
const CONFIG: &str = "config.yaml";

/// A running agent. It dies with this value.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    log: Log,
    dir: TempDir,
}

/// What it has logged so far, by line.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<Value>>>);

/// The program, built once for all tests of a process.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package=innerspan",
                "--message-format=json-render-diagnostics",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(cargo.status.success(), "the agent does not build");
        let messages = String::from_utf8(cargo.stdout).unwrap();
        let artifacts = messages
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut executables =
            artifacts.filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
        executables.next().unwrap()
    })
}

/// Runs the program to its end.
#[must_use]
pub fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .env_clear()
        .args(arguments)
        .output()
        .unwrap()
}

/// Lays one configuration over another: sections are merged, all else is replaced.
#[must_use]
pub fn laid_over(under: Value, over: Value) -> Value {
    match (under, over) {
        (Value::Object(mut under), Value::Object(over)) => {
            for (key, value) in over {
                let below = under.remove(&key).unwrap_or_default();
                under.insert(key, laid_over(below, value));
            }
            Value::Object(under)
        }
        (_, over) => over,
    }
}

// === impl Agent ===

impl Agent {
    /// Starts with a configuration laid over one that needs no cluster and sees none, and waits until it is ready.
    #[must_use]
    pub fn start(config: Value) -> Self {
        let alone = json!({
            "ingest": {
                "otlp": {"grpc": ["127.0.0.1:0"], "http": ["127.0.0.1:0"]},
                // A component on this machine is none of the test's business.
                "probe": {"enabled": false},
            },
            "identify": {"cluster": {"enabled": false, "node_name": "node1"}},
            // Nor are items that the test did not send, unless it asks for them.
            "correlate": {"span_metrics": {"enabled": false}},
            "admin": {"address": "127.0.0.1:0"},
            "telemetry": {"log": {"level": "info", "format": "json"}},
        });
        let dir = TempDir::new().unwrap();
        let file = dir.path().join(CONFIG);
        // All JSON is YAML.
        std::fs::write(&file, laid_over(alone, config).to_string()).unwrap();
        let mut process = Command::new(program())
            .env_clear()
            .args(["run", "--config"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(process.stderr.take().unwrap());
        let mut agent = Self { process, log, dir };
        until("the agent to be ready", || {
            assert_eq!(
                agent.process.try_wait().unwrap(),
                None,
                "the agent ended: {:?}",
                agent.log
            );
            let admin = agent.log.address("admin")?;
            (client::read(&admin, "/readyz").status == StatusCode::OK).then_some(())
        });
        agent
    }

    /// Where it takes OTLP/gRPC by TCP.
    #[must_use]
    pub fn grpc(&self) -> String {
        self.log.address("grpc").unwrap()
    }

    /// Where it takes OTLP/HTTP by TCP.
    #[must_use]
    pub fn http(&self) -> String {
        self.log.address("http").unwrap()
    }

    /// Where it answers who looks after it.
    #[must_use]
    pub fn admin(&self) -> String {
        self.log.address("admin").unwrap()
    }

    /// The file with its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join(CONFIG)
    }

    /// Answers of its probes and pages.
    #[must_use]
    pub fn page(&self, path: &str) -> Reply {
        client::read(&self.admin(), path)
    }

    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(std::str::from_utf8(&self.page("/metrics").body).unwrap())
    }

    #[must_use]
    pub fn account(&self, endpoint: &str, signal: Signal) -> Account {
        self.metrics().account(endpoint, signal)
    }

    /// Waits until an account is as expected; every reading on the way has to balance.
    pub fn until_account(&self, endpoint: &str, signal: Signal, expected: &Account) {
        let what = format!("{expected:?} for {} at {endpoint}", signal.as_str());
        until_true(&what, || self.account(endpoint, signal) == *expected);
    }

    /// Waits for so many requests to an endpoint with an outcome.
    pub fn until_requests(&self, endpoint: &str, signal: Signal, outcome: &str, requests: u64) {
        let labels = [
            ("endpoint", endpoint),
            ("signal", signal.as_str()),
            ("outcome", outcome),
        ];
        until_true(&format!("{requests} {outcome} requests to {endpoint}"), || {
            self.metrics().sum("innerspan_export_requests_total", &labels) >= Some(requests)
        });
    }

    /// Waits until it takes no more.
    pub fn until_draining(&self) {
        until_true("the agent to drain", || {
            self.page("/readyz").status != StatusCode::OK
        });
    }

    /// Whether its log has a message.
    #[must_use]
    pub fn logged(&self, message: &str) -> bool {
        let entries = self.log.0.lock().unwrap();
        entries.iter().any(|entry| entry["message"] == message)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Kill) {
        let process = Pid::from_raw(self.process.id().try_into().unwrap());
        kill(process, signal).unwrap();
    }

    /// Waits for its end.
    pub fn until_ended(&mut self) -> ExitStatus {
        until("the agent to end", || self.process.try_wait().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It fails only for one that has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

// === impl Log ===

impl Log {
    fn follow(lines: ChildStderr) -> Self {
        let log = Self::default();
        let entries = Arc::clone(&log.0);
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let entry = serde_json::from_str(&line).unwrap_or(Value::from(line));
                entries.lock().unwrap().push(entry);
            }
        });
        log
    }

    /// Where something listens, in the form that `client` takes.
    fn address(&self, service: &str) -> Option<String> {
        let entries = self.0.lock().unwrap();
        let mut listening = entries.iter().filter(|entry| entry["message"] == "listening");
        let found = listening.find(|entry| entry["service"] == service)?;
        Some(format!("http://{}", found["address"].as_str()?))
    }
}
