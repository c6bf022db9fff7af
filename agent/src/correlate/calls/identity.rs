//! The ids of a call's span: the same for the same call, whoever asks and how often.

use sha2::{Digest as _, Sha256};

use crate::model::{
    call::CallId,
    trace::{SpanId, TraceId},
};

/// The trace that a call starts if it has no parent, and its span.
pub(super) fn of(seed: &[u8; 16], id: CallId) -> (TraceId, SpanId) {
    let CallId {
        process,
        goroutine,
        depth,
        start,
    } = id;
    let mut hash = Sha256::new();
    hash.update(b"innerspan.call");
    hash.update(seed);
    for part in [process.0, goroutine, depth, start.count()] {
        hash.update(part.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest[..16]);
    span.copy_from_slice(&digest[16..24]);
    (TraceId(trace), SpanId(span))
}
