//! The lab of this checkout, as its command line shows it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value::StringValue},
};
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;
use tempfile::NamedTempFile;

/// What the agent saw itself, in the account; and the instrumentation scope of its spans.
pub(crate) const OWN: &str = "innerspan";

/// Where the spans are.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Account {
    pub(crate) components: BTreeMap<String, Line>,
    pub(crate) repeated: u64,
    pub(crate) refused: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    /// Nothing that the agent makes itself was sent to it.
    pub(crate) sent: Option<u64>,
    pub(crate) received: u64,
    pub(crate) exported: u64,
    pub(crate) dropped: u64,
    pub(crate) held: u64,
    pub(crate) arrived: u64,
    pub(crate) nameless: u64,
}

/// A span that the agent made, as the collector passed it on.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    /// Nanoseconds of wall time.
    pub(crate) begin: u64,
    attributes: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }
}

/// It ends with the test, also when the test fails.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) checkout: &'static str,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.ended();
    }
}

impl Lab {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(self.checkout);
        command
            .args(["run", "--quiet", "--package", "xtask", "--", "lab"])
            .args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A verb that has to succeed, and what it printed.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_success(&output);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn exec(&self, words: &[&str]) -> Output {
        self.run(&[&["exec", "--"], words].concat())
    }

    /// A command of the node that has to succeed, and what it printed.
    pub(crate) fn told(&self, words: &[&str]) -> String {
        self.said(&[&["exec", "--"], words].concat())
    }

    /// The trace of a pod, as the agent draws it for who asks in its container; empty if it has none.
    pub(crate) fn drawn(&self, pod: &str, options: &[&str]) -> String {
        let words = "kubectl --namespace=innerspan exec ds/innerspan -- /innerspan trace";
        let words: Vec<_> = words
            .split(' ')
            .chain([pod])
            .chain(options.iter().copied())
            .collect();
        String::from_utf8_lossy(&self.exec(&words).stdout).into_owned()
    }

    /// Objects of the API, as a list.
    pub(crate) fn objects(&self, words: &[&str]) -> Vec<Value> {
        let list = self.told(&[&["kubectl", "get", "--output=json"], words].concat());
        let mut list: Value = serde_json::from_str(&list).unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }

    pub(crate) fn ended(&self) {
        self.said(&["down"]);
    }

    pub(crate) fn account(&self) -> Account {
        serde_json::from_str(&self.said(&["spans", "--json"])).unwrap()
    }

    /// The account of what components sent, at a quiet instant: nothing is under way, and nothing was sent while it
    /// was taken.
    pub(crate) fn settled(&self) -> Account {
        let capture = self.file("capture.pcap");
        let captured = || fs::metadata(&capture).unwrap().len();
        until("a quiet instant", Duration::from_mins(2), || {
            let before = captured();
            // Longer than the collector gathers what it passes on.
            thread::sleep(Duration::from_millis(500));
            if captured() != before {
                return None;
            }
            let mut account = self.account();
            account.components.remove(OWN);
            let quiet = captured() == before && account.components.values().all(|line| line.held == 0);
            quiet.then_some(account)
        })
    }

    /// The account at a quiet instant at which it is so. What the agent has delivered may still be on its way through the
    /// collector, which has just started: then it is not the right instant yet.
    pub(crate) fn settled_with(&self, what: &str, is_so: impl Fn(&Account) -> bool) -> Account {
        until(what, Duration::from_mins(2), || {
            let account = self.settled();
            is_so(&account).then_some(account)
        })
    }

    /// The agent's own spans that have arrived so far.
    pub(crate) fn own_spans(&self) -> Vec<Span> {
        let recorded = fs::read(self.file("received.binpb")).unwrap();
        let mut rest = recorded.as_slice();
        let mut spans = Vec::new();
        // The last request may still be being written.
        while let Ok(request) = ExportTraceServiceRequest::decode_length_delimited(&mut rest) {
            spans.extend(own(request));
        }
        spans
    }

    /// What the lab keeps while it is up.
    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.checkout).join("target/lab").join(name)
    }

    /// Takes the collector away for a while.
    pub(crate) fn away(&self, length: Duration) {
        let scale = |replicas: &str| {
            let words = [
                "kubectl",
                "-n",
                "observability",
                "scale",
                "deployment/collector",
                replicas,
            ];
            self.told(&words);
        };
        scale("--replicas=0");
        self.told(&[
            "kubectl",
            "-n",
            "observability",
            "wait",
            "--for=delete",
            "pod",
            "--selector=app=collector",
            "--timeout=60s",
        ]);
        thread::sleep(length);
        scale("--replicas=1");
        self.rolled_out("observability", "deployment/collector");
    }

    pub(crate) fn rolled_out(&self, namespace: &str, workload: &str) {
        let words = ["kubectl", "-n", namespace, "rollout", "status", workload];
        self.told(&[&words[..], &["--timeout=180s"]].concat());
    }
}

fn own(request: ExportTraceServiceRequest) -> Vec<Span> {
    let text = |pair: KeyValue| match pair.value.and_then(|value| value.value) {
        Some(StringValue(text)) => Some((pair.key, text)),
        _ => None,
    };
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        let resource: BTreeMap<_, _> = resource.attributes.into_iter().filter_map(text).collect();
        for scope_spans in resource_spans.scope_spans {
            if scope_spans.scope.is_none_or(|scope| scope.name != OWN) {
                continue;
            }
            spans.extend(scope_spans.spans.into_iter().map(|span| Span {
                service: resource["service.name"].clone(),
                name: span.name,
                begin: span.start_time_unix_nano,
                attributes: span.attributes.into_iter().filter_map(text).collect(),
            }));
        }
    }
    spans
}

/// A lab in the foreground, which runs until it is interrupted.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    log: NamedTempFile,
}

impl Session {
    /// Starts one, and waits until its demonstration is over.
    pub(crate) fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let output = || -> File { log.reopen().unwrap() };
        let mut command = lab.command(arguments);
        let child = command.stdout(output()).stderr(output()).spawn().unwrap();
        let mut session = Self { child, log };
        until("the demonstration", Duration::from_mins(8), || {
            let said = session.said();
            let ended = session.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended early: {said}");
            said.contains("runs until Ctrl-C").then_some(())
        });
        session
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Ctrl-C, after which it cleans up by itself.
    pub(crate) fn interrupt(mut self) {
        let id = self.child.id().to_string();
        let interrupted = Command::new("kill").args(["-INT", &id]).status();
        assert!(interrupted.unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

pub(crate) fn assert_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

pub(crate) fn until<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begun.elapsed() < within, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
