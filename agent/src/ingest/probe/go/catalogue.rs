//! Which Go functions are traced, as data: the embedded catalogue and what the user adds to it.
//!
//! In: services as they are written. Out: services whose every name, signature and path makes sense, or all that
//! does not, each with the setting it stands in. Whether an executable has the functions is not known here.

mod path;
pub mod raw;
mod shape;

use std::{sync::Arc, time::Duration};

pub use self::{
    path::{Path, Step},
    shape::Shape,
};
use abi::go_call;

use super::signature::{self, Variable};
use crate::model::{attr, call::Operation, trace::SpanKind};

/// The embedded catalogue, one file for each component.
pub const EMBEDDED: &[&str] = &[
    include_str!("catalogue/kubelet.yaml"),
    include_str!("catalogue/containerd.yaml"),
    include_str!("catalogue/crio.yaml"),
    include_str!("catalogue/apiserver.yaml"),
    include_str!("catalogue/etcd.yaml"),
    include_str!("catalogue/scheduler.yaml"),
    include_str!("catalogue/controller-manager.yaml"),
];

/// A component and the functions that are traced inside it.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: Arc<str>,
    /// Functions of which each makes a process one of these.
    pub holds: Vec<Box<str>>,
    pub functions: Vec<Function>,
}

/// One function.
#[derive(Clone, Debug)]
pub struct Function {
    pub operation: Arc<Operation>,
    pub hot: Option<Hot>,
    /// None where every call is its work.
    pub until: Option<Until>,
    /// Tried in order; never empty.
    pub variants: Vec<Variant>,
}

impl Function {
    /// Every symbol that an executable may have for it.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &str> {
        let forms = self.variants.iter().map(|variant| &variant.symbol);
        let work = self.until.iter().flat_map(|until| &until.symbols);
        forms.chain(work).map(|symbol| &**symbol)
    }
}

/// How a function that is called very often is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hot {
    pub slow: Duration,
    pub prefix: Box<str>,
}

/// The calls that are a function's work: when the last of them has returned, it has too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    pub symbols: Vec<Box<str>>,
    /// Also calls through an interface or a function value.
    pub interface: bool,
}

/// One form of a function.
#[derive(Clone, Debug)]
pub struct Variant {
    pub symbol: Box<str>,
    pub params: Vec<Variable>,
    pub results: Vec<Variable>,
    pub captures: Vec<Capture>,
}

/// One value that is read at every call.
#[derive(Clone, Debug)]
pub struct Capture {
    /// One attribute, or two for a value with a slash between theirs.
    pub keys: Vec<Arc<str>>,
    pub path: Path,
    pub shape: Shape,
    /// Whether it is read of the results, when the function returns.
    pub returned: bool,
}

/// What is wrong with an entry: the setting below it, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub setting: Vec<String>,
    pub reason: String,
}

impl Service {
    /// Checks one service; `faults` gets all that is wrong with it, and what is faulty is left out.
    pub fn check(written: &raw::Service, faults: &mut Vec<Fault>) -> Self {
        let mut fault = |setting: &str, reason: &str| {
            faults.push(Fault {
                setting: vec![setting.to_owned()],
                reason: reason.to_owned(),
            });
        };
        if written.service.is_empty() {
            fault("service", "is missing: write the component's `service.name`");
        }
        let name: Arc<str> = written.service.as_str().into();
        let mut functions = Vec::new();
        for (index, entry) in written.functions.iter().enumerate() {
            let mut below = Vec::new();
            for word in words(entry) {
                functions.extend(
                    Draft {
                        entry,
                        word,
                        service: &name,
                    }
                    .check(&mut below),
                );
            }
            below.dedup();
            faults.extend(below.into_iter().map(|fault: Fault| {
                Fault {
                    setting: ["functions".to_owned(), index.to_string()]
                        .into_iter()
                        .chain(fault.setting)
                        .collect(),
                    reason: fault.reason,
                }
            }));
        }
        Self {
            name,
            holds: written
                .holds
                .iter()
                .map(|symbol| symbol.as_str().into())
                .collect(),
            functions,
        }
    }
}

/// An entry without words stands for itself.
fn words(entry: &raw::Function) -> Vec<Option<&str>> {
    if entry.words.is_empty() {
        return vec![None];
    }
    entry.words.iter().map(|word| Some(word.as_str())).collect()
}

/// One entry with one of its words filled in.
struct Draft<'a> {
    entry: &'a raw::Function,
    word: Option<&'a str>,
    service: &'a Arc<str>,
}

