//! The scan agrees with prost on every input, counts by component, and names what is malformed.

use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        oracle,
        tests::{RECORDED, delimited, edit, recorded, rich, signal, soup, varint},
    },
    *,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bytes_at_random_are_judged_as_prost_judges_them(signal in signal(), bytes in vec(any::<u8>(), 0..64)) {
        oracle::check(signal, &bytes);
    }

    #[test]
    fn any_fields_are_judged_as_prost_judges_them(signal in signal(), fields in vec(soup(), 0..4)) {
        oracle::check(signal, &fields.concat());
    }

    #[test]
    fn requests_with_faults_are_judged_as_prost_judges_them(signal in signal(), edits in vec(edit(), 0..5)) {
        let mut request = rich(signal);
        for edit in edits {
            edit.apply(&mut request);
        }
        oracle::check(signal, &request);
    }
}

proptest! {
    // These requests are large: a few of them, each with its faults elsewhere.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn recorded_requests_with_faults_are_judged_as_prost_judges_them(
        which in any::<prop::sample::Index>(), edits in vec(edit(), 1..4),
    ) {
        let mut request = which.get(&recorded(Component::Kubelet)).to_vec();
        for edit in edits {
            edit.apply(&mut request);
        }
        oracle::check(Signal::Traces, &request);
    }
}

/// Checks what is found in a request, against prost too.
fn check(signal: Signal, request: &[u8], expected: Result<(Component, u64), Malformed>) {
    oracle::check(signal, request);
    let found = scan(signal, request).map(|found| {
        let component = Component::ALL
            .into_iter()
            .find(|component| found.tally.of(*component) > 0);
        (component.unwrap_or(Component::Other), found.tally.total())
    });
    assert_eq!(found, expected);
}

#[test]
fn items_are_counted_for_the_component_of_their_resource() {
    let found = scan(Signal::Traces, &rich(Signal::Traces)).unwrap();
    oracle::check(Signal::Traces, &rich(Signal::Traces));
    assert_eq!(
        (
            found.tally.of(Component::KubeApiserver),
            found.tally.of(Component::Other)
        ),
        (3, 1)
    );
    assert_eq!(found.resources, 2);
    check(
        Signal::Metrics,
        &rich(Signal::Metrics),
        Ok((Component::Containerd, 7)),
    );
    check(Signal::Logs, &rich(Signal::Logs), Ok((Component::Etcd, 1)));
}

#[test]
fn every_recorded_span_is_counted_for_the_component_that_sent_it() {
    for component in RECORDED {
        for request in recorded(component) {
            oracle::check(Signal::Traces, &request);
            let found = scan(Signal::Traces, &request).unwrap();
            assert!(found.tally.total() > 0);
            assert_eq!(found.tally.of(component), found.tally.total());
            assert_eq!(found.irregular, Irregularities::default());
        }
    }
}

#[test]
fn irregular_spans_are_counted_by_kind_and_pass() {
    let found = scan(Signal::Traces, &rich(Signal::Traces)).unwrap();
    assert_eq!(Irregular::ALL.map(|kind| found.irregular.of(kind)), [1, 1, 1]);
}

#[test]
fn a_resource_behind_its_spans_names_their_component() {
    let scope = delimited(2, &delimited(2, b""));
    let name = [
        delimited(1, b"service.name"),
        delimited(2, &delimited(1, b"kubelet")),
    ]
    .concat();
    let resource = delimited(1, &delimited(1, &name));
    check(
        Signal::Traces,
        &delimited(1, &[scope, resource].concat()),
        Ok((Component::Kubelet, 1)),
    );
}

#[test]
fn the_last_kind_of_data_of_a_metric_counts() {
    let metric = |kinds: &[u64]| {
        let points = |kind: &u64| delimited(*kind, &[delimited(1, b""), delimited(1, b"")].concat());
        let metric: Vec<u8> = kinds.iter().flat_map(points).collect();
        delimited(1, &delimited(2, &delimited(2, &metric)))
    };
    check(Signal::Metrics, &metric(&[5, 7]), Ok((Component::Other, 2)));
    check(Signal::Metrics, &metric(&[7, 7]), Ok((Component::Other, 4)));
    check(Signal::Metrics, &metric(&[7, 5, 7]), Ok((Component::Other, 2)));
}

#[test]
fn nothing_is_a_valid_request() {
    for signal in Signal::ALL {
        check(signal, b"", Ok((Component::Other, 0)));
    }
}

#[test]
fn every_way_to_be_malformed_has_its_name() {
    let span = |span: &[u8]| delimited(1, &delimited(2, &delimited(2, span)));
    let cases: [(&[u8], Malformed); 9] = [
        (b"\x0a\x05abc", Malformed::Truncated),
        (
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            Malformed::Truncated,
        ),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Malformed::Varint),
        (b"\x02\x00", Malformed::Number),
        (b"\x80\x80\x80\x80\x10\x00", Malformed::Number),
        (b"\x08\x00", Malformed::WireType(1)),
        (b"\x7f", Malformed::WireType(15)),
        (b"\x7b\x74", Malformed::Group(14)),
        (&span(&delimited(5, b"\xc3\x28")), Malformed::Text),
    ];
    for (request, expected) in cases {
        check(Signal::Traces, request, Err(expected));
    }
}

#[test]
fn a_newer_senders_fields_are_passed_over() {
    let unknown = [
        varint(1000 << 3),
        varint(1),
        b"\x7b\x08\x01\x7c".to_vec(),
        delimited(99, b"\xff"),
    ]
    .concat();
    check(Signal::Logs, &delimited(1, &unknown), Ok((Component::Other, 0)));
}

#[test]
fn values_nest_as_deep_as_prost_lets_them_and_no_deeper() {
    // Request > ResourceLogs > Resource > KeyValue > AnyValue, and two messages for each array within.
    let nested = |arrays| {
        let value = (0..arrays).fold(Vec::new(), |value, _| delimited(5, &delimited(1, &value)));
        delimited(1, &delimited(1, &delimited(1, &delimited(2, &value))))
    };
    check(Signal::Logs, &nested(48), Ok((Component::Other, 0)));
    check(Signal::Logs, &nested(49), Err(Malformed::Depth));
    check(Signal::Logs, &nested(2_000), Err(Malformed::Depth));
}
