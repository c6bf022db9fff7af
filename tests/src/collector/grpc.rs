//! The collector's OTLP/gRPC services.

use std::{future, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tonic::{Response, Status, codec::CompressionEncoding, service::Routes};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Answer, Record};
use crate::request::Request;

/// Above anything that a test sends, so that only the script refuses.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

#[derive(Clone)]
struct Receiver(Arc<Record>);

// === impl Receiver ===

impl Receiver {
    /// How many items were rejected.
    async fn take<T>(
        &self,
        request: tonic::Request<T>,
        signal: fn(T) -> Request,
    ) -> Result<Option<i64>, Status> {
        let certified = request.peer_certs().is_some();
        let (metadata, _, message) = request.into_parts();
        match self.0.take(signal(message), metadata.into_headers(), certified) {
            Answer::Accept => Ok(None),
            Answer::Partial(rejected) => Ok(Some(rejected.try_into().unwrap())),
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

fn later(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(tonic::Code::Unavailable, "as the script says", details)
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let rejected = self.take(request, Request::Traces).await?;
        let partial_success = rejected.map(|rejected_spans| ExportTracePartialSuccess {
            rejected_spans,
            error_message: "as the script says".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let rejected = self.take(request, Request::Metrics).await?;
        let partial_success = rejected.map(|rejected_data_points| ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message: "as the script says".to_owned(),
        });
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let rejected = self.take(request, Request::Logs).await?;
        let partial_success = rejected.map(|rejected_log_records| ExportLogsPartialSuccess {
            rejected_log_records,
            error_message: "as the script says".to_owned(),
        });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

pub(super) fn routes(record: &Arc<Record>) -> Routes {
    let receiver = || Receiver(Arc::clone(record));
    let (gzip, zstd) = (CompressionEncoding::Gzip, CompressionEncoding::Zstd);
    let traces = TraceServiceServer::new(receiver());
    let metrics = MetricsServiceServer::new(receiver());
    let logs = LogsServiceServer::new(receiver());
    Routes::new(
        traces
            .accept_compressed(gzip)
            .accept_compressed(zstd)
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .add_service(
        metrics
            .accept_compressed(gzip)
            .accept_compressed(zstd)
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .add_service(
        logs.accept_compressed(gzip)
            .accept_compressed(zstd)
            .max_decoding_message_size(MAX_MESSAGE),
    )
}
