//! One question: which calls become spans, in which trace, below which parent?
//!
//! In: calls as they begin and end, and signs that a component traces natively. Out: the calls that ended, each as the
//! span that it is, with whether that span is exported. A call inside a call of the same goroutine is its child; a server's call is the child of the client's call that it serves; a call whose
//! context carries a native span is a child in the native trace.
//!
//! Invariant: no span waits for another. A call tells of itself when it begins, so that its children know their
//! parent before it ends. What is in flight is bounded: past `Config::max_open` the oldest is given up.

mod identity;
mod metrics;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

pub use self::metrics::{Fate, Metrics};
use crate::model::{
    attr::{self, Value},
    call::{Begun, CallEvent, CallId, Captures, Ended, ProcessId},
    pod::PodUid,
    time::{Nanos, Wall},
    trace::{Span, SpanContext, SpanId, SpanKind, TraceId},
};

/// Silence after which a component is taken to trace no longer: they send every five seconds, and somebody else's word
/// for it is to be there within ten.
const NATIVE_SILENCE: Duration = Duration::from_secs(8);

/// What happens to calls that the component reports itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Left to the component as long as it does report.
    #[default]
    Auto,
    /// Exported as well.
    Always,
    /// No call of this component is exported.
    Off,
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub span: Span,
    /// The native span that was current when it began.
    pub context: Option<SpanContext>,
    /// The pod that it worked on, as it or a call around it said.
    pub pod: Option<PodUid>,
    /// Why its span is not exported, if it is not.
    pub kept: Option<Fate>,
    /// The name of the span by which the component itself reports the same call, where it does.
    pub native: Option<Arc<str>>,
    /// Whether it is exported beside that one, because all are asked for.
    pub beside: bool,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// By `service.name`; [`Mode::Auto`] for the others.
    pub modes: HashMap<Box<str>, Mode>,
    /// Calls in flight that are remembered.
    pub max_open: usize,
}

/// The calls of this node that are in flight.
#[derive(Debug)]
pub struct Calls {
    config: Config,
    /// Makes the ids of this node and boot differ from all others.
    seed: [u8; 16],
    open: HashMap<CallId, Open>,
    /// In the order in which they began; those that ended are passed over.
    oldest: VecDeque<CallId>,
    /// The calls of one goroutine that are in flight, outermost first.
    stacks: HashMap<(ProcessId, u64), Vec<CallId>>,
    /// Client calls in flight by remote procedure.
    clients: HashMap<Arc<str>, Vec<CallId>>,
    /// When each service last showed that it traces.
    native: HashMap<Arc<str>, Nanos<Wall>>,
    /// Until one has shown it or had the time to, it is taken to trace.
    start: Nanos<Wall>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Open {
    begun: Begun,
    place: Place,
    /// Whether a server's call has been found to serve this one: a call is served once.
    served: bool,
}

/// Where a call's span belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    trace_id: TraceId,
    span_id: SpanId,
    parent: Option<SpanId>,
    /// Why it is not exported, if it is not.
    kept: Option<Fate>,
    pod: Option<PodUid>,
}

impl Calls {
    #[must_use]
    pub fn new(config: Config, seed: [u8; 16], start: Nanos<Wall>, metrics: Metrics) -> Self {
        Self {
            config,
            seed,
            open: HashMap::new(),
            oldest: VecDeque::new(),
            stacks: HashMap::new(),
            clients: HashMap::new(),
            native: HashMap::new(),
            start,
            metrics,
        }
    }

    /// Takes note that a service exports spans of its own.
    pub fn native(&mut self, service: &Arc<str>, at: Nanos<Wall>) {
        let last = self.native.entry(Arc::clone(service)).or_default();
        *last = at.max(*last);
    }

    /// Takes what happened; `complete` gets the calls that have ended.
    pub fn take(&mut self, event: CallEvent, complete: &mut Vec<Call>) {
        match event {
            CallEvent::Begun(begun) => self.begin(begun),
            CallEvent::Ended(ended) => complete.extend(self.end(ended)),
            CallEvent::Slow(begun, ended) => {
                let place = self.place(&begun);
                complete.push(self.close(begun, place, Some(ended)));
            }
            CallEvent::Exited(process, at) => self.exit(process, at, complete),
        }
    }

