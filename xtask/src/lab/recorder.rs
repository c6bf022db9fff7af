//! Keeps what the collector sends on, so that the lab can see what arrived.
//!
//! In: OTLP over HTTP on the bridge, from the collector's exporter. Out: a file of requests, each
//! behind its length as a varint, exactly as they came. It does not look into them.

use std::{
    fs::File,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::{Message as _, bytes::Buf as _, encoding::encode_varint};

/// Where the record is, in the lab's directory.
pub(crate) const FILE: &str = "received.binpb";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    address: SocketAddr,
    file: PathBuf,
}

/// Serves until it is killed.
pub(crate) fn serve(args: &Args) -> anyhow::Result<()> {
    let file = File::create(&args.file).with_context(|| format!("cannot write {}", args.file.display()))?;
    let app = Router::new()
        .route("/v1/traces", post(record))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(Arc::new(Mutex::new(file)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.address)
            .await
            .with_context(|| format!("cannot listen on {}", args.address))?;
        axum::serve(listener, app).await.context("the recorder stopped")
    })
}

async fn record(State(file): State<Arc<Mutex<File>>>, request: Bytes) -> StatusCode {
    let mut framed = Vec::with_capacity(request.len() + 10);
    encode_varint(request.len() as u64, &mut framed);
    framed.extend_from_slice(&request);
    // One write per request, so that a reader sees whole ones but for the last.
    let written = file
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write_all(&framed);
    match written {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// Reads what was recorded so far.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<ExportTraceServiceRequest>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rest = bytes.as_slice();
    let mut requests = Vec::new();
    while rest.has_remaining() {
        match ExportTraceServiceRequest::decode_length_delimited(&mut rest) {
            Ok(request) => requests.push(request),
            // The last one is being written.
            Err(_) => break,
        }
    }
    Ok(requests)
}
