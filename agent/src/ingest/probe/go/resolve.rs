//! The catalogue applied to one executable: which functions it has, where to probe them and what to read there.
//!
//! In: an executable and the services of the catalogue. Out: a [`Plan`], the same for every process that runs this
//! executable, and for each function that cannot be traced the reason. In doubt a function is left out.

mod layout;
mod value;
mod wants;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use abi::go_call::{self, Capture, Prefix, Return, Source, register};

use self::wants::Wants;
use super::{
    binary::{Arch, Binary, Function as Symbol, Functions, TypeTable, Unreadable},
    catalogue::{self, Function, Hot, Service, Variant},
    code::{self, Callees, EntryKind, Points, Refused, ReturnKind, Work},
    signature::{self, Place, Type, Variable},
};
use crate::model::call::Operation;

/// Between SP at a function's entry and its arguments on the stack, on amd64 and arm64 alike.
const RETURN_ADDRESS: i32 = 8;

/// What is probed in every process of one executable.
#[derive(Debug)]
pub struct Plan {
    /// The components that the executable is, by `service.name`.
    pub services: Vec<Arc<str>>,
    pub probes: Vec<Probe>,
    pub missing: Vec<Missing>,
    /// Types whose values hold the native span of a context: the linker's address of the pointer type, and where in
    /// the value the `SpanContext` lies.
    pub span_types: Vec<(u64, u32)>,
    /// The linker's address of the program headers.
    pub headers: Option<u64>,
}

/// One function to probe.
#[derive(Debug)]
pub struct Probe {
    pub operation: Arc<Operation>,
    pub hot: Option<Hot>,
    /// In the order of the captures of `spec`.
    pub entry_captures: Vec<Named>,
    /// In the order of the captures of each return.
    pub return_captures: Vec<Named>,
    /// All but the row of its histogram, which is not known here.
    pub spec: go_call::Spec,
    /// Offsets in the file, for uprobes.
    pub entry: u64,
    /// As `entry`, each with all but the row of its function.
    pub returns: Vec<(u64, Return)>,
    pub cost: Cost,
}

/// What a captured value is called, and what it must look like.
#[derive(Clone, Debug)]
pub struct Named {
    pub keys: Vec<Arc<str>>,
    pub shape: catalogue::Shape,
}

/// Which kind of points a probe got: those that the kernel emulates cost a thirtieth of the others in a virtual
/// machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whether the entry is behind the check for stack space.
    pub checked_entry: bool,
    /// Return points on an instruction that the kernel emulates.
    pub early: usize,
    /// Return points on the instruction that returns.
    pub ret: usize,
}

/// A function of the catalogue that is not traced in this executable.
#[derive(Debug)]
pub struct Missing {
    pub operation: Arc<Operation>,
    pub why: Why,
}

