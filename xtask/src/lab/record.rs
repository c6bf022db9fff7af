//! Real requests of all four components, for tests and for the bench.
//!
//! In: the lab's capture. Out: files under `tests/data/otlp`, each a sequence of requests behind
//! their lengths as varints, byte for byte as the components sent them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::{Message as _, encoding::encode_varint};

use super::{account::COMPONENTS, capture, spans};

/// Enough spans of a component to see all kinds, in a file small enough for a repository.
const COMPONENT_SPANS: usize = 500;
const COMPONENT_BYTES: usize = 400 * 1000;
/// What the bench sends again and again.
const LAB_SPANS: usize = 6_000;
const LAB_BYTES: usize = 2_500 * 1000;

/// A growing file with its limits.
#[derive(Debug)]
struct Fixture {
    framed: Vec<u8>,
    spans: usize,
    max_spans: usize,
    max_bytes: usize,
}

/// Writes the files from what was captured so far.
pub(crate) fn fixtures(capture: &Path, into: &Path) -> anyhow::Result<()> {
    let mut files: BTreeMap<&str, Fixture> = COMPONENTS
        .iter()
        .map(|(component, _)| (*component, Fixture::new(COMPONENT_SPANS, COMPONENT_BYTES)))
        .collect();
    let mut lab = Fixture::new(LAB_SPANS, LAB_BYTES);
    for request in capture::requests(capture)? {
        let decoded = ExportTraceServiceRequest::decode(request.body.as_slice())
            .context("the capture holds a request that is not OTLP")?;
        let spans = spans::of(&[decoded]);
        let service = spans.first().map(|span| span.service.as_str());
        let Some((component, _)) = COMPONENTS.iter().find(|(_, name)| Some(*name) == service) else {
            continue;
        };
        if let Some(file) = files.get_mut(component) {
            file.add(&request.body, spans.len());
        }
        lab.add(&request.body, spans.len());
    }
    files.insert("lab", lab);
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    for (name, file) in files {
        if file.spans < file.max_spans / 2 {
            bail!(
                "only {} spans of {name} were captured: let the lab run for longer",
                file.spans
            );
        }
        let path = into.join(format!("{name}.binpb"));
        fs::write(&path, &file.framed).with_context(|| format!("cannot write {}", path.display()))?;
        println!(
            "{}: {} spans, {} bytes",
            path.display(),
            file.spans,
            file.framed.len()
        );
    }
    Ok(())
}

impl Fixture {
    fn new(max_spans: usize, max_bytes: usize) -> Self {
        Self {
            framed: Vec::new(),
            spans: 0,
            max_spans,
            max_bytes,
        }
    }

    /// Adds a request unless it would make the file too large.
    fn add(&mut self, body: &[u8], spans: usize) {
        if self.spans >= self.max_spans || self.framed.len() + body.len() + 5 > self.max_bytes {
            return;
        }
        encode_varint(body.len() as u64, &mut self.framed);
        self.framed.extend_from_slice(body);
        self.spans += spans;
    }
}
