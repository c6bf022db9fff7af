//! The probe `go_call` against a real Go program, stripped, on this host's kernel.
//!
//! Each test is a way in which calls are hard to follow. `trace` attaches and collects, `program` is what
//! is followed.

mod bounds;
mod durations;
mod program;
mod trace;

use std::{env, process::Command};

use abi::go_call::{Capture, Process, STEPS, kind};
use innerspan::{
    ingest::probe::{CAPABILITIES, Probe, go::record::Captured},
    model::trace::{SpanContext, SpanId, TraceId},
};

use self::trace::{Trace, Watched, argument, span_type};

#[test]
fn every_call_is_told_with_its_arguments_its_result_and_its_error() {
    follow_arguments(&Probe::load());
}

/// Kernels before 6.6 attach so.
#[test]
fn probes_that_are_attached_one_by_one_tell_the_same() {
    follow_arguments(&Probe::load_without_multi_links());
}

fn follow_arguments(probe: &Probe) {
    const CALLS: usize = 300;
    // Sync(name string, pod *Pod, number uint64) (string, error)
    let text = Capture {
        from: argument(2),
        kind: kind::TEXT,
        ..Capture::NONE
    };
    let [name, uid, generation, number] = [
        Capture {
            from: argument(0),
            length: argument(1),
            kind: kind::PAIR,
            ..Capture::NONE
        },
        // pod.Meta.UID
        Capture {
            hops: 1,
            steps: [16, 0, 0, 0],
            last: 8,
            ..text
        },
        // pod.Meta.Generation
        Capture {
            kind: kind::WORD,
            hops: 1,
            steps: [16, 0, 0, 0],
            ..text
        },
        Capture {
            from: argument(3),
            kind: kind::VALUE,
            ..Capture::NONE
        },
    ];
    let sync = Watched {
        captures: [name, uid, generation, number],
        error: Some(2),
        result: Some([0, 1]),
        ..Watched::new("main.Sync")
    };
    let mut trace = Trace::with(probe, &[sync], Process::default());
    trace.program.run(&format!("sync {CALLS}"));

    let records = trace.records();
    let calls = records.calls();
    assert_eq!(calls.len(), CALLS);
    for (at, (begin, end)) in calls.into_iter().enumerate() {
        let [name, uid, generation, number] = &begin.captures[..] else {
            panic!("{begin:?}");
        };
        assert_eq!(name.text(), Some(&*format!("default/web-{at}")));
        assert_eq!(uid.text(), Some(&*format!("uid-{at}")));
        assert_eq!(word(generation), 7);
        assert_eq!(word(number), at as u64);
        assert_eq!(end.failed, Some(at % 3 == 0));
        let result = if at % 3 == 0 {
            String::new()
        } else {
            format!("web-{at}")
        };
        assert_eq!(end.captures[0].text(), Some(&*result));
        assert_eq!(trace.attachment.function(begin.call.row), Some(0));
        assert_eq!(begin.call.slot, trace.attachment.slot());
    }
}

#[test]
fn a_call_within_a_call_of_the_same_function_is_another_call() {
    const CALLS: usize = 50;
    let mut trace = Trace::of(&[Watched::new("main.Recurse")]);
    trace.program.run(&format!("recurse {CALLS}"));
    let records = trace.records();
    let calls = records.calls();
    assert_eq!(calls.len(), CALLS);
    for pair in calls.windows(2) {
        let ((outer, outer_end), (inner, inner_end)) = (pair[0], pair[1]);
        assert!(outer.call.depth < inner.call.depth, "{outer:?} {inner:?}");
        assert!(outer.call.start < inner.call.start, "{outer:?} {inner:?}");
        assert!(inner_end.end < outer_end.end, "{inner_end:?} {outer_end:?}");
    }
}

