//! Bytes that resemble requests, and changes that bend and break them.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::model::Signal;

pub(in super::super) fn signal() -> impl Strategy<Value = Signal> {
    prop::sample::select(&Signal::ALL[..])
}

/// Fields in the shape of protobuf that know nothing of OTLP: any number, any wire type, messages in messages.
pub(in super::super) fn soup() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        (0_u64..18, any::<u64>()).prop_map(|(number, value)| [varint(number << 3), varint(value)].concat()),
        (0_u64..18, any::<[u8; 8]>())
            .prop_map(|(number, value)| [varint(number << 3 | 1), value.into()].concat()),
        (0_u64..18, any::<[u8; 4]>())
            .prop_map(|(number, value)| [varint(number << 3 | 5), value.into()].concat()),
        (0_u64..18, vec(any::<u8>(), 0..9)).prop_map(|(number, value)| delimited(number, &value)),
        (0_u64..18, "[a-zü.]{0,9}").prop_map(|(number, value)| delimited(number, value.as_bytes())),
        vec(any::<u8>(), 0..3),
    ];
    scalar.prop_recursive(9, 64, 4, |inner| {
        let fields = vec(inner, 0..4).prop_map(|fields| fields.concat());
        prop_oneof![
            // Mostly low numbers, so that messages which OTLP knows are met often.
            4 => (1_u64..4, fields.clone()).prop_map(|(number, message)| delimited(number, &message)),
            2 => (1_u64..17, fields.clone()).prop_map(|(number, message)| delimited(number, &message)),
            1 => (1_u64..20, fields.clone()).prop_map(|(number, group)| {
                [varint(number << 3 | 3), group, varint(number << 3 | 4)].concat()
            }),
            1 => fields,
        ]
    })
}

/// One change to a request.
#[derive(Clone, Debug)]
pub(in super::super) enum Edit {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// Repeats a part elsewhere.
    Copy(Index, Index, u8),
}

pub(in super::super) fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![
        any::<u8>(),
        (0_u8..18, 0_u8..6).prop_map(|(number, wire)| number << 3 | wire)
    ];
    prop_oneof![
        6 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        2 => any::<Index>().prop_map(Edit::Remove),
        1 => any::<Index>().prop_map(Edit::Truncate),
        2 => (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

impl Edit {
    pub(in super::super) fn apply(&self, request: &mut Vec<u8>) {
        let place = |index: &Index, request: &Vec<u8>| index.index(request.len() + 1);
        match self {
            Self::Insert(at, byte) => request.insert(place(at, request), *byte),
            Self::Truncate(at) => request.truncate(place(at, request)),
            _ if request.is_empty() => {}
            Self::Set(at, byte) => {
                let at = at.index(request.len());
                request[at] = *byte;
            }
            Self::Remove(at) => drop(request.remove(at.index(request.len()))),
            Self::Copy(from, to, length) => {
                let from = from.index(request.len());
                let part = request[from..request.len().min(from + usize::from(*length))].to_vec();
                let to = place(to, request);
                request.splice(to..to, part);
            }
        }
    }
}

pub(in super::super) fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

pub(in super::super) fn delimited(number: u64, value: &[u8]) -> Vec<u8> {
    [
        varint(number << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}
