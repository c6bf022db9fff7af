//! The ids of a pod's traces: the same on every node, so that agents name each other's spans without asking.

use sha2::{Digest as _, Sha256};

use crate::model::{
    pod::PodUid,
    trace::{SpanId, TraceId},
};

/// The span of a phase: of several of one name the `attempt`th.
pub(super) fn span_id(pod: PodUid, story: &str, phase: &str, attempt: usize) -> SpanId {
    let digest = hash(pod, &[story, phase, &attempt.to_string()]);
    SpanId(digest.first_chunk().copied().unwrap_or_default())
}

/// The trace of a story that is not the pod's start.
pub(super) fn trace_id(pod: PodUid, story: &str) -> TraceId {
    let digest = hash(pod, &[story]);
    TraceId(digest.first_chunk().copied().unwrap_or_default())
}

fn hash(pod: PodUid, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"innerspan.pod");
    hash.update(pod.trace_id().0);
    for part in parts {
        // No two lists of parts are one text.
        hash.update([0]);
        hash.update(part.as_bytes());
    }
    let mut digest: [u8; 32] = hash.finalize().into();
    // An id of zeros is none.
    digest[0] |= 1;
    digest
}