#[test]
fn a_stack_that_moves_takes_its_calls_along() {
    const CALLS: usize = 50;
    let mut trace = Trace::of(&[Watched::new("main.Grow")]);
    let moved = trace.program.run(&format!("grow {CALLS}"));
    assert_eq!(moved, CALLS.to_string());
    assert_eq!(trace.records().calls().len(), CALLS);
    // Each began with too small a stack, and so started over: that counts for nothing.
    let counts = trace.attachment.counts(0).unwrap();
    assert_eq!((counts.entries, counts.overwritten), (CALLS as u64, 0));
}

#[test]
fn a_goroutine_that_goes_on_in_another_thread_takes_its_calls_along() {
    const CALLS: usize = 200;
    let mut trace = Trace::of(&[Watched::new("main.Wait")]);
    trace.program.run(&format!("wait {CALLS}"));
    let records = trace.records();
    let calls = records.calls();
    assert_eq!(calls.len(), CALLS);
    let elsewhere = calls.iter().filter(|(begin, end)| begin.thread != end.thread);
    assert!(elsewhere.count() > 0, "no goroutine changed its thread");
}

#[test]
fn a_call_that_a_panic_unwound_gives_way_to_the_next() {
    const ROUNDS: usize = 50;
    let mut trace = Trace::of(&[Watched::new("main.Panic")]);
    trace.program.run(&format!("panic {ROUNDS}"));
    let records = trace.records();
    assert_eq!((records.begins.len(), records.ends.len()), (2 * ROUNDS, ROUNDS));
    for (pair, end) in records.begins.chunks(2).zip(&records.ends) {
        let (unwound, next) = (&pair[0], &pair[1]);
        assert!(!unwound.overwrites && next.overwrites, "{unwound:?} {next:?}");
        assert_eq!(end.call, next.call);
    }
    let counts = trace.attachment.counts(0).unwrap();
    let rounds = ROUNDS as u64;
    assert_eq!(
        [
            counts.entries,
            counts.matched,
            counts.overwritten,
            counts.unmatched
        ],
        [2 * rounds, rounds, rounds, 0]
    );
}

#[test]
fn a_call_whose_end_is_seen_before_its_last_instruction_is_told_with_its_error() {
    const CALLS: usize = 300;
    let stub = Watched {
        error: Some(1),
        ..Watched::new("main.Stub")
    };
    let mut trace = Trace::of(&[stub]);
    trace.program.run(&format!("stub {CALLS}"));
    let records = trace.records();
    let calls = records.calls();
    assert_eq!(calls.len(), CALLS);
    for (at, (_, end)) in calls.into_iter().enumerate() {
        assert_eq!(end.failed, Some(at % 3 == 0), "{at}");
    }
}

#[test]
fn of_a_hot_function_only_chosen_and_slow_calls_are_told_and_all_are_counted() {
    const CALLS: u64 = 1_000;
    let threshold = 50_000_000;
    let serve = Watched {
        captures: [
            Capture {
                from: argument(0),
                length: argument(1),
                kind: kind::PAIR,
                ..Capture::NONE
            },
            Capture::NONE,
            Capture::NONE,
            Capture::NONE,
        ],
        error: Some(0),
        hot: Some((b"/registry/pods/", threshold)),
        ..Watched::new("main.Serve")
    };
    let mut trace = Trace::of(&[serve]);
    trace.program.run(&format!("serve {CALLS}"));
    let records = trace.records();
    for begin in &records.begins {
        let key = begin.captures[0].text().unwrap();
        assert!(key.starts_with("/registry/pods/"), "{key}");
        let mut ends = records
            .ends
            .iter()
            .filter(|end| end.call == begin.call && !end.is_alone);
        assert_eq!(ends.next().map(|end| end.failed), Some(Some(false)));
        assert_eq!(ends.next(), None);
    }
    assert_eq!(records.begins.len() as u64, CALLS / 10);
    let alone: Vec<_> = records.ends.iter().filter(|end| end.is_alone).collect();
    assert_eq!(alone.len() + records.begins.len(), records.ends.len());
    assert!(alone.len() as u64 >= CALLS / 100, "{alone:?}");
    for end in alone {
        assert!(
            end.end.since(&end.call.start).as_nanos() > u128::from(threshold),
            "{end:?}"
        );
    }
    let histogram = trace.attachment.histogram(0).unwrap();
    assert_eq!(histogram.zero + histogram.buckets.iter().sum::<u64>(), CALLS);
    assert!(histogram.sum >= CALLS / 100 * 60_000_000, "{}", histogram.sum);
}

