//! Request bodies as they go over the wire.
//!
//! A batch is compressed as one stream, part after part, and gives way to other tasks between parts, so
//! that a large batch does not hold up the reception of new requests.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::Compression;

/// Input between two points where other tasks may run: about 0.2 ms of gzip.
const STRETCH: usize = 128 * 1024;

/// gzip level 1: 600 ns for a span of 313 bytes where level 6 takes 2,000, for 15 % more bytes.
const GZIP_LEVEL: u32 = 1;

/// zstd level 1: smaller and faster than any level of gzip on spans.
const ZSTD_LEVEL: i32 = 1;

impl Compression {
    /// The name in `content-encoding` and `grpc-encoding`.
    pub(super) fn encoding(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::None => None,
        }
    }
}

/// Compresses bodies in a row, behind `prefix` bytes that are left as they are.
pub(super) async fn compress<'a>(
    compression: Compression,
    prefix: &[u8],
    bodies: impl Iterator<Item = &'a Bytes>,
    size: usize,
) -> io::Result<Vec<u8>> {
    match compression {
        Compression::Gzip => {
            let mut out = Vec::with_capacity(prefix.len() + size / 4);
            out.extend_from_slice(prefix);
            let encoder = GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
            write_all(encoder, bodies).await?.finish()
        }
        Compression::Zstd => {
            let mut out = Vec::with_capacity(prefix.len() + size / 4);
            out.extend_from_slice(prefix);
            let encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            write_all(encoder, bodies).await?.finish()
        }
        Compression::None => {
            let mut out = Vec::with_capacity(prefix.len() + size);
            out.extend_from_slice(prefix);
            bodies.for_each(|body| out.extend_from_slice(body));
            Ok(out)
        }
    }
}

async fn write_all<'a, W: Write>(mut to: W, bodies: impl Iterator<Item = &'a Bytes>) -> io::Result<W> {
    let mut stretch = 0;
    for body in bodies {
        for piece in body.chunks(STRETCH) {
            to.write_all(piece)?;
            stretch += piece.len();
            if stretch >= STRETCH {
                stretch = 0;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(to)
}
