//! The watch against a scripted API server on loopback: every request waits for the test's answer.

use std::{convert::Infallible, fs, io, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::*;

type Body = BoxBody<Bytes, io::Error>;

/// A request that waits for its answer.
struct Call {
    path: String,
    answer: oneshot::Sender<Response<Body>>,
}

/// The node watch, and the API server it talks to.
struct Cluster {
    calls: mpsc::Receiver<Call>,
    attributes: watch::Receiver<ResourceAttributes>,
    watch: JoinHandle<()>,
    _kubeconfig: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (sender, calls) = mpsc::channel(1);
        tokio::spawn(serve(listener, sender));
        let folder = TempDir::new().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let contents = json!({
            "clusters": [{ "name": "c", "cluster": { "server": server } }],
            "users": [{ "name": "u", "user": { "token": "t" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "c",
        });
        fs::write(&kubeconfig, contents.to_string()).unwrap();
        let config = Config {
            enabled: true,
            node_name: Some("node-1".to_owned()),
            cluster_name: Some("lab".to_owned()),
            kubeconfig: Some(kubeconfig),
            resource_attributes: [("team".to_owned(), "a".to_owned())].into(),
        };
        let host = Host {
            name: "host-1".to_owned(),
            machine_id: "abcd".to_owned(),
        };
        let (watch, attributes) = NodeWatch::new(config, host);
        Self {
            calls,
            attributes,
            watch: tokio::spawn(watch.run()),
            _kubeconfig: folder,
        }
    }

    /// The next request, which must be for this node alone.
    async fn call(&mut self, kind: &str) -> oneshot::Sender<Response<Body>> {
        let call = within(self.calls.recv()).await.unwrap();
        assert!(call.path.starts_with("/api/v1/nodes?"), "{}", call.path);
        assert!(
            call.path.contains("fieldSelector=metadata.name%3Dnode-1"),
            "{}",
            call.path
        );
        let is_watch = call.path.contains("watch=true");
        assert_eq!(is_watch, kind == "watch", "expected a {kind}: {}", call.path);
        call.answer
    }

    async fn list(&mut self, zone: &str) {
        let list = json!({
            "kind": "NodeList", "apiVersion": "v1",
            "metadata": { "resourceVersion": "10" }, "items": [node(zone)],
        });
        answer(self.call("list").await, StatusCode::OK, &list);
    }

    /// Takes the next watch; dropping what is returned breaks its connection.
    async fn watch(&mut self) -> Events {
        let (events, receiver) = mpsc::channel(1);
        let body = BodyExt::boxed(StreamBody::new(frames(receiver)));
        self.call("watch").await.send(Response::new(body)).unwrap();
        Events(events)
    }

    /// Waits until an attribute has a value.
    async fn expect(&mut self, key: &str, value: &str) {
        let has = |attributes: &ResourceAttributes| attributes.iter().any(|pair| pair == (key, value));
        within(self.attributes.wait_for(has)).await.unwrap();
    }

    fn seen(&self) -> Vec<(String, String)> {
        let attributes = self.attributes.borrow();
        attributes
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

struct Events(mpsc::Sender<Bytes>);

impl Events {
    async fn send(&self, kind: &str, object: Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.0.send(line.into()).await.unwrap();
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(30), future).await.unwrap()
}

/// Lines as they come; the end of the script is a broken connection, not the end of the body.
fn frames(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(line) => Some((Ok(Frame::data(line)), Some(receiver))),
            None => Some((Err(io::ErrorKind::ConnectionReset.into()), None)),
        }
    })
}

async fn serve(listener: TcpListener, calls: mpsc::Sender<Call>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let calls = calls.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let calls = calls.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let path = request.uri().to_string();
                calls.send(Call { path, answer }).await.unwrap();
                Ok::<_, Infallible>(answered.await.unwrap())
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(call: oneshot::Sender<Response<Body>>, status: StatusCode, body: &Value) {
    let body = Full::from(body.to_string())
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    call.send(response).unwrap();
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": reason, "reason": reason, "code": code,
    })
}

fn node(zone: &str) -> Value {
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": "node-1", "uid": "6f1c1c0e", "resourceVersion": "10",
            "labels": {
                "kubernetes.io/hostname": "node-1.local",
                "topology.kubernetes.io/region": "eu",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "providerID": "aws:///eu-1a/i-0123" },
        "status": { "nodeInfo": { "machineID": "ffff" }, "images": [{ "names": ["a"], "sizeBytes": 1 }] },
    })
}

