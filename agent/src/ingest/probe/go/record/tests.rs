//! Records as a program writes them, read back.

use super::*;

const TRACE: [u8; 16] = *b"0123456789abcdef";
const SPAN: [u8; 8] = *b"spanspan";

fn head(kind: u32, flags: u32) -> Head {
    Head {
        kind,
        flags,
        key: Key {
            slot: 3,
            spec: 5,
            goroutine: 0x00c0_0000_21c0,
            depth: 0x1a8,
        },
        start: 1_000,
        thread: 77,
        unused: 0,
    }
}

fn captured(state: u32, text: &[u8], length: u32) -> record::Captured {
    // What an earlier record left there.
    let mut bytes = [b'?'; record::TEXT];
    bytes[..text.len()].copy_from_slice(text);
    record::Captured { state, length, bytes }
}

fn begin(flags: u32, native: Native) -> record::Begin {
    let long = [b'a'; record::TEXT];
    record::Begin {
        head: head(record::BEGIN, flags),
        native,
        captures: [
            captured(state::READ, b"default/web", 11),
            captured(state::READ, &long, 300),
            captured(state::UNREAD, b"", 0),
            captured(state::NONE, b"", 0),
        ],
    }
}

fn native(found: u32, trace_id: [u8; 16], trace_flags: u32) -> Native {
    let (words, _) = trace_id.as_chunks();
    Native {
        trace_id: [0, 1].map(|at: usize| u64::from_ne_bytes(words[at])),
        span_id: u64::from_ne_bytes(SPAN),
        trace_flags,
        found,
    }
}

fn decode_begin(record: &record::Begin) -> Begin {
    match Record::decode(&record.to_bytes()) {
        Some(Record::Begin(begin)) => begin,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_begin_says_which_call_and_what_was_read_of_it() {
    let begin = decode_begin(&begin(flag::OVERWRITES, native(1, TRACE, 1)));
    let call = Call {
        slot: 3,
        row: 5,
        goroutine: 0x00c0_0000_21c0,
        depth: 0x1a8,
        start: Nanos::new(1_000),
    };
    assert_eq!((begin.call, begin.thread, begin.overwrites), (call, 77, true));
    let span = SpanContext {
        trace_id: TraceId(TRACE),
        span_id: SpanId(SPAN),
        sampled: true,
    };
    assert_eq!(begin.native, Some(span));
    let [text, cut, unread, nothing] = &begin.captures[..] else {
        panic!("{:?}", begin.captures);
    };
    assert_eq!(text.text(), Some("default/web"));
    assert_eq!(cut.text(), None);
    let kept = Captured::Bytes {
        bytes: [b'a'; record::TEXT].into(),
        is_cut: true,
    };
    assert_eq!(
        (cut, unread, nothing),
        (&kept, &Captured::Unread, &Captured::Nothing)
    );
}

#[test]
fn a_span_context_that_is_not_valid_is_none() {
    for native in [native(0, TRACE, 1), native(1, [0; 16], 1)] {
        assert_eq!(decode_begin(&begin(0, native)).native, None);
    }
    let unsampled = decode_begin(&begin(0, native(1, TRACE, 0))).native;
    assert_eq!(unsampled.map(|span| span.sampled), Some(false));
}

#[test]
fn an_end_says_when_and_how() {
    for (outcome, failed) in [
        (outcome::UNKNOWN, None),
        (outcome::SUCCESS, Some(false)),
        (outcome::ERROR, Some(true)),
    ] {
        let record = record::End {
            head: head(record::END, flag::ALONE),
            end: 2_500,
            outcome,
            unused: 0,
            captures: [captured(state::READ, b"id", 2), captured(state::NONE, b"", 0)],
        };
        let Some(Record::End(end)) = Record::decode(&record.to_bytes()) else {
            panic!("{record:?}");
        };
        assert_eq!(
            (end.end, end.is_alone, end.failed),
            (Nanos::new(2_500), true, failed)
        );
        assert_eq!(end.captures[0].text(), Some("id"));
    }
}

#[test]
fn other_bytes_are_no_record() {
    assert_eq!(Record::decode(&[]), None);
    assert_eq!(Record::decode(&[1; 100]), None);
    assert_eq!(Record::decode(&[9; record::Begin::SIZE]), None);
    assert_eq!(Record::decode(&[9; record::End::SIZE]), None);
}
