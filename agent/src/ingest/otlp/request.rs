//! Reads the body of a request, over either transport, within all its bounds.
//!
//! In: a body that arrives frame by frame from a sender that may stall, lie or go away. Out: its bytes,
//! decompressed, with the [`Reservation`] that they hold; or the [`Fault`] that ended it. Memory is bounded
//! at every step by the size limit and by the budget of all requests together.

use std::{io::Read, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{budget::Reservation, fault::Fault};
use crate::model::ByteSize;

/// By how much decompressed output grows at a time.
const STEP: usize = 32 * 1024;

/// The largest window of a zstd frame, 2^23 = 8 MiB: what RFC 8878 recommends decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What a sender may use, as `grpc-accept-encoding` and `accept-encoding` say it.
    pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

    pub(super) fn of(header: Option<&HeaderValue>) -> Result<Self, Fault> {
        match header.map_or(&b"identity"[..], HeaderValue::as_bytes) {
            b"identity" | b"" => Ok(Self::Identity),
            b"gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            other => Err(Fault::Encoding(String::from_utf8_lossy(other).into_owned())),
        }
    }
}

/// What a body is said to be, without parameters such as a charset.
pub(super) fn media_type(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let mut parts = value.split(|byte| *byte == b';');
    parts.next().unwrap_or_default().trim_ascii()
}

/// Reads a body to its end.
pub(super) async fn read(
    body: Incoming,
    limit: ByteSize,
    timeout: Duration,
    reservation: &mut Reservation,
) -> Result<Bytes, Fault> {
    tokio::time::timeout(timeout, gather(body, limit, reservation))
        .await
        .unwrap_or(Err(Fault::Timeout(timeout)))
}

async fn gather(mut body: Incoming, limit: ByteSize, reservation: &mut Reservation) -> Result<Bytes, Fault> {
    // A body of one frame, as small requests are, is not copied. Frames of a longer one are: kept as they
    // are, tiny ones would hold far more memory than they have bytes.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_gone| Fault::Disconnected)?;
        let Ok(bytes) = frame.into_data() else { continue };
        reservation.grow(bytes.len())?;
        if first.len() + all.len() + bytes.len() > limit.0 {
            return Err(Fault::TooLarge(limit));
        }
        if first.is_empty() && all.is_empty() {
            first = bytes;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Undoes the compression of a body, which ends at the limit: a bomb costs no more than an honest request.
pub(super) fn decompress(
    body: Bytes,
    encoding: Encoding,
    limit: ByteSize,
    reservation: &mut Reservation,
) -> Result<Bytes, Fault> {
    match encoding {
        Encoding::Identity if body.len() > limit.0 => Err(Fault::TooLarge(limit)),
        Encoding::Identity => Ok(body),
        Encoding::Gzip => expand(flate2::bufread::MultiGzDecoder::new(&*body), limit, reservation),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(Fault::Compression)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(Fault::Compression)?;
            expand(decoder, limit, reservation)
        }
    }
}

fn expand(mut decoder: impl Read, limit: ByteSize, reservation: &mut Reservation) -> Result<Bytes, Fault> {
    let mut output = Vec::new();
    loop {
        reservation.grow(STEP)?;
        // One byte past the limit is enough to know.
        let room = (limit.0 + 1 - output.len()).min(STEP);
        let step = decoder
            .by_ref()
            .take(room as u64)
            .read_to_end(&mut output)
            .map_err(Fault::Compression)?;
        if output.len() > limit.0 {
            return Err(Fault::TooLarge(limit));
        }
        if step < room {
            return Ok(output.into());
        }
    }
}