impl Draft<'_> {
    fn fill(&self, text: &str) -> String {
        self.word
            .map_or_else(|| text.to_owned(), |word| text.replace("{}", word))
    }

    fn check(&self, faults: &mut Vec<Fault>) -> Option<Function> {
        let before = faults.len();
        let mut fault = |setting: &str, reason: &str| {
            faults.push(Fault {
                setting: setting.split('.').map(str::to_owned).collect(),
                reason: reason.to_owned(),
            });
        };
        if self.entry.span.is_empty() {
            fault("span", "is missing: write the name of the spans");
        }
        if self.entry.hot.as_ref().is_some_and(|hot| hot.slow_ms == 0) {
            fault("hot.slow_ms", "must be more than 0");
        }
        if self
            .entry
            .hot
            .as_ref()
            .is_some_and(|hot| hot.prefix.len() > go_call::Prefix::MAX)
        {
            fault(
                "hot.prefix",
                &format!("is longer than {} bytes", go_call::Prefix::MAX),
            );
        }
        if !self.entry.rpc.is_empty()
            && (!self.entry.rpc.contains('/') || self.entry.kind == raw::Kind::Internal)
        {
            fault(
                "rpc",
                "is `service/method`, and its `kind` is `client` or `server`",
            );
        }
        let until = self.until();
        if !until
            .iter()
            .flat_map(|until| &until.symbols)
            .all(|symbol| is_symbol(symbol))
        {
            fault("until", NO_SYMBOL);
        }
        let mut variants = vec![self.variant(&raw::Variant::default(), None, faults)];
        for (index, variant) in self.entry.variants.iter().enumerate() {
            variants.push(self.variant(variant, Some(index), faults));
        }
        let function = Function {
            operation: Arc::new(self.operation()),
            hot: self.entry.hot.as_ref().map(|hot| Hot {
                slow: Duration::from_millis(hot.slow_ms),
                prefix: hot.prefix.as_str().into(),
            }),
            until,
            variants,
        };
        (faults.len() == before).then_some(function)
    }

    fn until(&self) -> Option<Until> {
        const INTERFACE: &str = "interface";
        let written = &self.entry.until;
        let symbols = written.iter().filter(|name| *name != INTERFACE);
        (!written.is_empty()).then(|| Until {
            symbols: symbols.map(|symbol| self.fill(symbol).into()).collect(),
            interface: written.iter().any(|name| name == INTERFACE),
        })
    }

    fn operation(&self) -> Operation {
        let name = |text: &str| (!text.is_empty()).then(|| Arc::from(self.fill(text)));
        let rpc: Option<Arc<str>> = name(&self.entry.rpc);
        let mut attributes: Vec<(Arc<str>, Box<str>)> = Vec::new();
        if let Some(rpc) = &rpc {
            attributes.push((attr::RPC_SYSTEM_NAME.into(), "grpc".into()));
            attributes.push((attr::RPC_METHOD.into(), Box::from(&**rpc)));
        }
        let written = self.entry.attributes.iter();
        attributes.extend(written.map(|(key, value)| (self.fill(key).into(), self.fill(value).into())));
        Operation {
            service: Arc::clone(self.service),
            span: self.fill(&self.entry.span).into(),
            kind: match self.entry.kind {
                raw::Kind::Internal => SpanKind::Internal,
                raw::Kind::Client => SpanKind::Client,
                raw::Kind::Server => SpanKind::Server,
            },
            attributes,
            rpc,
            native: name(&self.entry.native),
        }
    }

    /// The entry's own form, with what a variant says instead.
    fn variant(&self, instead: &raw::Variant, index: Option<usize>, faults: &mut Vec<Fault>) -> Variant {
        let mut fault = |setting: &[&str], reason: String| {
            let variant = index.map(|index| ["variants".to_owned(), index.to_string()]);
            let setting = variant
                .into_iter()
                .flatten()
                .chain(setting.iter().map(|&step| step.to_owned()))
                .collect();
            faults.push(Fault { setting, reason });
        };
        let entry = self.entry;
        let symbol = self.fill(instead.function.as_ref().unwrap_or(&entry.function));
        if !is_symbol(&symbol) {
            fault(&["function"], NO_SYMBOL.to_owned());
        }
        let mut list = |setting, text: &String| {
            signature::parse(&self.fill(text)).unwrap_or_else(|misread| {
                fault(&[setting], misread.to_string());
                Vec::new()
            })
        };
        let params = list("params", instead.params.as_ref().unwrap_or(&entry.params));
        let results = list("results", instead.results.as_ref().unwrap_or(&entry.results));
        let mut captures = Vec::new();
        for (key, path) in instead.capture.as_ref().unwrap_or(&entry.capture) {
            match capture(&self.fill(key), &self.fill(path), &params, &results) {
                Ok(capture) => captures.push(capture),
                Err(reason) => fault(&["capture", key], reason),
            }
        }
        for (returned, list, room) in [
            (false, "parameters", go_call::ENTRY_CAPTURES),
            (true, "results", go_call::RETURN_CAPTURES),
        ] {
            if captures
                .iter()
                .filter(|capture| capture.returned == returned)
                .count()
                > room
            {
                fault(&["capture"], format!("holds more than {room} values of {list}"));
            }
        }
        Variant {
            symbol: symbol.into(),
            params,
            results,
            captures,
        }
    }
}

const NO_SYMBOL: &str = "is not a Go symbol with its package path";

fn is_symbol(text: &str) -> bool {
    text.contains('.') && !text.contains(char::is_whitespace)
}

/// Reads `key: path`.
fn capture(key: &str, path: &str, params: &[Variable], results: &[Variable]) -> Result<Capture, String> {
    let path = Path::parse(path)?;
    let named = |list: &[Variable]| list.iter().any(|variable| variable.name == path.variable);
    let returned = !named(params) && named(results);
    if !returned && !named(params) {
        return Err(format!("`{}` is neither a parameter nor a result", path.variable));
    }
    let keys: Vec<Arc<str>> = key.split('/').map(Arc::from).collect();
    if keys.len() > 2 || keys.iter().any(|key| key.is_empty()) {
        return Err("is one attribute, or two with a slash between them".to_owned());
    }
    let shape = Shape::of(&keys);
    Ok(Capture {
        keys,
        path,
        shape,
        returned,
    })
}