/// Why a function is not traced.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error("the executable does not have {0}")]
    Absent(Box<str>),
    #[error("{0} is compiled into its callers")]
    Inlined(Box<str>),
    #[error("the executable has several functions {0}")]
    Several(Box<str>),
    #[error("{0} is written in assembler code")]
    Assembler(Box<str>),
    #[error("{symbol} has another signature: {differs}")]
    Signature { symbol: Box<str>, differs: Box<str> },
    #[error("`{path}` cannot be read: {reason}")]
    Capture { path: Box<str>, reason: Box<str> },
    #[error("there is no sound place for a probe: {0}")]
    Code(#[from] Refused),
    #[error("the executable cannot be read")]
    Unreadable(#[from] Unreadable),
}

/// Applies the catalogue; none if the executable is no component of it.
pub fn resolve(binary: &Binary, services: &[Service]) -> Result<Option<Plan>, Unreadable> {
    let runtime = runtime_names();
    let names: HashSet<&str> = services
        .iter()
        .flat_map(|service| {
            let symbols = service.functions.iter().flat_map(Function::symbols);
            service.holds.iter().map(|symbol| &**symbol).chain(symbols)
        })
        .chain(runtime.iter().map(|name| &**name))
        .collect();
    let functions = binary.functions(&names)?;
    let holds = |service: &&Service| {
        service
            .holds
            .iter()
            .any(|symbol| !functions.named(symbol).is_empty())
    };
    let services: Vec<&Service> = services.iter().filter(holds).collect();
    if services.is_empty() {
        return Ok(None);
    }
    let types = binary.types()?;
    let target = Target {
        binary,
        functions: &functions,
        types: &types,
        callees: Callees::find(|name| addresses(&functions, name)),
        file: match binary.arch() {
            Arch::Amd64 => &register::AMD64,
            Arch::Arm64 => &register::ARM64,
        },
    };
    let mut plan = Plan {
        services: services.iter().map(|service| Arc::clone(&service.name)).collect(),
        probes: Vec::new(),
        missing: Vec::new(),
        span_types: layout::span_types(&types)?,
        headers: binary.headers_address(),
    };
    // Two entries may stand for one function; the kernel would run the programs twice.
    let mut taken = BTreeSet::new();
    for function in services.iter().flat_map(|service| &service.functions) {
        match target.probe(function) {
            Ok(probe) if taken.insert(probe.entry) => plan.probes.push(probe),
            Ok(_) => {}
            Err(why) => plan.missing.push(Missing {
                operation: Arc::clone(&function.operation),
                why,
            }),
        }
    }
    Ok(Some(plan))
}

fn addresses<'a>(functions: &'a Functions, name: &str) -> impl Iterator<Item = u64> + use<'a> {
    functions.named(name).iter().map(|function| function.entry)
}

/// The functions of Go's runtime that the analysis of code asks for.
fn runtime_names() -> Vec<String> {
    let mut names = Vec::new();
    Callees::find(|name| {
        names.push(name.to_owned());
        Vec::new()
    });
    names
}

/// One executable, ready to be asked.
struct Target<'a> {
    binary: &'a Binary,
    functions: &'a Functions,
    types: &'a TypeTable<'a>,
    callees: Callees,
    file: &'static register::File,
}

/// A variable and its place.
type Placed<'a> = (&'a Variable, Place);

