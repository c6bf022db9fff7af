//! What an operator asks of this process: `/metrics`, `/traces`, `/livez`, `/readyz`, `/startupz`.
//!
//! It reads snapshots and changes nothing. It runs on a runtime of its own, so that it still answers when
//! the data path does not.

mod open_metrics;
mod serve;
mod tls;

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;
use tokio::{sync::watch, time::Instant};

pub use self::{
    open_metrics::name as metric_name,
    serve::{BindError, Server},
};
use crate::{
    model::{Watchdog, metric::Family},
    telemetry::{CONTENT_TYPE, END},
};

/// The story that is told where no other is asked for.
const POD_START: &str = "pod start";

/// Where to answer, and to whom.
#[derive(Clone, Debug)]
pub struct Config {
    pub address: SocketAddr,
    /// A file with the bearer token that `/metrics` and `/traces` then ask for; probes stay open, as kubelet has none.
    pub bearer_token_file: Option<PathBuf>,
    pub tls: Option<Tls>,
}

/// PEM files of the server's certificate chain and key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Running,
    Draining,
}

/// What is told of traces, once it is.
pub type Told = BoxFuture<'static, Result<String, Untold>>;

/// What the answers are made of.
pub struct View {
    /// Writes the metrics of the process in the `OpenMetrics` text format, without the end.
    pub metrics: Box<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>,
    /// What was measured of the components, shown beside them.
    pub families: watch::Receiver<Arc<[Family]>>,
    /// Tells in JSON which traces of pods there are, or the one that is asked for.
    pub traces: Box<dyn Fn(Option<Wanted>) -> Told + Send + Sync>,
    pub watchdog: Mutex<Watchdog>,
    pub phase: watch::Receiver<Phase>,
}

/// The latest trace of a pod that tells this story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `[NAMESPACE/]NAME`, or a UID.
    pub pod: String,
    /// The name of its root.
    pub story: String,
}

/// Why no trace is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// There is none.
    Unknown,
    /// For this reason.
    Because(String),
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            metrics: _,
            families: _,
            traces: _,
            watchdog,
            phase,
        } = self;
        f.debug_struct("View")
            .field("watchdog", watchdog)
            .field("phase", phase)
            .finish_non_exhaustive()
    }
}

impl View {
    fn page(&self) -> Result<String, fmt::Error> {
        let mut page = (self.metrics)()?;
        let families = Arc::clone(&self.families.borrow());
        open_metrics::write(&families, &mut page)?;
        page.push_str(END);
        Ok(page)
    }
}

#[derive(Debug)]
struct Desk {
    view: View,
    started: Instant,
    bearer_token_file: Option<PathBuf>,
}

fn router(view: View, bearer_token_file: Option<PathBuf>) -> Router {
    let desk = Desk {
        view,
        started: Instant::now(),
        bearer_token_file,
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/traces", get(traces))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .with_state(Arc::new(desk))
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = desk.refuse(&headers) {
        return refusal;
    }
    match desk.view.page() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("encode metrics: {error}\n"),
        )
            .into_response(),
    }
}

/// With `?pod=[NAMESPACE/]NAME`, or a UID, the latest trace of that pod's start, or of `&story=pod stop` and the like;
/// without, what there are traces of.
async fn traces(State(desk): State<Arc<Desk>>, headers: HeaderMap, uri: Uri) -> Response {
    if let Some(refusal) = desk.refuse(&headers) {
        return refusal;
    }
    let parameter = |name: &str| {
        let mut pairs = uri.query().into_iter().flat_map(|query| query.split('&'));
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let wanted = parameter("pod").map(|pod| Wanted {
        pod,
        story: parameter("story").unwrap_or_else(|| POD_START.to_owned()),
    });
    match (desk.view.traces)(wanted).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(Untold::Unknown) => {
            let text = "the agent of this node has no such trace\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
        Err(Untold::Because(why)) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

/// False when a worker of the data path has work and makes no progress.
async fn livez(State(desk): State<Arc<Desk>>) -> Response {
    let now = desk.started.elapsed();
    let mut watchdog = desk.view.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
    let stuck = watchdog.stuck(now);
    verdict(stuck.is_empty(), || format!("no progress: {}", stuck.join(", ")))
}

/// False before requests are accepted and while the process drains.
async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let phase = *desk.view.phase.borrow();
    verdict(phase == Phase::Running, || format!("{phase:?}").to_lowercase())
}

/// False until requests are accepted.
async fn startupz(State(desk): State<Arc<Desk>>) -> Response {
    let phase = *desk.view.phase.borrow();
    verdict(phase != Phase::Starting, || "starting".to_owned())
}

fn verdict(good: bool, otherwise: impl FnOnce() -> String) -> Response {
    if good {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, otherwise() + "\n").into_response()
    }
}

impl Desk {
    /// The answer to a request without the right token. The file is read each time: a secret that is
    /// rotated holds at once, and scrapes are rare.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        let file = self.bearer_token_file.as_ref()?;
        let Ok(token) = std::fs::read(file) else {
            let text = "the bearer token file cannot be read\n";
            return Some((StatusCode::INTERNAL_SERVER_ERROR, text).into_response());
        };
        let token = token.trim_ascii();
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .unwrap_or_default();
        if !token.is_empty() && bool::from(given.ct_eq(token)) {
            return None;
        }
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        Some(
            (
                StatusCode::UNAUTHORIZED,
                challenge,
                "a bearer token is required\n",
            )
                .into_response(),
        )
    }
}

#[cfg(test)]
mod tests;
