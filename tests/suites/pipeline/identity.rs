//! What real components sent arrives byte for byte, apart from the attributes appended to each resource.

use bytes::{Buf as _, Bytes};
use http::header::CONTENT_TYPE;
use innerspan::model::Signal;
use opentelemetry_proto::tonic::{common::v1::KeyValue, resource::v1::Resource};
use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};
use serde_json::json;
use tests::{
    client::{Grpc, post},
    collector::Collector,
    metrics::Account,
    recording::recorded,
    request::Request,
};

use crate::{agent, endpoint};

/// `ExportTraceServiceRequest.resource_spans`, `ResourceSpans.resource` and `Resource.attributes`.
const FIRST: u32 = 1;

/// What the agent of this test appends: what it knows of the host and is told of the cluster.
const APPENDED: [&str; 4] = ["host.id", "host.name", "k8s.cluster.name", "k8s.node.name"];

#[test]
fn what_real_components_sent_arrives_byte_for_byte() {
    let (grpc, http) = (Collector::start(), Collector::start());
    let endpoints = [
        endpoint(
            &grpc,
            json!({"name": "grpc", "protocol": "grpc", "compression": "gzip"}),
        ),
        endpoint(
            &http,
            json!({"name": "http", "protocol": "http", "compression": "none"}),
        ),
    ];
    let cluster = json!({"identify": {"cluster": {"cluster_name": "lab"}}});
    let agent = agent(&endpoints, cluster);
    let client = Grpc::connect(&agent.grpc());
    let (mut sent, mut spans) = (Vec::new(), 0);
    for request in recorded() {
        client.send_bytes(Signal::Traces, request.clone()).unwrap();
        let headers = [(CONTENT_TYPE, "application/x-protobuf")];
        let reply = post(&agent.http(), Signal::Traces, &headers, request.clone());
        assert_eq!(reply.status, 200);

        let resource_spans = members(&request);
        sent.extend(resource_spans.iter().cloned().chain(resource_spans.clone()));
        spans += 2 * Request::decode(Signal::Traces, &request).numbers().len() as u64;
    }
    sent.sort_unstable();
    for (name, collector) in [("grpc", &grpc), ("http", &http)] {
        agent.until_account(name, Signal::Traces, &Account::exported(spans));
        let arrivals = collector.arrivals();
        let arrived = arrivals.iter().flat_map(|arrival| members(&arrival.message));
        let mut arrived: Vec<_> = arrived.map(|resource_spans| as_sent(&resource_spans)).collect();
        arrived.sort_unstable();
        assert_eq!(arrived.len(), sent.len(), "{name}");
        // Not by assert_eq: nobody reads megabytes of bytes.
        let same = arrived
            .iter()
            .zip(&sent)
            .filter(|(arrived, sent)| arrived == sent);
        assert_eq!(same.count(), sent.len(), "{name}: so many are as they were sent");
    }
}

/// The `ResourceSpans` of a request, which are all that it has.
fn members(request: &Bytes) -> Vec<Bytes> {
    let member = |field: Field| {
        assert_eq!(field.number, FIRST);
        field.value
    };
    fields(request).into_iter().map(member).collect()
}

/// `ResourceSpans` without what was appended to its resource.
fn as_sent(resource_spans: &Bytes) -> Bytes {
    let mut sent = Vec::new();
    for field in fields(resource_spans) {
        if field.number != FIRST {
            sent.extend_from_slice(&field.whole);
            continue;
        }
        let resource = without_appended(&field.value);
        encode_key(FIRST, WireType::LengthDelimited, &mut sent);
        encode_varint(resource.len() as u64, &mut sent);
        sent.extend_from_slice(&resource);
    }
    sent.into()
}

fn without_appended(resource: &Bytes) -> Bytes {
    let is_appended = |field: &Field| {
        field.number == FIRST
            && APPENDED.contains(&KeyValue::decode(field.value.clone()).unwrap().key.as_str())
    };
    let fields = fields(resource);
    let appended = fields.iter().rev().take_while(|field| is_appended(field));
    let length: usize = appended.map(|field| field.whole.len()).sum();
    let (sent, appended) = (
        resource.slice(..resource.len() - length),
        resource.slice(resource.len() - length..),
    );
    let appended = Resource::decode(appended).unwrap().attributes;
    assert!(appended.iter().any(|attribute| attribute.key == "k8s.node.name"));
    sent
}

/// A field of a message.
struct Field {
    number: u32,
    /// With its key and length.
    whole: Bytes,
    /// Without; empty for a number.
    value: Bytes,
}

fn fields(message: &Bytes) -> Vec<Field> {
    let (mut rest, mut fields) = (message.clone(), Vec::new());
    while rest.has_remaining() {
        let mut whole = rest.clone();
        let (number, wire_type) = decode_key(&mut rest).unwrap();
        let mut value = rest.clone();
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).unwrap();
        whole.truncate(whole.len() - rest.len());
        value.truncate(value.len() - rest.len());
        if wire_type == WireType::LengthDelimited {
            decode_varint(&mut value).unwrap();
        } else {
            value.clear();
        }
        fields.push(Field { number, whole, value });
    }
    fields
}
