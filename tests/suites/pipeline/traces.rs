//! `innerspan trace`, asked of a running agent that was told of a pod by its kubelet.

use std::{fs, process::Output};

use http::header::CONTENT_TYPE;
use innerspan::{model::Signal, waterfall};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tests::{
    agent::{Agent, run},
    client::post,
    collector::Collector,
    patience::until,
};

use crate::{agent, endpoint};

const UID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// What a kubelet reports of its work on one pod.
fn request() -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |id: u8, name: &str, kind: u8, (start, end): (u64, u64)| {
        let at = |ms: u64| (1_764_350_103_120_000_000 + ms * 1_000_000).to_string();
        json!({
            "traceId": "5".repeat(32),
            "spanId": format!("{id:016x}"),
            "parentSpanId": if id == 1 { String::new() } else { format!("{:016x}", 1) },
            "name": name,
            "kind": kind,
            "startTimeUnixNano": at(start),
            "endTimeUnixNano": at(end),
            "attributes": [
                text("k8s.pod.uid", UID),
                text("k8s.namespace.name", "default"),
                text("k8s.pod.name", "web"),
            ],
        })
    };
    let spans = [
        span(1, "syncPod", 1, (0, 1_000)),
        span(2, "runtime.v1.RuntimeService/RunPodSandbox", 3, (100, 400)),
    ];
    let resource = json!({"attributes": [text("service.name", "kubelet")]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
}

fn send(agent: &Agent, request: impl Into<String>) {
    let headers = [(CONTENT_TYPE, "application/json")];
    let reply = post(&agent.http(), Signal::Traces, &headers, request.into());
    assert_eq!(reply.status, 200);
}

fn trace(agent: &Agent, arguments: &[&str]) -> Output {
    run(&[&["trace", "--address", &agent.admin()], arguments].concat())
}

/// What it said, if all was well.
fn said(output: &Output) -> Option<&str> {
    output
        .status
        .success()
        .then(|| std::str::from_utf8(&output.stdout).unwrap())
}

#[test]
fn a_start_is_listed_and_drawn_and_told_as_otlp() {
    let collector = Collector::start();
    let agent = agent(&[endpoint(&collector, json!({}))], json!({}));
    assert_eq!(said(&trace(&agent, &[])), Some("no trace of a pod yet\n"));
    send(&agent, request().to_string());
    let list = until("the pod to be known", || {
        let list = trace(&agent, &[]);
        said(&list)
            .filter(|list| list.contains("default/web"))
            .map(str::to_owned)
    });
    assert!(list.contains("2025-11-28T17:15:03.120Z  pod start"), "{list}");

    for pod in ["web", "default/web", UID] {
        let drawn = trace(&agent, &[pod]);
        let drawn = said(&drawn).unwrap();
        assert!(
            drawn.starts_with("pod start of default/web: under way for "),
            "{drawn}"
        );
        assert!(drawn.contains("\n    sandbox "), "{drawn}");
        assert!(
            drawn.contains("incomplete: the pods of this node are not watched"),
            "{drawn}"
        );
        assert!(!drawn.contains('\x1b'), "standard output is no terminal: {drawn}");
    }
    let svg = trace(&agent, &["web", "--svg"]);
    assert!(said(&svg).unwrap().starts_with("<svg "));

    // It reads what it wrote, and so does an agent.
    let json = trace(&agent, &["web", "--json"]);
    let json = said(&json).unwrap();
    let spans = waterfall::read(json.as_bytes()).unwrap();
    assert_eq!(format!("{:?}", spans[0].trace_id), UID.replace('-', ""));
    assert!(
        spans
            .iter()
            .any(|span| span.parent.is_none() && &*span.name == "pod start")
    );
    send(&agent, json);
}

#[test]
fn a_pod_that_is_not_known_is_said_to_be_none_with_what_is_known() {
    let collector = Collector::start();
    let agent = agent(&[endpoint(&collector, json!({}))], json!({}));
    send(&agent, request().to_string());
    until("the pod to be known", || said(&trace(&agent, &["web"])).map(drop));
    for arguments in [&["other"][..], &["other/web"], &["web", "--story", "stop"]] {
        let unknown = trace(&agent, arguments);
        assert_eq!(unknown.status.code(), Some(1));
        assert!(unknown.stdout.is_empty());
        let complaint = String::from_utf8(unknown.stderr).unwrap();
        assert!(
            complaint.contains("only the agent of the pod's own node"),
            "{complaint}"
        );
        assert!(complaint.contains("default/web"), "{complaint}");
    }
}

#[test]
fn the_configuration_says_what_to_show_the_agent() {
    let collector = Collector::start();
    let token = NamedTempFile::new().unwrap();
    fs::write(token.path(), "secret\n").unwrap();
    let admin = json!({"admin": {"bearer_token_file": token.path()}});
    let agent = agent(&[endpoint(&collector, json!({}))], admin);
    let refused = trace(&agent, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("a bearer token is required"), "{complaint}");
    let config = agent.config();
    assert_eq!(
        said(&trace(&agent, &["--config", config.to_str().unwrap()])),
        Some("no trace of a pod yet\n")
    );
    fs::write(&config, "admin: {address: here}").unwrap();
    let faulty = trace(&agent, &["--config", config.to_str().unwrap()]);
    assert_eq!(faulty.status.code(), Some(64));
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let nobody = run(&["trace", "--address", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    let complaint = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        complaint.starts_with("ask the agent at http://127.0.0.1:1: "),
        "{complaint}"
    );
}
