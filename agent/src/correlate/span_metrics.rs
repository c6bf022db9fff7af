//! One question: how many spans of each kind are there, how many of them failed, and how long do they take?
//!
//! In: spans, native ones and this agent's own. Out: `traces.span.metrics.calls` and `traces.span.metrics.duration` as
//! the collector's spanmetrics connector makes them, so that what was built on those works with these: cumulative, by
//! service, name, kind, status and the attributes that the configuration names. The duration is in seconds, as the
//! conventions have it and the connector is about to.
//!
//! Reference: connector/spanmetricsconnector of the collector's contrib repository, v0.155.0.

use std::sync::Arc;

use super::durations::Durations;
use crate::model::{
    attr::{self, Said},
    histogram::Source,
    metric::{Family, Series},
    time::{Nanos, Wall},
    trace::{Span, SpanKind, SpanRef, StatusCode},
};

#[derive(Clone, Debug)]
pub struct Config {
    pub enabled: bool,
    /// Attributes of spans by which series differ as well; a span that lacks one has a series without it.
    pub dimensions: Vec<Arc<str>>,
    /// Past it all further kinds of spans count as one.
    pub max_series: usize,
}

/// Counts of spans since the agent started.
#[derive(Debug)]
pub struct SpanMetrics {
    config: Config,
    durations: Durations,
    start: Nanos<Wall>,
}

impl SpanMetrics {
    #[must_use]
    pub fn new(config: Config, start: Nanos<Wall>) -> Self {
        Self {
            durations: Durations::new(config.max_series),
            config,
            start,
        }
    }

    /// Counts a span; `said` reads its further attributes.
    pub fn record<'a>(
        &mut self,
        span: SpanRef<'a>,
        said: impl Fn(&str) -> Option<Said<'a>>,
        at: Nanos<Wall>,
    ) {
        if !self.config.enabled {
            return;
        }
        let standard = [
            (attr::SERVICE_NAME, Said::Text(span.service)),
            (attr::SPAN_NAME, Said::Text(span.name)),
            (attr::SPAN_KIND, Said::Text(kind(span.kind))),
            (attr::STATUS_CODE, Said::Text(status(span.status))),
        ];
        let duration = span.end.since(&span.start);
        let source = Some(Source {
            trace_id: span.trace_id,
            span_id: span.span_id,
            at,
        });
        let dimensions = &self.config.dimensions;
        if dimensions.is_empty() {
            return self.durations.record(&standard, duration, source);
        }
        let more = dimensions.iter().filter_map(|key| Some((&**key, said(key)?)));
        let labels: Vec<(&str, Said<'_>)> = standard.into_iter().chain(more).collect();
        self.durations.record(&labels, duration, source);
    }

    /// Counts a span that this agent made.
    pub fn record_own(&mut self, span: &Span, at: Nanos<Wall>) {
        let said = |key: &str| {
            let mut attributes = span.attributes.iter();
            attributes
                .find(|(known, _)| **known == *key)
                .map(|(_, value)| value.said())
        };
        self.record(span.borrowed(), said, at);
    }

    /// What was counted until now.
    #[must_use]
    pub fn families(&self) -> [Family; 2] {
        let series = self.durations.series();
        let calls = series
            .iter()
            .map(|(labels, durations)| (Arc::clone(labels), durations.count()));
        [
            Family {
                name: "traces.span.metrics.calls",
                description: "Spans, native ones and the agent's own",
                start: self.start,
                series: Series::Counts(calls.collect()),
            },
            Family {
                name: "traces.span.metrics.duration",
                description: "How long the work of spans took",
                start: self.start,
                series: Series::Durations(series.to_vec()),
            },
        ]
    }
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Internal => "SPAN_KIND_INTERNAL",
        SpanKind::Server => "SPAN_KIND_SERVER",
        SpanKind::Client => "SPAN_KIND_CLIENT",
        SpanKind::Producer => "SPAN_KIND_PRODUCER",
        SpanKind::Consumer => "SPAN_KIND_CONSUMER",
    }
}

fn status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::Unset => "STATUS_CODE_UNSET",
        StatusCode::Ok => "STATUS_CODE_OK",
        StatusCode::Error => "STATUS_CODE_ERROR",
    }
}

#[cfg(test)]
mod tests;
