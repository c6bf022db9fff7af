//! A trace as a picture: text for a terminal, SVG for a page.
//!
//! In: the spans of one trace. Out: the picture, whose rows are the trace's phases with, for each, the times at which it
//! was what the whole waited for. Nothing is measured here: no file, no terminal, no clock.

mod list;
mod read;
mod svg;
mod text;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fmt,
};

pub use self::{
    list::list,
    read::{Fault, read},
    text::Look,
};
use crate::{
    correlate::critical_path::{self, Part},
    model::{
        attr::{self, Value},
        time::{Nanos, Wall},
        trace::{Span, SpanId, TraceId},
    },
};

/// From an instant to another.
type Times = (Nanos<Wall>, Nanos<Wall>);

/// A trace, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Waterfall {
    trace_id: TraceId,
    /// What the root says of the whole; nothing if it is not there.
    title: Title,
    times: Times,
    /// A part stands below its whole, after what began before it.
    rows: Vec<Row>,
    /// How much of the whole was waited for what, by the name of the phase, from the most on.
    sums: Vec<(String, u64)>,
    /// Calls inside the phases that no row shows.
    hidden: usize,
}

#[derive(Clone, Debug, Default)]
struct Title {
    /// `pod start of default/web`
    subject: Option<String>,
    outcome: Option<String>,
    error: Option<String>,
    /// In seconds.
    end_to_end: Option<f64>,
    sli: Option<f64>,
    rounding: Option<f64>,
    held_up_by: Option<String>,
    incomplete: Option<String>,
}

#[derive(Clone, Debug)]
struct Row {
    depth: usize,
    name: String,
    /// The container or the image that it is about.
    about: Option<String>,
    service: String,
    times: Times,
    /// When it was what the whole waited for.
    critical: Vec<Times>,
    error: Option<String>,
}

impl Waterfall {
    /// Draws the phases of a trace, and the calls inside them too if `calls` says so; a trace that has no phases is
    /// drawn as it is. None if there are no spans.
    #[must_use]
    pub fn of(spans: &[Span], calls: bool) -> Option<Self> {
        let mut seen = HashSet::new();
        let spans: Vec<&Span> = spans.iter().filter(|span| seen.insert(span.span_id)).collect();
        let has_phases = spans.iter().any(|span| is_phase(span));
        let is_shown = |span: &Span| calls || !has_phases || is_phase(span) || span.parent.is_none();
        let shown: Vec<&Span> = spans.iter().copied().filter(|span| is_shown(span)).collect();
        let ordered = in_order(&shown);
        let mut roots = ordered.iter().filter(|(_, span)| span.parent.is_none());
        let root = roots.next().filter(|_| roots.next().is_none());
        let root = root.map(|(_, span)| *span);
        let times = match root {
            Some(root) => (root.start, root.end),
            None => (
                spans.iter().map(|span| span.start).min()?,
                spans.iter().map(|span| span.end).max()?,
            ),
        };
        let counts = |span: &Span| span.parent.is_some() && (is_phase(span) || !has_phases);
        let mut rows: Vec<Row> = ordered
            .iter()
            .map(|(depth, span)| Row::of(*depth, span))
            .collect();
        let sums = follow(&ordered, &mut rows, times, counts);
        Some(Self {
            trace_id: root.or(spans.first().copied())?.trace_id,
            title: root.map(Title::of).unwrap_or_default(),
            times,
            rows,
            sums,
            hidden: spans.len() - ordered.len(),
        })
    }

    /// Each once, in the order in which they appear.
    fn services(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let services = self.rows.iter().map(|row| &*row.service);
        services.filter(move |service| seen.insert(*service))
    }

    /// Nanoseconds from the first to the last.
    fn length(&self) -> u64 {
        length(self.times)
    }

