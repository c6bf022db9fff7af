//! JSON is understood as opentelemetry-proto understands it; what does not fit names its field.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    super::{budget::Budget, tests::rich},
    *,
};
use crate::model::ByteSize;

fn convert(signal: Signal, json: &str) -> Result<Bytes, Fault> {
    to_protobuf(
        signal,
        json.as_bytes(),
        &mut Budget::new(ByteSize::mib(1)).reserve(),
    )
}

/// The request and the JSON that `opentelemetry-proto` makes of it.
fn pair<M>(signal: Signal) -> (M, String)
where
    M: prost::Message + Default + serde::Serialize,
{
    let request = M::decode(&*rich(signal)).unwrap();
    let json = serde_json::to_string(&request).unwrap();
    (request, json)
}

#[test]
fn all_that_otlp_can_say_in_json_is_understood() {
    let (request, json) = pair::<ExportTraceServiceRequest>(Signal::Traces);
    let traces = convert(Signal::Traces, &json).unwrap();
    assert_eq!(ExportTraceServiceRequest::decode(traces).unwrap(), request);
    let (request, json) = pair::<ExportMetricsServiceRequest>(Signal::Metrics);
    let metrics = convert(Signal::Metrics, &json).unwrap();
    assert_eq!(ExportMetricsServiceRequest::decode(metrics).unwrap(), request);
    let (request, json) = pair::<ExportLogsServiceRequest>(Signal::Logs);
    let logs = convert(Signal::Logs, &json).unwrap();
    assert_eq!(ExportLogsServiceRequest::decode(logs).unwrap(), request);
}

/// The examples of <https://github.com/open-telemetry/opentelemetry-proto/tree/v1.10.0/examples>, Apache-2.0.
#[test]
fn the_examples_of_otlp_are_understood_as_by_opentelemetry_proto() {
    macro_rules! check {
        ($signal:ident, $request:ty, $file:literal) => {
            let json = include_str!(concat!("../../../../../tests/data/otlp/examples/", $file));
            let ours = <$request>::decode(convert(Signal::$signal, json).unwrap()).unwrap();
            assert_eq!(ours, serde_json::from_str::<$request>(json).unwrap(), $file);
        };
    }
    check!(Traces, ExportTraceServiceRequest, "trace.json");
    check!(Metrics, ExportMetricsServiceRequest, "metrics.json");
    check!(Logs, ExportLogsServiceRequest, "logs.json");
    check!(Logs, ExportLogsServiceRequest, "events.json");
}

fn point(point: &Value) -> Result<Bytes, Fault> {
    let metric = json!({ "gauge": { "dataPoints": [point] } });
    let request = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] });
    convert(Signal::Metrics, &request.to_string())
}

#[test]
fn integers_are_numbers_or_strings_and_doubles_have_names_for_what_is_no_number() {
    for (one, other) in [
        (json!({ "asInt": "-7" }), json!({ "asInt": -7 })),
        (
            json!({ "timeUnixNano": "1700000000000000000" }),
            json!({ "timeUnixNano": 1_700_000_000_000_000_000_u64 }),
        ),
        (json!({ "asDouble": "0.5" }), json!({ "asDouble": 0.5 })),
        (json!({ "asDouble": 3 }), json!({ "asDouble": 3.0 })),
    ] {
        assert_eq!(point(&one).unwrap(), point(&other).unwrap(), "{one} and {other}");
    }
    for (name, expected) in [
        ("NaN", f64::NAN),
        ("Infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ] {
        let request = point(&json!({ "asDouble": name })).unwrap();
        assert!(request.ends_with(&expected.to_le_bytes()), "{name}");
    }
}

#[test]
fn unknown_fields_and_null_are_nothing() {
    let plain = point(&json!({ "asInt": 1, "attributes": [{ "key": "a", "value": {} }] })).unwrap();
    let newer = json!({
        "asInt": 1, "exemplars": null, "newer": [{ "a": 1 }],
        "attributes": [{ "key": "a", "value": { "newerValue": { "a": [1] } } }],
    });
    assert_eq!(point(&newer).unwrap(), plain);
}

#[test]
fn base64_is_taken_in_both_alphabets_with_and_without_padding() {
    let value = |text: &str| point(&json!({ "attributes": [{ "value": { "bytesValue": text } }] })).unwrap();
    let expected = value("+/8=");
    assert!(expected.ends_with(&[0xfb, 0xff]));
    for text in ["-_8=", "+/8", "-_8"] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn what_does_not_fit_its_field_is_an_error_that_names_it() {
    for (wrong, field) in [
        (json!({ "asInt": "seven" }), "asInt"),
        (json!({ "asInt": 1.5 }), "asInt"),
        (json!({ "asInt": 9_223_372_036_854_775_808_u64 }), "asInt"),
        (json!({ "asDouble": "much" }), "asDouble"),
        (json!({ "timeUnixNano": -1 }), "timeUnixNano"),
        (json!({ "flags": 4_294_967_296_u64 }), "flags"),
        (json!({ "exemplars": {} }), "exemplars"),
        (json!({ "exemplars": [{ "traceId": "0g" }] }), "traceId"),
        (json!({ "exemplars": [{ "traceId": "abc" }] }), "traceId"),
        (json!({ "attributes": [{ "key": 1 }] }), "key"),
        (
            json!({ "attributes": [{ "value": { "boolValue": "true" } }] }),
            "boolValue",
        ),
        (
            json!({ "attributes": [{ "value": { "bytesValue": "?" } }] }),
            "bytesValue",
        ),
    ] {
        let fault = point(&wrong).unwrap_err();
        assert!(
            matches!(&fault, Fault::Json(_)) && fault.to_string().contains(field),
            "{wrong}: {fault}"
        );
    }
    assert!(matches!(convert(Signal::Logs, "{} {}"), Err(Fault::Json(_))));
}
