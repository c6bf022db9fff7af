//! What is lost is counted, what is used is freed, and nothing stays when either side dies.

use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::fs::FileExt as _,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use abi::go_call::{MAX_SPECS, Process};
use innerspan::ingest::probe::{
    Probe,
    go::{attach::Refused, binary::Binary},
};

use super::{
    program::{Program, executable},
    trace::{Trace, Watched, attach},
};

#[test]
fn what_a_full_ring_has_no_room_for_is_counted() {
    const CALLS: u64 = 20_000;
    let mut trace = Trace::of(&[Watched::new("main.Loop")]);
    trace.program.run(&format!("loop {CALLS}"));
    let records = trace.records();
    let counts = trace.attachment.counts(0).unwrap();
    assert_eq!((counts.entries, counts.matched), (CALLS, CALLS));
    assert!(counts.lost_begins > 0, "{counts:?}");
    assert_eq!(records.begins.len() as u64 + counts.lost_begins, CALLS);
    // A call whose begin is lost has no end either.
    assert_eq!(
        records.ends.len() as u64 + counts.lost_ends,
        records.begins.len() as u64
    );

    trace.program.run("loop 10");
    assert_eq!(
        trace.records().calls().len(),
        10,
        "an emptied ring has room again"
    );
}

#[test]
fn a_call_that_began_before_the_probes_is_not_matched() {
    let mut program = Program::start();
    program.run("hang 5");
    let probe = Probe::load();
    let programs = probe.go_call().unwrap();
    let watched = [Watched::new("main.Wait")];
    let first = attach(programs, program.pid(), &watched, Process::default()).unwrap();
    program.run("wait 5");
    let counts = first.counts(0).unwrap();
    assert_eq!([counts.entries, counts.matched, counts.unmatched], [5, 5, 0]);
}

#[test]
fn a_killed_process_leaves_room_for_others_and_its_calls_are_no_one_elses() {
    let watched = [Watched::new("main.Wait")];
    let mut trace = Trace::of(&watched);
    trace.program.run("hang 5");
    trace.program.kill();
    let records = trace.records();
    assert_eq!((records.begins.len(), records.ends.len()), (5, 0));
    let (old, programs) = (trace.attachment.slot(), Arc::clone(&trace.programs));
    drop(trace);

    let mut program = Program::start();
    let attachment = attach(&programs, program.pid(), &watched, Process::default()).unwrap();
    assert_ne!(attachment.slot(), old);
    program.run("wait 5");
    let counts = attachment.counts(0).unwrap();
    assert_eq!([counts.entries, counts.matched, counts.overwritten], [5, 5, 0]);
}

#[test]
fn functions_past_the_bound_are_refused_and_cost_those_before_them_nothing() {
    let probe = Probe::load();
    let programs = probe.go_call().unwrap();
    let mut program = Program::start();
    let binary = Binary::open(File::open(executable()).unwrap()).unwrap();
    let function = Watched::new("main.Recurse").function(&binary);
    let pid = program.pid();
    let path = format!("/proc/{pid}/exe");
    let attach = |count| {
        let functions = vec![function.clone(); count];
        programs.attach(pid, path.as_ref(), Process::default(), &functions)
    };
    let too_many = usize::try_from(MAX_SPECS).unwrap() + 1;
    for _ in 0..3 {
        match attach(too_many) {
            Err(Refused::Full {
                table: "functions",
                bound: MAX_SPECS,
            }) => {}
            other => panic!("{other:?}"),
        }
    }
    let attachment = attach(1).unwrap();
    program.run("recurse 5");
    assert_eq!(attachment.counts(0).unwrap().matched, 5);
    drop(attachment);
    // A row that another process has used counts from zero.
    assert_eq!(attach(1).unwrap().counts(0).unwrap().entries, 0);
}

#[test]
fn what_cannot_be_attached_says_why() {
    let probe = Probe::load();
    let programs = probe.go_call().unwrap();
    let gone = {
        let program = Program::start();
        program.pid()
    };
    let watched = [Watched::new("main.Wait")];
    let refused = attach(programs, gone, &watched, Process::default()).unwrap_err();
    assert!(matches!(refused, Refused::Attach(_)), "{refused:?}");
    let refused = attach(programs, gone, &[], Process::default()).unwrap_err();
    assert!(matches!(refused, Refused::Empty), "{refused:?}");
}

/// Where a child of the test below finds what to attach to.
const TARGET: &str = "INNERSPAN_TEST_TARGET";
const ATTACHED: &str = "probes are attached";

#[test]
fn an_agent_that_is_killed_leaves_no_probe() {
    if let Ok(target) = env::var(TARGET) {
        return attach_and_wait(target.parse().unwrap());
    }
    let program = Program::start();
    let before = first_byte(&program);
    let mut agent = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "go_call::bounds::an_agent_that_is_killed_leaves_no_probe",
        ])
        .env(TARGET, program.pid().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(agent.stdout.take().unwrap()).lines();
    let mut said = said.map(Result::unwrap);
    assert!(
        said.any(|line| line.contains(ATTACHED)),
        "the agent did not attach"
    );
    assert_ne!(first_byte(&program), before, "no probe is in the code");
    agent.kill().unwrap();
    agent.wait().unwrap();
    // Its links are closed when its last reference is, which the kernel may put off.
    while first_byte(&program) != before {
        thread::yield_now();
    }
}

/// What the killed agent does.
#[expect(clippy::print_stdout, reason = "the test that started it waits for this")]
fn attach_and_wait(pid: u32) {
    let probe = Probe::load();
    let programs = probe.go_call().unwrap();
    let watched = [Watched::new("main.Wait")];
    let _attachment = attach(programs, pid, &watched, Process::default()).unwrap();
    println!("{ATTACHED}");
    loop {
        thread::park();
    }
}

/// The byte of the running program at the entry of a function: a probe is an instruction of its own.
fn first_byte(program: &Program) -> u8 {
    let binary = Binary::open(File::open(executable()).unwrap()).unwrap();
    let functions = binary.functions(&["main.Wait"].into()).unwrap();
    let function = &functions.named("main.Wait")[0];
    let entry = Watched::new("main.Wait").function(&binary).entry - function.file_offset;
    let memory = File::open(format!("/proc/{}/mem", program.pid())).unwrap();
    let mut byte = [0];
    memory.read_exact_at(&mut byte, function.entry + entry).unwrap();
    byte[0]
}
