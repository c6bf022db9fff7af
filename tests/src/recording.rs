//! What the components of a real cluster sent, request by request.

use std::{fs, path::Path};

use bytes::{Buf as _, Bytes};

/// The trace requests of each file below `data/otlp`: each behind its length as a varint.
#[must_use]
pub fn recorded() -> Vec<Bytes> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/otlp");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recordings = files.filter(|file| file.extension().is_some_and(|found| found == "binpb"));
    recordings
        .flat_map(|file| requests(fs::read(file).unwrap().into()))
        .collect()
}

fn requests(mut file: Bytes) -> Vec<Bytes> {
    let mut requests = Vec::new();
    while file.has_remaining() {
        let length = prost::decode_length_delimiter(&mut file).unwrap();
        requests.push(file.split_to(length));
    }
    requests
}