#[test]
fn the_span_that_was_current_is_found_in_the_context() {
    let traced = Watched {
        // ctx context.Context: its type, then its data.
        context: argument(1),
        captures: [
            Capture {
                from: argument(2),
                length: argument(3),
                kind: kind::PAIR,
                ..Capture::NONE
            },
            Capture::NONE,
            Capture::NONE,
            Capture::NONE,
        ],
        ..Watched::new("main.Traced")
    };
    let mut process = Process::default();
    process.span_types[1] = span_type("*main.recordingSpan", "spanContext");
    let mut trace = Trace::with(&Probe::load(), &[traced], process);
    trace.program.run("trace 10");
    let span = SpanContext {
        trace_id: TraceId(*b"0123456789abcdef"),
        span_id: SpanId(*b"spanspan"),
        sampled: true,
    };
    let records = trace.records();
    assert_eq!(records.begins.len(), 20);
    for begin in &records.begins {
        let expected = match begin.captures[0].text() {
            Some("inside") => Some(span),
            Some("outside") => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(begin.native, expected);
    }
}

#[test]
fn what_leads_nowhere_is_said_to_be_unread_and_harms_no_one() {
    let lost = Capture {
        from: argument(3),
        kind: kind::TEXT,
        hops: 4,
        steps: [i32::MAX, -8, 0, 16],
        ..Capture::NONE
    };
    let sync = Watched {
        captures: [
            lost,
            // A pointer where a length should be.
            Capture {
                from: argument(0),
                length: argument(2),
                kind: kind::PAIR,
                ..Capture::NONE
            },
            // More steps than there are.
            Capture {
                hops: u8::MAX,
                steps: [0; STEPS],
                ..lost
            },
            Capture {
                from: abi::go_call::Source::register(u8::MAX),
                kind: kind::VALUE,
                ..Capture::NONE
            },
        ],
        context: argument(3),
        ..Watched::new("main.Sync")
    };
    let mut process = Process::default();
    process.span_types[0].address = 1;
    let mut trace = Trace::with(&Probe::load(), &[sync], process);
    assert_eq!(trace.program.run("sync 10"), "done");
    let records = trace.records();
    assert_eq!(records.calls().len(), 10);
    for begin in &records.begins {
        assert_eq!(begin.captures, vec![Captured::Unread; 4]);
        assert_eq!(begin.native, None);
    }
    assert_eq!(trace.attachment.counts(0).unwrap().unread, 40);
}

#[test]
fn the_named_capabilities_are_enough() {
    let named: Vec<String> = CAPABILITIES
        .iter()
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    let capabilities = format!("-all,{}", named.join(","));
    let followed = Command::new("setpriv")
        .args([
            "--no-new-privs",
            "--bounding-set",
            &capabilities,
            "--inh-caps",
            &capabilities,
        ])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "go_call::every_call_is_told_with_its_arguments_its_result_and_its_error",
        ])
        .output()
        .unwrap();
    assert!(
        followed.status.success(),
        "{}",
        String::from_utf8_lossy(&followed.stdout)
    );
}

fn word(captured: &Captured) -> u64 {
    match captured {
        Captured::Bytes { bytes, is_cut: false } => u64::from_ne_bytes(bytes[..].try_into().unwrap()),
        other => panic!("{other:?}"),
    }
}
