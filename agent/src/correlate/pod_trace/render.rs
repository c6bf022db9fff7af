//! A pod's story as spans: the root, its phases, and the calls that no other trace has.
//!
//! In: phases and works. Out: spans of one trace, each with its parent in it.

use std::{collections::HashMap, sync::Arc};

use super::{
    identity,
    phase::Phase,
    tree::Told,
    work::{Place, Work},
};
use crate::{
    correlate::critical_path::{self, Part, Stretch},
    model::{
        attr::{self, Attribute, Value},
        pod::PodUid,
        trace::{Span, SpanId, SpanKind, TraceId},
    },
};

/// `service.name` of what belongs to no single component.
pub(super) const SERVICE: &str = "kubernetes";

/// What a story is about: all its spans agree on this.
#[derive(Clone, Debug)]
pub(super) struct Title {
    pub(super) pod: PodUid,
    /// The name of its root.
    pub(super) name: &'static str,
    pub(super) trace_id: TraceId,
    /// Tells it from all other stories of this pod.
    pub(super) story: Box<str>,
}

impl Title {
    pub(super) fn root_id(&self) -> SpanId {
        identity::span_id(self.pod, &self.story, "", 0)
    }
}

/// The root, with how much of it each phase was on the critical path.
pub(super) fn root(title: &Title, told: &Told, mut attributes: Vec<Attribute>) -> Span {
    let (phases, times) = (&told.phases, told.times);
    let part = |phase: &Phase| Part {
        parent: phase.parent,
        start: phase.start,
        end: phase.end,
    };
    let parts: Vec<Part> = phases.iter().map(part).collect();
    let path = critical_path::path(&parts, times);
    for (name, nanoseconds) in critical_path::sums(&path, |at| phases[at].name) {
        let key = format!("innerspan.critical_path.{}", name.replace([' ', '-'], "_"));
        attributes.push((key.into(), Value::Number(seconds(nanoseconds))));
    }
    let said = say(phases, &path);
    attributes.push(("innerspan.critical_path".into(), Value::Text(said.into())));
    Span {
        service: SERVICE.into(),
        trace_id: title.trace_id,
        span_id: title.root_id(),
        parent: None,
        name: title.name.into(),
        kind: SpanKind::Internal,
        start: times.0,
        end: times.1,
        error: None,
        attributes,
        links: Vec::new(),
    }
}

/// `schedule 12 ms > sync 3 ms > pull 1.2 s`: the longest stretches, in the order in which they came.
fn say(phases: &[Phase], path: &[Stretch]) -> String {
    const SHOWN: usize = 12;
    let length = |stretch: &Stretch| stretch.end.since(&stretch.start);
    let mut lengths: Vec<_> = path.iter().map(length).collect();
    lengths.sort_unstable();
    let shortest = lengths.iter().rev().nth(SHOWN - 1).copied().unwrap_or_default();
    let said: Vec<String> = path
        .iter()
        .filter(|stretch| length(stretch) >= shortest)
        .map(|stretch| {
            let name = stretch.part.map_or(critical_path::OTHER, |at| phases[at].name);
            format!("{name} {:.1?}", length(stretch))
        })
        .collect();
    said.join(" > ")
}

#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days")]
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// The phases, and the calls that are to be found in this trace alone.
pub(super) fn below(title: &Title, told: &Told, works: &[Work]) -> Vec<Span> {
    let phases = &told.phases;
    let mut attempts: HashMap<&str, usize> = HashMap::new();
    let ids: Vec<SpanId> = phases
        .iter()
        .map(|phase| {
            let attempt = attempts.entry(phase.name).or_default();
            *attempt += 1;
            identity::span_id(title.pod, &title.story, phase.name, *attempt - 1)
        })
        .collect();
    let root = title.root_id();
    let mut spans: Vec<Span> = phases
        .iter()
        .zip(&ids)
        .map(|(phase, id)| Span {
            service: Arc::clone(&phase.service),
            trace_id: title.trace_id,
            span_id: *id,
            parent: Some(phase.parent.map_or(root, |at| ids[at])),
            name: phase.name.into(),
            kind: SpanKind::Internal,
            start: phase.start,
            end: phase.end,
            error: phase.error.clone(),
            attributes: attributes(phase),
            links: phase.links.clone(),
        })
        .collect();
    spans.extend(details(title, told, &ids, works));
    spans
}

/// A phase is told apart from the calls inside it by an attribute that they do not have.
fn attributes(phase: &Phase) -> Vec<Attribute> {
    let mark: Attribute = (attr::INNERSPAN_PHASE.into(), phase.name.into());
    let phase = phase.attributes.iter().cloned();
    std::iter::once(mark).chain(phase).collect()
}

/// Whether a call belongs to the time that is told of.
pub(super) fn is_in(told: &Told, work: &Work) -> bool {
    told.times.0 <= work.span.start && work.span.end <= told.times.1
}

/// Calls below the phase that stands for the call around them.
fn details(title: &Title, told: &Told, ids: &[SpanId], works: &[Work]) -> Vec<Span> {
    let phases = &told.phases;
    let mut places: HashMap<SpanId, SpanId> = HashMap::new();
    for (phase, id) in phases.iter().zip(ids) {
        places.extend(phase.stands_for.iter().map(|call| (*call, *id)));
    }
    let here = works
        .iter()
        .filter(|work| work.place == Place::Here && is_in(told, work));
    let details: Vec<&Work> = here
        .filter(|work| !places.contains_key(&work.span.span_id))
        .collect();
    places.extend(details.iter().map(|work| (work.span.span_id, work.span.span_id)));
    details
        .into_iter()
        .map(|work| {
            let around = work.span.parent.and_then(|parent| places.get(&parent).copied());
            Span {
                trace_id: title.trace_id,
                parent: Some(around.unwrap_or_else(|| title.root_id())),
                ..work.span.clone()
            }
        })
        .collect()
}