    /// One sentence on the whole: `pod start of default/web: ready after 1.78 s`.
    fn headline(&self) -> String {
        let subject = self
            .title
            .subject
            .as_deref()
            .unwrap_or("a trace without its root");
        let said = match self.title.outcome.as_deref() {
            Some("ready") => "ready after",
            Some("ended") => "ended after",
            Some("deleted") => "deleted after",
            Some("removed") => "removed after",
            Some("given_up") => "given up after",
            Some("quiet") => "last heard of after",
            Some("open") => "under way for",
            _ => "followed for",
        };
        format!("{subject}: {said} {}", Duration(self.length()))
    }

    /// What else there is to say of the whole, but for its error.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!(
            "started {}, trace {:?}",
            instant(self.times.0),
            self.trace_id
        )];
        if let (Some(whole), Some(sli)) = (self.title.end_to_end, self.title.sli) {
            remarks.push(format!(
                "containers running after {}, of which {} count for the pod startup SLI",
                Duration::of_seconds(whole),
                Duration::of_seconds(sli)
            ));
            if self.title.rounding.is_none() {
                remarks.push(
                    "counted from a time stamp that is up to 1 s early: this node did not see the pod's creation".to_owned(),
                );
            }
        }
        let more = [
            ("held up by", &self.title.held_up_by),
            ("incomplete:", &self.title.incomplete),
        ];
        for (what, said) in more {
            remarks.extend(said.iter().map(|said| format!("{what} {said}")));
        }
        remarks
    }
}

/// Finds what the whole waited for; tells each row, and returns the sums.
fn follow(
    ordered: &[(usize, &Span)],
    rows: &mut [Row],
    times: Times,
    counts: impl Fn(&Span) -> bool,
) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rows_of_parts = Vec::new();
    let mut places: HashMap<SpanId, usize> = HashMap::new();
    for (row, (_, span)) in ordered.iter().enumerate() {
        if counts(span) {
            places.insert(span.span_id, parts.len());
            rows_of_parts.push(row);
            parts.push(Part {
                parent: span.parent.and_then(|parent| places.get(&parent).copied()),
                start: span.start,
                end: span.end,
            });
        }
    }
    let path = critical_path::path(&parts, times);
    let root = ordered.iter().position(|(_, span)| span.parent.is_none());
    for stretch in &path {
        let row = stretch.part.map(|part| rows_of_parts[part]).or(root);
        if let Some(row) = row {
            rows[row].critical.push((stretch.start, stretch.end));
        }
    }
    let name = |part: usize| &*ordered[rows_of_parts[part]].1.name;
    let sums = critical_path::sums(&path, name);
    let mut sums: Vec<(String, u64)> = sums.into_iter().map(|(name, sum)| (plain(name), sum)).collect();
    sums.sort_by_key(|(_, sum)| Reverse(*sum));
    sums
}

fn is_phase(span: &Span) -> bool {
    text(span, attr::INNERSPAN_PHASE).is_some()
}

/// The spans with their depths, each below the one that it is a part of. One whose whole is not there stands alone.
fn in_order<'a>(spans: &[&'a Span]) -> Vec<(usize, &'a Span)> {
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let mut below: HashMap<Option<SpanId>, Vec<&Span>> = HashMap::new();
    for span in spans {
        let parent = span.parent.filter(|parent| known.contains(parent));
        below.entry(parent).or_default().push(span);
    }
    for parts in below.values_mut() {
        // What is taken last from the list comes first.
        parts.sort_by_key(|span| Reverse((span.start, Reverse(span.end), span.span_id)));
    }
    let first = below.remove(&None).unwrap_or_default();
    let mut waiting: Vec<(usize, &Span)> = first.into_iter().map(|span| (0, span)).collect();
    let mut ordered = Vec::with_capacity(spans.len());
    while let Some((depth, span)) = waiting.pop() {
        ordered.push((depth, span));
        let parts = below.remove(&Some(span.span_id)).unwrap_or_default();
        waiting.extend(parts.into_iter().map(|part| (depth + 1, part)));
    }
    ordered
}

// === impl Title ===

