//! The collector's OTLP/gRPC services.

use std::{future, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use innerspan::model::Signal;
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    server::{Grpc, UnaryService},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Answer, Record, response};
use crate::raw::{Raw, export_of};

/// Above anything that a test sends, so that only the script refuses.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// The one method of a signal's service.
#[derive(Clone)]
struct Export {
    record: Arc<Record>,
    signal: Signal,
}

// === impl Export ===

impl Export {
    async fn answer(self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let certified = request.peer_certs().is_some();
        let (metadata, _, message) = request.into_parts();
        let headers = metadata.into_headers();
        match self.record.take(self.signal, message, headers, certified) {
            Answer::Accept => Ok(Response::new(response(None))),
            Answer::Partial(rejected) => Ok(Response::new(response(Some(rejected)))),
            Answer::Unavailable(None) => Err(Status::unavailable("as the script says")),
            Answer::Unavailable(Some(delay)) => Err(later(delay)),
            Answer::TooLarge => Err(Status::resource_exhausted(
                "grpc: received message larger than max (2 vs. 1)",
            )),
            Answer::Exhausted => Err(Status::resource_exhausted("as the script says")),
            Answer::Malformed => Err(Status::invalid_argument("as the script says")),
            Answer::Hang => future::pending().await,
        }
    }
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

fn later(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(tonic::Code::Unavailable, "as the script says", details)
}

/// The method of every signal.
pub(super) fn routes(record: &Arc<Record>) -> Router {
    Signal::ALL.into_iter().fold(Router::new(), |router, signal| {
        let record = Arc::clone(record);
        let export = Export { record, signal };
        let serve = move |request: http::Request<Body>| async move {
            Grpc::new(Raw)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(MAX_MESSAGE)
                .unary(export, request)
                .await
        };
        router.route(export_of(signal), post(serve))
    })
}