#[tokio::test]
async fn the_node_is_what_the_host_says_until_the_api_server_knows_better() {
    let mut cluster = Cluster::start().await;
    let known = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let local = known(&[
        ("host.id", "abcd"),
        ("host.name", "host-1"),
        ("k8s.cluster.name", "lab"),
        ("k8s.node.name", "node-1"),
        ("team", "a"),
    ]);
    assert_eq!(cluster.seen(), local);
    cluster.list("eu-1a").await;
    cluster.expect("cloud.region", "eu").await;
    let all = known(&[
        ("cloud.availability_zone", "eu-1a"),
        ("cloud.region", "eu"),
        ("host.id", "i-0123"),
        ("host.name", "node-1.local"),
        ("k8s.cluster.name", "lab"),
        ("k8s.node.name", "node-1"),
        ("k8s.node.uid", "6f1c1c0e"),
        ("team", "a"),
    ]);
    assert_eq!(cluster.seen(), all);
}

#[tokio::test]
async fn a_changed_label_changes_the_attributes_and_anything_else_does_not() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    let events = cluster.watch().await;
    cluster.expect("cloud.availability_zone", "a").await;
    cluster.attributes.mark_unchanged();
    let mut heartbeat = node("a");
    heartbeat["status"]["conditions"] = json!([{ "type": "Ready" }]);
    events.send("MODIFIED", heartbeat).await;
    events.send("MODIFIED", node("b")).await;
    within(cluster.attributes.changed()).await.unwrap();
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_watch_whose_version_is_gone_lists_again() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    let events = cluster.watch().await;
    events.send("ERROR", status(410, "Expired")).await;
    cluster.list("b").await;
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again() {
    let mut cluster = Cluster::start().await;
    cluster.list("a").await;
    drop(cluster.watch().await);
    let events = cluster.watch().await;
    events.send("MODIFIED", node("b")).await;
    cluster.expect("cloud.availability_zone", "b").await;
}

#[tokio::test]
async fn a_refused_watch_keeps_what_the_host_knows_and_tries_again() {
    let mut cluster = Cluster::start().await;
    let call = cluster.call("list").await;
    answer(call, StatusCode::FORBIDDEN, &status(403, "Forbidden"));
    let call = cluster.call("list").await;
    assert_eq!(cluster.seen()[0], ("host.id".to_owned(), "abcd".to_owned()));
    answer(
        call,
        StatusCode::INTERNAL_SERVER_ERROR,
        &status(500, "InternalError"),
    );
    cluster.list("a").await;
    cluster.expect("host.id", "i-0123").await;
    assert!(!cluster.watch.is_finished());
}

#[test]
fn only_what_the_user_can_put_right_is_a_trouble() {
    let failed = |code| {
        let status = serde_json::from_value(status(code, "x")).unwrap();
        watcher::Error::InitialListFailed(kube::Error::Api(status))
    };
    assert_eq!(Trouble::of(&failed(403)), Some(Trouble::Forbidden));
    assert_eq!(Trouble::of(&failed(401)), Some(Trouble::Unauthorized));
    assert_eq!(Trouble::of(&failed(500)), Some(Trouble::Unreachable));
    assert_eq!(Trouble::of(&failed(410)), None);
    assert_eq!(Trouble::of(&watcher::Error::NoResourceVersion), None);
    for rule in RULES {
        let hint = Trouble::Forbidden.to_string();
        assert!(
            hint.contains(rule.resource) && rule.verbs.iter().all(|verb| hint.contains(verb)),
            "{hint}"
        );
    }
}
