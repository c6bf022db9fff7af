//! Traces that were written, kept for whoever asks: the last ones, in bounded memory.

use std::{cmp::Reverse, collections::VecDeque, sync::Arc};

use super::Trace;

/// Spans of all traces that are kept. A start has some forty; one that failed for half an hour may have a thousand.
const MAX_SPANS: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Kept {
    traces: VecDeque<Arc<Trace>>,
    spans: usize,
}

impl Kept {
    /// Keeps a trace, and at most `max` of them: of the kind of story that there are most of the oldest makes room, so
    /// that the stops of a whole Deployment do not push out the starts.
    pub(super) fn push(&mut self, trace: Trace, max: usize) {
        self.spans += trace.spans.len();
        self.traces.push_back(Arc::new(trace));
        while (self.traces.len() > max || self.spans > MAX_SPANS)
            && let Some(oldest) = self.traces.remove(self.first_of_most())
        {
            self.spans -= oldest.spans.len();
        }
    }

    /// The place of the oldest trace of the kind of story that there are most of.
    fn first_of_most(&self) -> usize {
        let stories = || self.traces.iter().map(|trace| trace.story());
        let many = |story| stories().filter(|other| *other == story).count();
        let places = stories().enumerate();
        let most = places.max_by_key(|(place, story)| (many(*story), Reverse(*place)));
        most.map_or(0, |(place, _)| place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Trace>> {
        self.traces.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        pod::PodUid,
        time::Nanos,
        trace::{Span, SpanId, SpanKind},
    };

    fn trace(story: &str, spans: usize) -> Trace {
        let pod = PodUid::parse("0f8fad5bd9cb469fa16570867728950e").unwrap();
        let span = Span {
            service: "kubelet".into(),
            trace_id: pod.trace_id(),
            span_id: SpanId([1; 8]),
            parent: None,
            name: story.into(),
            kind: SpanKind::Internal,
            start: Nanos::new(0),
            end: Nanos::new(0),
            error: None,
            attributes: Vec::new(),
            links: Vec::new(),
        };
        Trace {
            pod,
            namespace: "default".into(),
            name: "web".into(),
            spans: vec![span; spans],
            outcome: "ready",
        }
    }

    #[test]
    fn the_oldest_make_room_for_the_newest_by_number_and_by_size() {
        let mut kept = Kept::default();
        let mut check = |spans: usize, expected: &[usize]| {
            kept.push(trace("pod start", spans), 3);
            let sizes: Vec<_> = kept.iter().map(|trace| trace.spans.len()).collect();
            assert_eq!(sizes, expected);
        };
        check(1, &[1]);
        check(2, &[1, 2]);
        check(3, &[1, 2, 3]);
        check(4, &[2, 3, 4]);
        check(MAX_SPANS - 5, &[4, MAX_SPANS - 5]);
        check(MAX_SPANS + 1, &[]);
        check(1, &[1]);
    }
    #[test]
    fn a_kind_of_story_that_there_are_many_of_makes_room_for_the_others() {
        let mut kept = Kept::default();
        for (spans, story) in (1..).zip(["pod start", "pod start", "pod stop", "pod stop", "pod stop"]) {
            kept.push(trace(story, spans), 4);
        }
        let sizes: Vec<_> = kept.iter().map(|trace| trace.spans.len()).collect();
        assert_eq!(sizes, [1, 2, 4, 5]);
    }
}