impl Target<'_> {
    /// The first form of the function that this executable confirms.
    fn probe(&self, function: &Function) -> Result<Probe, Why> {
        let mut first = None;
        for variant in &function.variants {
            match self.variant(function, variant) {
                Ok(probe) => return Ok(probe),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(|| Why::Absent("it".into())))
    }

    fn variant(&self, function: &Function, variant: &Variant) -> Result<Probe, Why> {
        let symbol = self.symbol(&variant.symbol)?;
        layout::confirm(self.types, variant)?;
        let params = self.places(&variant.params)?;
        let results = self.places(&variant.results)?;
        let context = params.iter().find(|(variable, _)| &*variable.name == "ctx");
        let mut spec = go_call::Spec {
            histogram: go_call::SLOW,
            unused: 0,
            threshold: 0,
            context: context.map_or(Source::NONE, |(_, place)| self.argument(*place, 1)),
            prefix: Prefix::NONE,
            captures: [Capture::NONE; go_call::ENTRY_CAPTURES],
        };
        if let Some(hot) = &function.hot {
            spec.threshold = u64::try_from(hot.slow.as_nanos()).unwrap_or(u64::MAX);
            spec.prefix = Prefix::new(hot.prefix.as_bytes()).unwrap_or(Prefix::NONE);
        }
        let mut entry_captures = Vec::new();
        let mut wants = Wants::new(self, &results);
        let mut returned = Vec::new();
        for capture in &variant.captures {
            let list = if capture.returned { &results } else { &params };
            let found = list
                .iter()
                .find(|(variable, _)| variable.name == capture.path.variable);
            let read = found
                .ok_or_else(|| "there is no such variable".to_owned())
                .and_then(|(variable, place)| {
                    value::Value::find(self.types, variable, *place, &capture.path)
                });
            let value = read.map_err(|reason| Why::Capture {
                path: capture.path.to_string().into(),
                reason: reason.into(),
            })?;
            let named = Named {
                keys: capture.keys.clone(),
                shape: capture.shape,
            };
            if capture.returned {
                returned.push((named, wants.add(&value), value));
            } else if let Some(row) = spec.captures.get_mut(entry_captures.len()) {
                *row = value.capture(|word| self.argument(value.place, word));
                entry_captures.push(named);
            }
        }
        let code = self.binary.code(symbol)?;
        let points = code::Function {
            code: &code,
            address: symbol.entry,
            arch: self.binary.arch(),
        }
        .points(&self.callees(function), &wants.list)?;
        let returns = points.returns.iter().map(|point| {
            let source =
                |want: Option<usize>| want.map_or(Source::NONE, |want| self.source(&point.results, want));
            let mut captures = [Capture::NONE; go_call::RETURN_CAPTURES];
            for (row, (_, want, value)) in captures.iter_mut().zip(&returned) {
                // The words were asked for from the value's first one on.
                *row = value.capture(|word| source(want.map(|want| want + usize::from(word - value.word))));
            }
            let action = Return {
                spec: 0,
                frame: point.frame,
                error: source(wants.error),
                captures,
            };
            (symbol.file_offset + u64::from(point.offset), action)
        });
        Ok(Probe {
            operation: Arc::clone(&function.operation),
            hot: function.hot.clone(),
            entry_captures,
            return_captures: returned.iter().map(|(named, _, _)| named.clone()).collect(),
            spec,
            entry: symbol.file_offset + u64::from(points.entry.offset),
            returns: returns.collect(),
            cost: cost(&points),
        })
    }

    /// What the calls of a function mean to it.
    fn callees(&self, function: &Function) -> Callees {
        let callees = self.callees.clone();
        let Some(until) = &function.until else {
            return callees;
        };
        let symbols = until.symbols.iter();
        callees.until(Work {
            addresses: symbols.flat_map(|name| addresses(self.functions, name)).collect(),
            indirect: until.interface,
        })
    }

    fn symbol(&self, name: &str) -> Result<&Symbol, Why> {
        match self.functions.named(name) {
            [] if self.functions.is_inlined(name) => Err(Why::Inlined(name.into())),
            [] => Err(Why::Absent(name.into())),
            [one] if one.assembler => Err(Why::Assembler(name.into())),
            [one] => Ok(one),
            _ => Err(Why::Several(name.into())),
        }
    }

    fn places<'v>(&self, variables: &'v [Variable]) -> Result<Vec<Placed<'v>>, Why> {
        let mut parts = Vec::new();
        for variable in variables {
            parts.push(match &variable.ty {
                Type::Struct(name) => layout::parts(self.types, name).map_err(|reason| Why::Capture {
                    path: variable.name.clone(),
                    reason: reason.into(),
                })?,
                other => other.parts().unwrap_or_default(),
            });
        }
        let places = signature::places(self.binary.arch(), parts);
        Ok(variables.iter().zip(places).collect())
    }

    /// Where the `word`th word of an argument is when the function is entered.
    fn argument(&self, place: Place, word: u8) -> Source {
        match place {
            Place::Register(first) => {
                let register = self.file.arguments.get(usize::from(first + word));
                register.map_or(Source::NONE, |register| Source::register(*register))
            }
            Place::Stack(Some(above)) => Source::stack(RETURN_ADDRESS + above + 8 * i32::from(word)),
            Place::NoRegister | Place::Stack(None) => Source::NONE,
        }
    }

    /// Where a wanted result is at a return point.
    fn source(&self, results: &[code::Source], want: usize) -> Source {
        match results.get(want) {
            Some(code::Source::Register(code::Register(number))) => {
                let word = self.file.words.get(usize::from(*number));
                word.map_or(Source::NONE, |word| Source::register(*word))
            }
            Some(code::Source::Stack(offset)) => i32::try_from(*offset).map_or(Source::NONE, Source::stack),
            Some(code::Source::Zero) => Source::ZERO,
            None => Source::NONE,
        }
    }
}

fn cost(points: &Points) -> Cost {
    let early = points
        .returns
        .iter()
        .filter(|point| point.kind == ReturnKind::Early)
        .count();
    Cost {
        checked_entry: points.entry.kind == EntryKind::Checked,
        early,
        ret: points.returns.len() - early,
    }
}
