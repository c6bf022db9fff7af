//! Tests of the whole room, and the requests that the tests of its parts share.

mod grpc;
mod harness;
mod http;
mod listen;
mod pressure;
mod recordings;
mod samples;
mod strategies;

pub(super) use self::{
    recordings::{RECORDED, recorded},
    samples::{rich, small, text},
    strategies::{delimited, edit, signal, soup, varint},
};
