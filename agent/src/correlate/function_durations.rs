//! One question: how long do the calls of each function take?
//!
//! In: calls that have ended, and what the kernel counted of functions that are called too often for each call to be
//! told. Out: `rpc.client.call.duration` and `rpc.server.call.duration`, as the semantic conventions have them, and
//! `innerspan.function.duration` of all others. Every call counts, whether it failed or not, and whoever exports its
//! span.

use std::{collections::HashSet, sync::Arc};

use super::{calls::Call, durations::Durations};
use crate::model::{
    attr::{self, Said},
    call::Operation,
    histogram::{Histogram, Source},
    metric::Family,
    time::{Nanos, Wall},
    trace::{SpanKind, TraceId},
};

/// Functions have their names from the configuration, so that this only bounds what is written there.
const MAX_SERIES: usize = 1024;

/// A metric, and what it says of itself.
const METRICS: [(&str, &str); 3] = [
    (
        "rpc.client.call.duration",
        "How long calls of remote procedures took, as their clients saw it",
    ),
    (
        "rpc.server.call.duration",
        "How long calls of remote procedures took, as their servers saw it",
    ),
    (
        "innerspan.function.duration",
        "How long calls of functions inside the components took",
    ),
];

/// The durations of all calls since the agent started.
#[derive(Debug)]
pub struct FunctionDurations {
    /// Functions that the kernel counts, by service and span: their calls are told too, if they are slow.
    counted: HashSet<(Arc<str>, Arc<str>)>,
    /// In the order of [`METRICS`].
    durations: [Durations; METRICS.len()],
    start: Nanos<Wall>,
}

impl FunctionDurations {
    /// `counted`: the functions that the kernel counts.
    #[must_use]
    pub fn new(counted: impl IntoIterator<Item = Arc<Operation>>, start: Nanos<Wall>) -> Self {
        let name = |operation: Arc<Operation>| (Arc::clone(&operation.service), Arc::clone(&operation.span));
        Self {
            counted: counted.into_iter().map(name).collect(),
            durations: std::array::from_fn(|_| Durations::new(MAX_SERIES)),
            start,
        }
    }

    /// Counts a call. `trace`: the one that its span is exported in, if it is.
    pub fn record(&mut self, call: &Call, trace: Option<TraceId>, at: Nanos<Wall>) {
        let span = &call.span;
        if self
            .counted
            .contains(&(Arc::clone(&span.service), Arc::clone(&span.name)))
        {
            return;
        }
        let said = |key: &str| {
            let mut attributes = span.attributes.iter();
            attributes
                .find(|(known, _)| **known == *key)
                .and_then(|(_, value)| value.text())
        };
        let own = trace.map(|trace_id| Source {
            trace_id,
            span_id: span.span_id,
            at,
        });
        // The component exports the span around it, which is in the trace that tells of it.
        let context = call.context.filter(|context| context.sampled);
        let around = context.map(|context| Source {
            trace_id: context.trace_id,
            span_id: context.span_id,
            at,
        });
        let (metric, labels) = place(&span.service, &span.name, span.kind, said);
        self.durations[metric].record(&labels, span.end.since(&span.start), own.or(around));
    }

    /// What was told until now, and what the kernel has counted.
    #[must_use]
    pub fn families(&self, counted: &[(Arc<Operation>, Histogram)]) -> Vec<Family> {
        let mut all = self.durations.clone();
        for (operation, histogram) in counted {
            let said = |key: &str| {
                let mut attributes = operation.attributes.iter();
                attributes
                    .find(|(known, _)| **known == *key)
                    .map(|(_, value)| &**value)
            };
            let (metric, labels) = place(&operation.service, &operation.span, operation.kind, said);
            all[metric].merge(&labels, histogram);
        }
        let families = METRICS
            .iter()
            .zip(&all)
            .map(|((name, description), durations)| durations.family(name, description, self.start));
        families.collect()
    }
}