    fn begin(&mut self, begun: Begun) {
        let place = self.place(&begun);
        let id = begun.id;
        if let (SpanKind::Client, Some(rpc)) = (begun.operation.kind, &begun.operation.rpc) {
            self.clients.entry(Arc::clone(rpc)).or_default().push(id);
        }
        self.stacks
            .entry((id.process, id.goroutine))
            .or_default()
            .push(id);
        self.oldest.push_back(id);
        let open = Open {
            begun,
            place,
            served: false,
        };
        self.open.insert(id, open);
        self.bound();
    }

    fn end(&mut self, ended: Ended) -> Option<Call> {
        let Some(open) = self.forget(ended.id) else {
            self.metrics.count(Fate::Unmatched);
            return None;
        };
        // What still stands deeper in the stack was left by a panic, and not by returning.
        self.unwind(ended.id.process, ended.id.goroutine, ended.id.depth);
        Some(self.close(open.begun, open.place, Some(ended)))
    }

    fn exit(&mut self, process: ProcessId, at: Nanos<Wall>, complete: &mut Vec<Call>) {
        let mut ids: Vec<CallId> = self
            .open
            .keys()
            .copied()
            .filter(|id| id.process == process)
            .collect();
        ids.sort_unstable_by_key(|id| (id.start, id.depth));
        for id in ids {
            if let Some(open) = self.forget(id) {
                self.metrics.count(Fate::Interrupted);
                let mut interrupted = self.close(open.begun, open.place, None);
                interrupted.span.end = at.max(interrupted.span.start);
                complete.push(interrupted);
            }
        }
    }

    /// Decides whether the call's span is exported, and where it belongs.
    fn place(&mut self, begun: &Begun) -> Place {
        let id = begun.id;
        self.unwind(id.process, id.goroutine, id.depth);
        if begun.context.is_some_and(|context| context.sampled) {
            self.native(&begun.operation.service, begun.start);
        }
        let kept = self.kept(begun);
        let around = self.around(id);
        let mut pod = own_pod(&begun.captures).or_else(|| self.pod_around(id));
        let (own_trace, span_id) = identity::of(&self.seed, id);
        let (trace_id, parent) = if let Some(native) = begun.context {
            let below_same =
                |place: &Place, context| place.trace_id == native.trace_id && context == Some(native);
            let parent = around.filter(|(place, context)| below_same(place, *context));
            let parent = parent.map_or(native.span_id, |(place, _)| place.span_id);
            (native.trace_id, Some(parent))
        } else {
            let client = if around.is_none() {
                self.client_of(begun)
            } else {
                None
            };
            pod = pod.or(client.and_then(|client| client.pod));
            let exported = client.filter(|client| client.kept.is_none());
            match around.map(|(place, _)| place).or(exported) {
                Some(place) => (place.trace_id, Some(place.span_id)),
                None => (own_trace, None),
            }
        };
        Place {
            trace_id,
            span_id,
            parent,
            kept,
            pod,
        }
    }

    /// Why the call is not exported, if it is not.
    fn kept(&self, begun: &Begun) -> Option<Fate> {
        let operation = &begun.operation;
        match self.mode(&operation.service) {
            Mode::Off => return Some(Fate::Off),
            Mode::Always => return None,
            Mode::Auto => {}
        }
        if begun.context.is_some_and(|context| !context.sampled) {
            return Some(Fate::Unsampled);
        }
        let last = self.native.get(&operation.service).unwrap_or(&self.start);
        let traces = begun.start.since(last) < NATIVE_SILENCE;
        (operation.native.is_some() && traces).then_some(Fate::Native)
    }

    fn mode(&self, service: &str) -> Mode {
        self.config.modes.get(service).copied().unwrap_or_default()
    }

    /// The innermost exported call that is in flight on the same goroutine.
    fn around(&self, id: CallId) -> Option<(Place, Option<SpanContext>)> {
        let stack = self.stacks.get(&(id.process, id.goroutine))?;
        stack
            .iter()
            .rev()
            .filter_map(|outer| self.open.get(outer))
            .find(|open| open.place.kept.is_none())
            .map(|open| (open.place, open.begun.context))
    }

    /// The pod that the innermost call around this one, on the same goroutine, worked on.
    fn pod_around(&self, id: CallId) -> Option<PodUid> {
        let stack = self.stacks.get(&(id.process, id.goroutine))?;
        let calls = stack.iter().rev().filter_map(|outer| self.open.get(outer));
        calls.map(|open| open.place).find_map(|place| place.pod)
    }

