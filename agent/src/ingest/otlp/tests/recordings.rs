//! What the components of a real cluster sent, request by request.

use std::{fs, path::Path};

use bytes::{Buf as _, Bytes};

use crate::model::Component;

/// The recorded trace requests of a component: each behind its length as a varint.
pub(in super::super) fn recorded(component: Component) -> Vec<Bytes> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/otlp");
    let mut file = Bytes::from(fs::read(folder.join(component.as_str()).with_extension("binpb")).unwrap());
    let mut requests = Vec::new();
    while file.has_remaining() {
        let length = prost::decode_length_delimiter(&mut file).unwrap();
        requests.push(file.split_to(length));
    }
    requests
}

/// The components that were recorded.
pub(in super::super) const RECORDED: [Component; 4] = [
    Component::KubeApiserver,
    Component::Etcd,
    Component::Kubelet,
    Component::Containerd,
];
