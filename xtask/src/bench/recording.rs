//! The load's raw material: requests that real components sent in the lab.
//!
//! In: a file of `ExportTraceServiceRequest` messages, each with its length in front. Out:
//! the same spans re-cut into requests of one size, each span still under its own resource
//! and scope, since compression is only honest on real bytes. It does not know who sends them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use super::{grpc, wire};

/// Recorded spans, those of one process together.
#[derive(Debug)]
pub(super) struct Recording {
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    /// Its `ResourceSpans` without the spans: resource and schema.
    resource: Bytes,
    /// Its `ScopeSpans` without the spans: scope and schema.
    scope: Bytes,
    bytes: Bytes,
}

impl Recording {
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let recorded = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&recorded).with_context(|| format!("{} is no recording", file.display()))
    }

    fn parse(mut recorded: &[u8]) -> anyhow::Result<Self> {
        let mut spans = Vec::new();
        while !recorded.is_empty() {
            let request = wire::delimited(&mut recorded).context("the last request is cut off")?;
            collect(request, &mut spans)?;
        }
        ensure!(!spans.is_empty(), "it holds no span");
        // A component exports its own spans only, so most requests come from one resource.
        spans.sort_by(|a, b| a.resource.cmp(&b.resource));
        Ok(Self { spans })
    }

    /// All spans, `size` to a request; the last request is filled up with the first spans.
    pub(super) fn requests(&self, size: usize) -> Vec<Bytes> {
        let mut turns = self.spans.iter().cycle();
        (0..self.spans.len().div_ceil(size))
            .map(|_| grpc::frame(&request(turns.by_ref().take(size).collect())))
            .collect()
    }
}

fn collect(request: &[u8], spans: &mut Vec<Span>) -> anyhow::Result<()> {
    let (_, resource_spans) = split(request, wire::RESOURCE_SPANS)?;
    for of_resource in resource_spans {
        let (resource, scope_spans) = split(of_resource, wire::SCOPE_SPANS)?;
        for of_scope in scope_spans {
            let (scope, found) = split(of_scope, wire::SPANS)?;
            spans.extend(found.into_iter().map(|span| Span {
                resource: resource.clone(),
                scope: scope.clone(),
                bytes: Bytes::copy_from_slice(span),
            }));
        }
    }
    Ok(())
}

/// A message without the fields of one number, and the values of those.
fn split(message: &[u8], number: u32) -> anyhow::Result<(Bytes, Vec<&[u8]>)> {
    let (mut rest, mut values) = (Vec::new(), Vec::new());
    for field in wire::fields(message) {
        let field = field?;
        if field.number == number {
            values.push(field.value);
        } else {
            rest.extend_from_slice(field.whole);
        }
    }
    Ok((rest.into(), values))
}

/// One request of these spans, grouped by resource and scope as an SDK's exporter does.
fn request(mut spans: Vec<&Span>) -> Vec<u8> {
    spans.sort_by(|a, b| (&a.resource, &a.scope).cmp(&(&b.resource, &b.scope)));
    let mut request = Vec::new();
    for of_resource in spans.chunk_by(|a, b| a.resource == b.resource) {
        let mut resource_spans = of_resource[0].resource.to_vec();
        for of_scope in of_resource.chunk_by(|a, b| a.scope == b.scope) {
            let mut scope_spans = of_scope[0].scope.to_vec();
            for span in of_scope {
                wire::put(&mut scope_spans, wire::SPANS, &span.bytes);
            }
            wire::put(&mut resource_spans, wire::SCOPE_SPANS, &scope_spans);
        }
        wire::put(&mut request, wire::RESOURCE_SPANS, &resource_spans);
    }
    request
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Two requests of two components, three scopes, seven different spans.
    fn recorded() -> Vec<u8> {
        let otelhttp = message(b"otelhttp", wire::SPANS, &[b"get", b"list", b"put"]);
        let otelgrpc = message(b"otelgrpc", wire::SPANS, &[b"range", b"txn"]);
        let wal = message(b"wal", wire::SPANS, &[b"sync"]);
        let late = message(b"otelhttp", wire::SPANS, &[b"watch"]);
        let apiserver = message(b"apiserver", wire::SCOPE_SPANS, &[&otelhttp]);
        let etcd = message(b"etcd", wire::SCOPE_SPANS, &[&otelgrpc, &wal]);
        let apiserver_again = message(b"apiserver", wire::SCOPE_SPANS, &[&late]);
        let mut stream = Vec::new();
        for resource_spans in [&[apiserver, etcd][..], &[apiserver_again]] {
            let mut request = Vec::new();
            for of_resource in resource_spans {
                wire::put(&mut request, wire::RESOURCE_SPANS, of_resource);
            }
            stream.push(u8::try_from(request.len()).unwrap());
            stream.extend(request);
        }
        stream
    }

    /// A resource or a scope in field 1, and what is under it.
    fn message(owner: &[u8], number: u32, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        wire::put(&mut message, 1, owner);
        for part in parts {
            wire::put(&mut message, number, part);
        }
        message
    }

    /// How often each (resource, scope, span) occurs.
    fn content(requests: &[Bytes]) -> BTreeMap<(Bytes, Bytes, Bytes), usize> {
        let mut spans = Vec::new();
        for request in requests {
            collect(grpc::unframe(request).unwrap().message, &mut spans).unwrap();
        }
        let mut content = BTreeMap::new();
        for Span {
            resource,
            scope,
            bytes,
        } in spans
        {
            *content.entry((resource, scope, bytes)).or_default() += 1;
        }
        content
    }

    #[test]
    fn every_span_stays_under_its_own_resource_and_scope() {
        let recording = Recording::parse(&recorded()).unwrap();
        let whole = content(&recording.requests(7));
        assert_eq!(whole.len(), 7);
        for size in 1..7 {
            let cut = content(&recording.requests(size));
            assert_eq!(
                cut.keys().collect::<Vec<_>>(),
                whole.keys().collect::<Vec<_>>(),
                "size {size}"
            );
        }
    }

    #[test]
    fn every_request_holds_as_many_spans_as_asked_for() {
        let recording = Recording::parse(&recorded()).unwrap();
        for size in 1..20 {
            let requests = recording.requests(size);
            assert_eq!(requests.len(), 7_usize.div_ceil(size));
            for request in requests {
                assert_eq!(
                    grpc::spans(grpc::unframe(&request).unwrap().message).unwrap(),
                    size as u64
                );
            }
        }
    }

    #[test]
    fn a_recording_that_is_cut_off_is_refused() {
        let mut recorded = recorded();
        recorded.pop();
        assert!(Recording::parse(&recorded).is_err());
    }
}