    /// The one client call that this server's call can serve: same procedure, nothing that contradicts, in flight.
    fn client_of(&mut self, begun: &Begun) -> Option<Place> {
        let operation = &begun.operation;
        let rpc = operation
            .rpc
            .as_ref()
            .filter(|_| operation.kind == SpanKind::Server)?;
        let mut found = None;
        for id in self.clients.get(rpc).into_iter().flatten() {
            let Some(open) = self.open.get(id).filter(|open| !open.served) else {
                continue;
            };
            let before = open.begun.id.start <= begun.id.start && open.begun.id.process != begun.id.process;
            if before && agree(&open.begun.captures, &begun.captures) {
                if found.is_some() {
                    self.metrics.count(Fate::Ambiguous);
                    return None;
                }
                found = Some(*id);
            }
        }
        let open = self.open.get_mut(&found?)?;
        open.served = true;
        Some(open.place)
    }

    /// Gives up the calls of a goroutine that lie as deep as `depth` or deeper: they cannot be in flight any more.
    fn unwind(&mut self, process: ProcessId, goroutine: u64, depth: u64) {
        while let Some(&last) = self
            .stacks
            .get(&(process, goroutine))
            .and_then(|stack| stack.last())
        {
            if last.depth < depth {
                return;
            }
            self.forget(last);
            self.metrics.count(Fate::Unwound);
        }
    }

    /// Removes a call from everything that knows it.
    fn forget(&mut self, id: CallId) -> Option<Open> {
        let open = self.open.remove(&id)?;
        remove(&mut self.stacks, &(id.process, id.goroutine), id);
        if let (SpanKind::Client, Some(rpc)) = (open.begun.operation.kind, &open.begun.operation.rpc) {
            remove(&mut self.clients, rpc, id);
        }
        Some(open)
    }

    fn bound(&mut self) {
        while self.open.len() > self.config.max_open {
            let Some(id) = self.oldest.pop_front() else { return };
            if self.forget(id).is_some() {
                self.metrics.count(Fate::Evicted);
            }
        }
        // Those that ended are dropped here in passing, so that the order stays as short as what is open.
        if self.oldest.len() > 2 * self.config.max_open.max(64) {
            let open = &self.open;
            self.oldest.retain(|id| open.contains_key(id));
        }
    }

    /// A call that ended, or that was cut off.
    fn close(&mut self, begun: Begun, place: Place, ended: Option<Ended>) -> Call {
        self.metrics.count(place.kept.unwrap_or(Fate::Exported));
        let operation = begun.operation;
        let (end, error, returned) = match ended {
            Some(ended) => (ended.end, ended.failed.then(Box::default), ended.captures),
            None => (
                begun.start,
                Some("interrupted: the process ended".into()),
                Captures::new(),
            ),
        };
        let said = operation
            .attributes
            .iter()
            .cloned()
            .chain(begun.captures)
            .chain(returned);
        let span = Span {
            service: Arc::clone(&operation.service),
            trace_id: place.trace_id,
            span_id: place.span_id,
            parent: place.parent,
            name: Arc::clone(&operation.span),
            kind: operation.kind,
            start: begun.start,
            end: end.max(begun.start),
            error,
            attributes: said.map(|(key, value)| (key, Value::Text(value))).collect(),
            links: Vec::new(),
        };
        Call {
            beside: operation.native.is_some() && self.mode(&operation.service) == Mode::Always,
            span,
            context: begun.context,
            pod: place.pod,
            kept: place.kept,
            native: operation.native.clone(),
        }
    }
}

/// The pod that a call names itself.
fn own_pod(captures: &Captures) -> Option<PodUid> {
    let uid = captures.iter().find(|(key, _)| &**key == attr::K8S_POD_UID);
    uid.and_then(|(_, uid)| PodUid::parse(uid))
}

/// Do a client and a server speak of the same thing: some key in common, and none with two values?
fn agree(client: &Captures, server: &Captures) -> bool {
    let mut common = false;
    for (key, value) in client {
        if let Some((_, other)) = server.iter().find(|(known, _)| known == key) {
            if other != value {
                return false;
            }
            common = true;
        }
    }
    common || (client.is_empty() && server.is_empty())
}

fn remove<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, Vec<CallId>>, key: &K, id: CallId) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|known| *known != id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
