//! Attaches to functions of the program, and collects what becomes known of their calls.

use std::{collections::HashSet, fs::File, path::PathBuf, sync::Arc};

use abi::go_call::{
    Capture, ENTRY_CAPTURES, Prefix, Process, RETURN_CAPTURES, Return, Source, SpanType, Spec, kind,
    register::{AMD64, ARM64, File as Registers},
};
use innerspan::ingest::probe::{
    Probe,
    go::{
        attach::{Attachment, Function, Programs, Refused, ReturnPoint},
        binary::Binary,
        code::{self, Callees, Register, Want},
        record::{Begin, End, Record},
    },
};

use super::program::{Program, executable};

const REGISTERS: Registers = if cfg!(target_arch = "aarch64") {
    ARM64
} else {
    AMD64
};

/// A function to follow.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) name: &'static str,
    pub(super) captures: [Capture; ENTRY_CAPTURES],
    /// The data word of its context.
    pub(super) context: Source,
    /// Which of its result words is an error's type.
    pub(super) error: Option<u8>,
    /// Which two of its result words are a string.
    pub(super) result: Option<[u8; 2]>,
    /// A hot function's prefix and threshold.
    pub(super) hot: Option<(&'static [u8], u64)>,
}

impl Watched {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            captures: [Capture::NONE; ENTRY_CAPTURES],
            context: Source::NONE,
            error: None,
            result: None,
            hot: None,
        }
    }

    /// What to attach, found in the stripped executable.
    pub(super) fn function(&self, binary: &Binary) -> Function {
        let names: HashSet<&str> = Callees::names().chain([self.name]).collect();
        let functions = binary.functions(&names).unwrap();
        let callees = Callees::find(|name| functions.named(name).iter().map(|function| function.entry));
        let [function] = functions.named(self.name) else {
            panic!("{} is not one function of its own", self.name);
        };
        let code = binary.code(function).unwrap();
        let words = self.error.into_iter().chain(self.result.into_iter().flatten());
        let wants: Vec<Want> = words.map(|word| Want::Value(machine_register(word))).collect();
        let points = code::Function {
            code: &code,
            address: function.entry,
            arch: binary.arch(),
        }
        .points(&callees, &wants)
        .unwrap();
        let place = |offset: u32| function.file_offset + u64::from(offset);
        let returns = points.returns.iter().map(|point| ReturnPoint {
            offset: place(point.offset),
            point: self.at_return(point),
        });
        let (prefix, threshold) = self.hot.unwrap_or_default();
        Function {
            entry: place(points.entry.offset),
            spec: Spec {
                histogram: 0,
                unused: 0,
                threshold,
                context: self.context,
                prefix: Prefix::new(prefix).unwrap(),
                captures: self.captures,
            },
            is_hot: self.hot.is_some(),
            returns: returns.collect(),
        }
    }

    fn at_return(&self, point: &code::Return) -> Return {
        let mut sources = point.results.iter().map(|result| match *result {
            code::Source::Register(Register(number)) => {
                Source::register(REGISTERS.words[usize::from(number)])
            }
            code::Source::Stack(offset) => Source::stack(offset.try_into().unwrap()),
            code::Source::Zero => Source::ZERO,
        });
        let error = self.error.and_then(|_| sources.next());
        let mut captures = [Capture::NONE; RETURN_CAPTURES];
        if let (Some(from), Some(length)) = (sources.next(), sources.next()) {
            captures[0] = Capture {
                from,
                length,
                kind: kind::PAIR,
                ..Capture::NONE
            };
        }
        Return {
            spec: 0,
            frame: point.frame,
            error: error.unwrap_or(Source::NONE),
            captures,
        }
    }
}

/// The register of an integer argument or result.
pub(super) fn argument(number: u8) -> Source {
    Source::register(REGISTERS.arguments[usize::from(number)])
}

fn machine_register(argument: u8) -> Register {
    let word = REGISTERS.arguments[usize::from(argument)];
    let number = REGISTERS.words.iter().position(|known| *known == word).unwrap();
    Register(number.try_into().unwrap())
}

/// A type of the executable that holds a span context in its field of this name.
pub(super) fn span_type(pointer: &str, field: &str) -> SpanType {
    let binary = Binary::open(File::open(executable()).unwrap()).unwrap();
    let types = binary.types().unwrap();
    let pointer = types.named(pointer).unwrap().unwrap();
    let element = pointer.element().unwrap().unwrap();
    let field = element.field(field).unwrap().unwrap();
    SpanType {
        address: pointer.address(),
        context: field.offset.try_into().unwrap(),
        unused: 0,
    }
}

/// The program with probes on some of its functions.
pub(super) struct Trace {
    // Before the probes, which detach sooner from no process.
    pub(super) program: Program,
    pub(super) attachment: Attachment,
    pub(super) programs: Arc<Programs>,
}

impl Trace {
    pub(super) fn of(watched: &[Watched]) -> Self {
        Self::with(&Probe::load(), watched, Process::default())
    }

    pub(super) fn with(probe: &Probe, watched: &[Watched], process: Process) -> Self {
        let programs = Arc::clone(probe.go_call().unwrap());
        let program = Program::start();
        let attachment = attach(&programs, program.pid(), watched, process).unwrap();
        Self {
            program,
            attachment,
            programs,
        }
    }

    /// Takes what is in the ring.
    pub(super) fn records(&self) -> Records {
        let mut records = Records::default();
        self.programs.drain(|record| match record {
            Record::Begin(begin) => records.begins.push(begin),
            Record::End(end) => records.ends.push(end),
        });
        records
    }
}

/// What happened, in order.
#[derive(Default)]
pub(super) struct Records {
    pub(super) begins: Vec<Begin>,
    pub(super) ends: Vec<End>,
}

impl Records {
    /// Each begin with its end. Fails if a call has none, or two, or ended before it began.
    pub(super) fn calls(&self) -> Vec<(&Begin, &End)> {
        assert_eq!(self.begins.len(), self.ends.len());
        let mut calls = Vec::new();
        for begin in &self.begins {
            let mut ends = self.ends.iter().filter(|end| end.call == begin.call);
            let end = ends.next().unwrap_or_else(|| panic!("no end: {begin:?}"));
            assert_eq!(ends.next(), None, "two ends: {begin:?}");
            assert!(end.end > begin.call.start, "{end:?}");
            calls.push((begin, end));
        }
        calls
    }
}

pub(super) fn attach(
    programs: &Programs,
    pid: u32,
    watched: &[Watched],
    process: Process,
) -> Result<Attachment, Refused> {
    let path = PathBuf::from(format!("/proc/{pid}/exe"));
    let binary = Binary::open(File::open(executable()).unwrap()).unwrap();
    let functions: Vec<Function> = watched.iter().map(|watched| watched.function(&binary)).collect();
    programs.attach(pid, &path, process, &functions)
}
