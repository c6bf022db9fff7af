//! Durations of a hot function, over several processes of one executable.

use std::{path::PathBuf, sync::Arc, time::Duration};

use innerspan::{
    ingest::probe::{
        Probe,
        go::{
            catalogue::{Service, raw},
            tracer::Tracer,
        },
    },
    model::process::{Executable, Pid},
};

use super::program::Program;

/// As a user adds it to the configuration.
fn service() -> Service {
    let serve = raw::Function {
        function: "main.Serve".to_owned(),
        span: "serve".to_owned(),
        hot: Some(raw::Hot {
            slow_ms: 10_000,
            prefix: String::new(),
        }),
        ..raw::Function::default()
    };
    let written = raw::Service {
        service: "calls".to_owned(),
        holds: vec!["main.Serve".to_owned()],
        functions: vec![serve],
    };
    let mut faults = Vec::new();
    let service = Service::check(&written, &mut faults);
    assert_eq!(faults, []);
    service
}

#[test]
fn what_a_process_that_has_ended_had_counted_stays_counted() {
    let probe = Probe::load();
    let mut tracer = Tracer::new(Arc::clone(probe.go_call().unwrap()), vec![service()]).unwrap();
    let durations = tracer.durations();
    let check = |calls: u64| {
        let read = durations.read();
        let [(operation, histogram)] = &read[..] else {
            panic!("one function: {read:?}")
        };
        assert_eq!((&*operation.service, &*operation.span), ("calls", "serve"));
        assert_eq!(histogram.count(), calls);
        // Every hundredth call takes 60 ms.
        assert_eq!(histogram.count() - histogram.up_to(-5), calls / 100);
        assert!(histogram.sum() >= Duration::from_millis(60) * u32::try_from(calls / 100).unwrap());
    };
    let mut start = || {
        // So soon that the kernel may not have told it yet where it is mapped.
        let program = Program::start();
        let executable = Executable {
            device: 0,
            inode: 0,
            size: 0,
            modified: (0, 0),
        };
        let path = PathBuf::from(format!("/proc/{}/exe", program.pid()));
        let attached = tracer.started(Pid(program.pid()), executable, &path);
        assert_eq!(attached.map(|traced| traced.functions), Some(1));
        program
    };
    let (mut first, mut second) = (start(), start());
    first.run("serve 300");
    check(300);
    second.run("serve 200");
    check(500);
    let ended = Pid(first.pid());
    drop(first);
    let mut third = start();
    third.run("serve 100");
    tracer.ended(ended, &mut Vec::new());
    check(600);
    tracer.ended(Pid(second.pid()), &mut Vec::new());
    second.run("serve 100");
    check(600);
}
