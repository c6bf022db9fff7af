//! OTLP/JSON, turned into protobuf at the door so that all else knows one form.
//!
//! In: a request as JSON, as OTLP maps it: ids in hexadecimal, 64-bit integers as strings or numbers,
//! enumerations as integers, unknown fields ignored. Out: the same request as protobuf. This is the one place
//! where a request is decoded: none of the components sends JSON, people with curl do.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use serde::de::DeserializeOwned;

use super::{budget::Reservation, fault::Fault};
use crate::model::Signal;

/// What an object takes in memory, whose text may be as short as `{},`: about the size of a `Span`.
const OBJECT: usize = 256;

pub(super) fn to_protobuf(
    signal: Signal,
    json: &[u8],
    reservation: &mut Reservation,
) -> Result<Bytes, Fault> {
    let objects = json.split(|byte| *byte == b'{').count();
    reservation.grow(objects.saturating_mul(OBJECT))?;
    match signal {
        Signal::Traces => convert::<ExportTraceServiceRequest>(json),
        Signal::Metrics => convert::<ExportMetricsServiceRequest>(json),
        Signal::Logs => convert::<ExportLogsServiceRequest>(json),
    }
}

fn convert<M: DeserializeOwned + Message>(json: &[u8]) -> Result<Bytes, Fault> {
    let request: M = serde_json::from_slice(json).map_err(Fault::Json)?;
    Ok(request.encode_to_vec().into())
}