/// Which metric a function belongs to, and the attributes that tell it from others there.
fn place<'a>(
    service: &'a str,
    span: &'a str,
    kind: SpanKind,
    said: impl Fn(&str) -> Option<&'a str>,
) -> (usize, Vec<(&'static str, Said<'a>)>) {
    let metric = match kind {
        SpanKind::Client => Some(0),
        SpanKind::Server => Some(1),
        _ => None,
    };
    let service = (attr::SERVICE_NAME, Said::Text(service));
    match (metric, said(attr::RPC_SYSTEM_NAME), said(attr::RPC_METHOD)) {
        (Some(metric), Some(system), Some(method)) => {
            let system = (attr::RPC_SYSTEM_NAME, Said::Text(system));
            let method = (attr::RPC_METHOD, Said::Text(method));
            (metric, vec![service, system, method])
        }
        _ => (2, vec![service, (attr::SPAN_NAME, Said::Text(span))]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        correlate::calls::Fate,
        model::{
            metric::{Labels, Series},
            trace::{Span, SpanContext, SpanId},
        },
    };

    fn operation(span: &str, kind: SpanKind, rpc: Option<&str>) -> Operation {
        let mut attributes: Vec<(Arc<str>, Box<str>)> = Vec::new();
        if let Some(rpc) = rpc {
            attributes.push((attr::RPC_SYSTEM_NAME.into(), "grpc".into()));
            attributes.push((attr::RPC_METHOD.into(), rpc.into()));
        }
        Operation {
            service: "kubelet".into(),
            span: span.into(),
            kind,
            attributes,
            rpc: rpc.map(Arc::from),
            native: None,
        }
    }

    fn call(operation: &Operation) -> Call {
        let attributes = operation.attributes.iter();
        Call {
            span: Span {
                service: Arc::clone(&operation.service),
                trace_id: TraceId([1; 16]),
                span_id: SpanId([2; 8]),
                parent: None,
                name: Arc::clone(&operation.span),
                kind: operation.kind,
                start: Nanos::new(0),
                end: Nanos::new(1_000_000),
                error: None,
                attributes: attributes
                    .map(|(key, value)| (Arc::clone(key), (&**value).into()))
                    .collect(),
                links: Vec::new(),
            },
            context: None,
            pod: None,
            kept: None,
            native: None,
            beside: false,
        }
    }

    /// `METRIC key=value ..` of every series, and how many calls it counts.
    fn shown(durations: &FunctionDurations, counted: &[(Arc<Operation>, Histogram)]) -> Vec<(String, u64)> {
        let mut shown = Vec::new();
        for family in durations.families(counted) {
            let Series::Durations(series) = family.series else {
                panic!("{} are durations", family.name);
            };
            let text = |labels: &Labels| {
                let pairs = labels
                    .iter()
                    .map(|(key, value)| format!(" {key}={}", value.text().unwrap()));
                family.name.to_owned() + &pairs.collect::<String>()
            };
            shown.extend(
                series
                    .iter()
                    .map(|(labels, counts)| (text(labels), counts.count())),
            );
        }
        shown
    }

    const METHOD: &str = "runtime.v1.RuntimeService/RunPodSandbox";

    #[test]
    fn a_call_counts_by_its_procedure_or_its_name() {
        let mut durations = FunctionDurations::new([], Nanos::new(0));
        for operation in [
            operation(METHOD, SpanKind::Client, Some(METHOD)),
            operation(METHOD, SpanKind::Server, Some(METHOD)),
            operation("SyncPod", SpanKind::Internal, None),
            operation("SyncPod", SpanKind::Internal, None),
            operation("cni.Setup", SpanKind::Client, None),
        ] {
            durations.record(&call(&operation), None, Nanos::new(9));
        }
        let rpc = format!("service.name=kubelet rpc.system.name=grpc rpc.method={METHOD}");
        assert_eq!(
            shown(&durations, &[]),
            [
                (format!("rpc.client.call.duration {rpc}"), 1),
                (format!("rpc.server.call.duration {rpc}"), 1),
                (
                    "innerspan.function.duration service.name=kubelet span.name=SyncPod".to_owned(),
                    2
                ),
                (
                    "innerspan.function.duration service.name=kubelet span.name=cni.Setup".to_owned(),
                    1
                ),
            ]
        );
    }

    #[test]
    fn what_the_kernel_counts_is_not_counted_again_where_it_is_told() {
        let hot = Arc::new(operation("wal.sync", SpanKind::Internal, None));
        let mut durations = FunctionDurations::new([Arc::clone(&hot)], Nanos::new(0));
        durations.record(&call(&hot), None, Nanos::new(9));
        assert_eq!(shown(&durations, &[]), []);
        let counts = Histogram::of_counts(0, [4], 1, Duration::from_secs(5));
        let name = "innerspan.function.duration service.name=kubelet span.name=wal.sync".to_owned();
        assert_eq!(shown(&durations, &[(hot, counts)]), [(name, 5)]);
        assert_eq!(shown(&durations, &[]), [], "the kernel's counts are its own");
    }

    #[test]
    fn an_exemplar_is_a_span_that_is_exported() {
        let check = |context: Option<SpanContext>, trace: Option<TraceId>, expected: Option<(u8, u8)>| {
            let mut durations = FunctionDurations::new([], Nanos::new(0));
            let kept = trace.is_none().then_some(Fate::Native);
            let call = Call {
                context,
                kept,
                ..call(&operation("SyncPod", SpanKind::Internal, None))
            };
            durations.record(&call, trace, Nanos::new(9));
            let families = durations.families(&[]);
            let Series::Durations(series) = &families[2].series else {
                panic!("durations")
            };
            let found = series[0].1.exemplars().first().map(|exemplar| exemplar.source);
            let expected = expected.map(|(trace_id, span_id)| Source {
                trace_id: TraceId([trace_id; 16]),
                span_id: SpanId([span_id; 8]),
                at: Nanos::new(9),
            });
            assert_eq!(found, expected);
        };
        let context = |sampled| SpanContext {
            trace_id: TraceId([3; 16]),
            span_id: SpanId([4; 8]),
            sampled,
        };
        check(None, Some(TraceId([1; 16])), Some((1, 2)));
        check(Some(context(true)), Some(TraceId([3; 16])), Some((3, 2)));
        check(Some(context(true)), None, Some((3, 4)));
        check(Some(context(false)), None, None);
        check(None, None, None);
    }
}