impl Title {
    fn of(root: &Span) -> Self {
        let said = |key: &str| text(root, key).map(plain);
        let seconds = |key: &str| match value(root, key) {
            Some(Value::Number(seconds)) => Some(*seconds),
            _ => None,
        };
        let name = plain(&root.name);
        let pod = match (said(attr::K8S_NAMESPACE_NAME), said(attr::K8S_POD_NAME)) {
            (Some(namespace), Some(pod)) => Some(format!("{namespace}/{pod}")),
            _ => said(attr::K8S_POD_UID),
        };
        Self {
            subject: Some(match pod {
                Some(pod) => format!("{name} of {pod}"),
                None => name,
            }),
            outcome: said(attr::INNERSPAN_OUTCOME),
            error: error(root),
            end_to_end: seconds(attr::INNERSPAN_POD_START_END_TO_END),
            sli: seconds(attr::INNERSPAN_POD_START_SLI),
            rounding: seconds(attr::INNERSPAN_POD_START_CREATION_ROUNDING),
            held_up_by: said(attr::INNERSPAN_HELD_UP_BY),
            incomplete: said(attr::INNERSPAN_INCOMPLETE),
        }
    }
}

// === impl Row ===

impl Row {
    fn of(depth: usize, span: &Span) -> Self {
        let container = text(span, attr::K8S_CONTAINER_NAME);
        Self {
            depth,
            name: plain(&span.name),
            about: container
                .or_else(|| text(span, attr::CONTAINER_IMAGE_NAME))
                .map(plain),
            service: plain(&span.service),
            times: (span.start, span.end.max(span.start)),
            critical: Vec::new(),
            // What the whole failed of is said above it.
            error: span.parent.and_then(|_| error(span)),
        }
    }

    /// Its name, and what it is about.
    fn label(&self) -> String {
        let about = self.about.iter().map(|about| format!(" {about}"));
        std::iter::once(self.name.clone()).chain(about).collect()
    }
}

fn error(span: &Span) -> Option<String> {
    let error = span.error.as_ref()?;
    Some(if error.is_empty() {
        "failed".to_owned()
    } else {
        plain(error)
    })
}

fn value<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|(known, _)| &**known == key);
    found.map(|(_, value)| value)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    value(span, key).and_then(Value::text)
}

/// What others wrote, on one line, and without a word to the terminal.
fn plain(text: &str) -> String {
    let text = text.trim();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn length((start, end): Times) -> u64 {
    end.count().saturating_sub(start.count())
}

/// In UTC, to the millisecond.
fn instant(at: Nanos<Wall>) -> String {
    let milliseconds = i64::try_from(at.count() / 1_000_000).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    format!("{stamp:.3}")
}

/// Nanoseconds, said in three digits.
#[derive(Clone, Copy, Debug)]
struct Duration(u64);

impl Duration {
    /// Of an attribute of the root.
    fn of_seconds(seconds: f64) -> Self {
        let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..999_500 => (1_000, "µs"),
            999_500..999_500_000 => (1_000_000, "ms"),
            999_500_000..59_950_000_000 => (1_000_000_000, "s"),
            _ => {
                let seconds = self.0.saturating_add(500_000_000) / 1_000_000_000;
                let (minutes, seconds) = (seconds / 60, seconds % 60);
                return f.pad(&match minutes {
                    0..60 => format!("{minutes} min {seconds:02} s"),
                    _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
                });
            }
        };
        let rounded = |parts: u64| (self.0 * parts + unit / 2) / unit;
        let said = match (rounded(100), rounded(10)) {
            (hundredths @ 0..1_000, _) => format!("{}.{:02} {name}", hundredths / 100, hundredths % 100),
            (_, tenths @ 0..1_000) => format!("{}.{} {name}", tenths / 10, tenths % 10),
            _ => format!("{} {name}", rounded(1)),
        };
        f.pad(&said)
    }
}

#[cfg(test)]
mod tests;
