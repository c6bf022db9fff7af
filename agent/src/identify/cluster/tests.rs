//! The watches against a scripted API server on loopback: every request waits for the test's answer.

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
use kube::runtime::watcher;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::*;

mod node;
mod pods;

/// The instant of everything.
const NOW: Nanos<Wall> = Nanos::new(1_800_000_000_000_000_007);

type Body = BoxBody<Bytes, io::Error>;

/// A request that waits for its answer.
struct Call {
    path: String,
    answer: oneshot::Sender<Response<Body>>,
}

/// One kind of object at the API server: what is asked for it.
struct Script {
    path: &'static str,
    /// The only objects that may be asked for.
    fields: &'static str,
    calls: mpsc::Receiver<Call>,
}

/// Both watches, and the API server they talk to.
struct Cluster {
    nodes: Script,
    pods: Script,
    attributes: watch::Receiver<ResourceAttributes>,
    events: mpsc::Receiver<PodEvent>,
    registry: Registry,
    running: JoinHandle<()>,
    _kubeconfig: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (nodes_sender, nodes) = Script::new("/api/v1/nodes", "metadata.name%3Dnode-1");
        let (pods_sender, pods) = Script::new("/api/v1/pods", "spec.nodeName%3Dnode-1");
        tokio::spawn(serve(
            listener,
            [(nodes.path, nodes_sender), (pods.path, pods_sender)],
        ));
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
        let (cluster, attributes, events) = super::Cluster::new(config, host, || NOW);
        let mut registry = Registry::default();
        cluster.metrics().register(&mut registry);
        Self {
            nodes,
            pods,
            attributes,
            events,
            registry,
            running: tokio::spawn(cluster.run()),
            _kubeconfig: folder,
        }
    }
}

impl Script {
    fn new(path: &'static str, fields: &'static str) -> (mpsc::Sender<Call>, Self) {
        let (sender, calls) = mpsc::channel(1);
        (sender, Self { path, fields, calls })
    }

    /// The next request, which must be for what is this node's alone.
    async fn call(&mut self, parameters: &[&str]) -> oneshot::Sender<Response<Body>> {
        let Call { path, answer } = within(self.calls.recv()).await.unwrap();
        let (_, query) = path.split_once('?').unwrap();
        let has = |parameter: &str| query.split('&').any(|given| given == parameter);
        assert!(has(&format!("fieldSelector={}", self.fields)), "{path}");
        assert!(parameters.iter().all(|parameter| has(parameter)), "{path}");
        assert_eq!(has("watch=true"), !parameters.is_empty(), "{path}");
        answer
    }

    /// Answers the next request, which must be for a list.
    async fn list(&mut self, version: &str, items: &[Value]) {
        let list = json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": { "resourceVersion": version }, "items": items,
        });
        answer(self.call(&[]).await, StatusCode::OK, &list);
    }

    /// Takes the next request, which must be for what comes after a version; dropping what is returned breaks the
    /// connection.
    async fn watch(&mut self, version: &str) -> Events {
        let (events, receiver) = mpsc::channel(1);
        let body = BodyExt::boxed(StreamBody::new(frames(receiver)));
        let after = format!("resourceVersion={version}");
        let call = self
            .call(&["watch=true", "allowWatchBookmarks=true", &after])
            .await;
        call.send(Response::new(body)).unwrap();
        Events(events)
    }

    /// Refuses the next request.
    async fn refuse(&mut self, code: StatusCode) {
        answer(self.call(&[]).await, code, &status(code.as_u16(), "refused"));
    }
}

/// What the API server tells; none for the end of a watch that has lasted long enough.
struct Events(mpsc::Sender<Option<Bytes>>);

impl Events {
    async fn send(&self, kind: &str, object: Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.0.send(Some(line.into())).await.unwrap();
    }

    async fn end(self) {
        self.0.send(None).await.unwrap();
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(30), future).await.unwrap()
}

/// Lines as they come; a script that ends without an end is a broken connection.
fn frames(receiver: mpsc::Receiver<Option<Bytes>>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(line) => Some((Ok(Frame::data(line?)), Some(receiver))),
            None => Some((Err(io::ErrorKind::ConnectionReset.into()), None)),
        }
    })
}

async fn serve(listener: TcpListener, scripts: [(&'static str, mpsc::Sender<Call>); 2]) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let scripts = scripts.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let scripts = scripts.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let path = request.uri().to_string();
                let script = scripts.iter().find(|(path, _)| *path == request.uri().path());
                script.unwrap().1.send(Call { path, answer }).await.unwrap();
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

#[test]
fn only_what_the_user_can_put_right_is_a_trouble() {
    let failed = |code| {
        let status = serde_json::from_value(status(code, "x")).unwrap();
        watcher::Error::InitialListFailed(kube::Error::Api(status))
    };
    for rule in RULES.iter().copied() {
        assert_eq!(Trouble::of(&failed(403), rule), Some(Trouble::Forbidden(rule)));
        assert_eq!(Trouble::of(&failed(401), rule), Some(Trouble::Unauthorized));
        assert_eq!(Trouble::of(&failed(500), rule), Some(Trouble::Unreachable));
        assert_eq!(Trouble::of(&failed(410), rule), None);
        assert_eq!(Trouble::of(&watcher::Error::NoResourceVersion, rule), None);
        let hint = Trouble::Forbidden(rule).to_string();
        assert!(
            hint.contains(rule.resource) && rule.verbs.iter().all(|verb| hint.contains(verb)),
            "{hint}"
        );
    }
}
