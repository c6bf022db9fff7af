//! What is stamped is what was sent, with fields appended: nothing else moves.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    resource::v1::Resource,
};
use proptest::{collection::vec, prelude::*};
use prost::Message;

use super::{
    super::{
        scan::scan,
        tests::{RECORDED, delimited, edit, recorded, rich, signal, small, soup, text},
    },
    *,
};
use crate::model::Signal;

const LIMIT: ByteSize = ByteSize::mib(8);

fn attributes(pairs: &[(&str, &str)]) -> ResourceAttributes {
    let mut attributes = ResourceAttributes::default();
    for (key, value) in pairs {
        attributes.set(*key, *value);
    }
    attributes
}

fn stamped(signal: Signal, request: &[u8], attributes: &ResourceAttributes) -> Bytes {
    let request = Bytes::copy_from_slice(request);
    let found = scan(signal, &request).unwrap();
    enrich(&request, &found, &Stamp::new(attributes), LIMIT).unwrap()
}

/// What stamping means, said with decoded messages: each resource ends with the keys it did not have.
fn expected(signal: Signal, request: &[u8], added: &ResourceAttributes) -> Vec<u8> {
    fn stamp(resource: &mut Option<Resource>, added: &ResourceAttributes) {
        let had: Vec<String> = resource
            .iter()
            .flat_map(|resource| &resource.attributes)
            .map(|it| it.key.clone())
            .collect();
        let missing = added.iter().filter(|(key, _)| !had.iter().any(|had| had == key));
        let missing: Vec<_> = missing.map(|(key, value)| text(key, value)).collect();
        if !missing.is_empty() {
            resource.get_or_insert_default().attributes.extend(missing);
        }
    }
    match signal {
        Signal::Traces => {
            let mut request = ExportTraceServiceRequest::decode(request).unwrap();
            request
                .resource_spans
                .iter_mut()
                .for_each(|envelope| stamp(&mut envelope.resource, added));
            request.encode_to_vec()
        }
        Signal::Metrics => {
            let mut request = ExportMetricsServiceRequest::decode(request).unwrap();
            request
                .resource_metrics
                .iter_mut()
                .for_each(|envelope| stamp(&mut envelope.resource, added));
            request.encode_to_vec()
        }
        Signal::Logs => {
            let mut request = ExportLogsServiceRequest::decode(request).unwrap();
            request
                .resource_logs
                .iter_mut()
                .for_each(|envelope| stamp(&mut envelope.resource, added));
            request.encode_to_vec()
        }
    }
}

fn reencoded(signal: Signal, request: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(request).map(|request| request.encode_to_vec()),
        Signal::Metrics => {
            ExportMetricsServiceRequest::decode(request).map(|request| request.encode_to_vec())
        }
        Signal::Logs => ExportLogsServiceRequest::decode(request).map(|request| request.encode_to_vec()),
    }
    .unwrap()
}

/// Takes the fields of a stamp out of a stamped request again, with the lengths in front of them.
fn stripped(request: &[u8], stamp: &Stamp) -> Vec<u8> {
    let is_ours = |field: &[u8]| stamp.entries.iter().any(|entry| entry.field == field);
    let resource = |resource: &[u8]| {
        let rest = rewritten(resource, |attribute| {
            (!is_ours(&delimited(1, attribute))).then(|| attribute.into())
        });
        (!rest.is_empty()).then_some(rest)
    };
    rewritten(request, |envelope| Some(rewritten(envelope, resource)))
}

/// A message whose delimited fields of number 1 are changed, or left out.
fn rewritten(message: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let (mut fields, mut out) = (Reader::new(message), Vec::new());
    loop {
        let start = message.len() - fields.left();
        let Some(field) = fields.field().unwrap() else {
            return out;
        };
        if field.number() == 1 {
            let value = change(fields.read_bytes(field).unwrap());
            out.extend(value.into_iter().flat_map(|value| delimited(1, &value)));
        } else {
            fields.pass(field).unwrap();
            out.extend_from_slice(&message[start..message.len() - fields.left()]);
        }
    }
}

fn added() -> impl Strategy<Value = Vec<(String, String)>> {
    // Some keys are those that the samples have.
    let key = prop_oneof![
        Just("service.name".to_owned()),
        Just("host.name".to_owned()),
        "[a-z.]{0,4}",
        "[a-z]{200}"
    ];
    vec((key, "[a-zü]{1,150}"), 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn stamping_equals_pushing_attributes_at_the_end(
        signal in signal(), fields in vec(soup(), 0..4), edits in vec(edit(), 0..4), pairs in added(), real in any::<bool>(),
    ) {
        let mut request = if real { rich(signal) } else { fields.concat() };
        for edit in edits {
            edit.apply(&mut request);
        }
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let added = attributes(&pairs);
        if scan(signal, &request).is_ok() {
            let stamped = stamped(signal, &request, &added);
            prop_assert_eq!(reencoded(signal, &stamped), expected(signal, &request, &added));
        }
    }
}

fn check_identity(signal: Signal, request: &[u8]) {
    let long = "x".repeat(300);
    let added = attributes(&[
        ("k8s.node.name", "worker-1"),
        ("host.name", "not mine"),
        ("long", &long),
    ]);
    let stamped = stamped(signal, request, &added);
    assert!(stamped.len() > request.len() + long.len(), "nothing was added");
    assert_eq!(stripped(&stamped, &Stamp::new(&added)), request);
}

#[test]
fn without_what_was_appended_a_request_is_what_was_sent() {
    for signal in Signal::ALL {
        check_identity(signal, &rich(signal));
        check_identity(signal, &small(signal));
    }
}

#[test]
fn without_what_was_appended_each_recorded_request_is_what_was_sent() {
    for component in RECORDED {
        for request in recorded(component) {
            check_identity(Signal::Traces, &request);
        }
    }
}

#[test]
fn nothing_is_copied_when_nothing_is_missing() {
    let request = Bytes::from(small(Signal::Traces));
    let found = scan(Signal::Traces, &request).unwrap();
    for pairs in [&[][..], &[("service.name", "a"), ("host.name", "b")]] {
        let stamp = Stamp::new(&attributes(pairs));
        let stamped = enrich(&request, &found, &stamp, LIMIT).unwrap();
        assert_eq!(stamped.as_ptr(), request.as_ptr());
    }
}

#[test]
fn a_request_that_would_grow_manifold_is_too_large() {
    let request = Bytes::from(delimited(1, b"").repeat(100_000));
    let found = scan(Signal::Logs, &request).unwrap();
    let stamp = Stamp::new(&attributes(&[("k8s.node.name", &"x".repeat(100))]));
    assert!(matches!(
        enrich(&request, &found, &stamp, LIMIT),
        Err(Fault::TooLarge(LIMIT))
    ));
}
