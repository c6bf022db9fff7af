//! A second opinion about what the components sent: packets on the node's loopback.
//!
//! In: what tcpdump wrote. Out: the bodies of the OTLP requests that it saw, in the order in which
//! they were complete. It knows TCP, and of HTTP/2 and HTTP/1.1 only what carries a body: no
//! header of HTTP/2 is read, because only the trace service is called on these ports.

use std::{collections::BTreeMap, fs, io::Read as _, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use flate2::read::GzDecoder;
use pcap_parser::{parse_pcap_frame, parse_pcap_header};

const GRPC: u16 = 4317;
const HTTP: u16 = 4318;
/// Where the capture is, in the lab's directory.
pub(crate) const FILE: &str = "capture.pcap";
/// What tcpdump is told to keep.
pub(crate) const FILTER: &str = "tcp port 4317 or tcp port 4318";

/// One OTLP request as its sender encoded it.
#[derive(Debug)]
pub(crate) struct Request {
    /// When its last packet passed.
    at: Duration,
    pub(crate) body: Vec<u8>,
}

/// One direction of one connection, from the component to the agent.
#[derive(Debug, Default)]
struct Flow {
    /// The sequence number of the first byte.
    first: Option<u32>,
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    sequence: u32,
    at: Duration,
    payload: Vec<u8>,
}

/// Bytes in order, with the time at which each stretch arrived.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    arrivals: Vec<(usize, Duration)>,
}

/// Reads all complete requests; a capture that is still being written ends in the middle of a packet.
pub(crate) fn requests(capture: &Path) -> anyhow::Result<Vec<Request>> {
    let bytes = fs::read(capture).with_context(|| format!("cannot read {}", capture.display()))?;
    let (mut rest, _) = parse_pcap_header(&bytes)
        .map_err(|fault| anyhow!("{} is not a capture: {fault:?}", capture.display()))?;
    let mut flows: BTreeMap<Route, Flow> = BTreeMap::new();
    while let Ok((after, packet)) = parse_pcap_frame(rest) {
        rest = after;
        let at = Duration::from_secs(packet.ts_sec.into()) + Duration::from_micros(packet.ts_usec.into());
        if let Some((route, first, segment)) = segment(packet.data, at) {
            let flow = flows.entry(route).or_default();
            flow.first = flow.first.or(first);
            flow.segments.push(segment);
        }
    }
    let mut requests = Vec::new();
    for ((_, server), flow) in flows {
        let stream = flow.stream();
        let found = match server.port() {
            GRPC => grpc(&stream),
            _ => http(&stream),
        };
        requests.extend(found.with_context(|| format!("a connection to {server}"))?);
    }
    requests.sort_by_key(|request| request.at);
    Ok(requests)
}

type Route = (SocketAddr, SocketAddr);

/// Takes a packet to the agent apart; the first sequence number is known when it opens a connection.
fn segment(packet: &[u8], at: Duration) -> Option<(Route, Option<u32>, Segment)> {
    let packet = SlicedPacket::from_ethernet(packet).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
        return None;
    };
    if ![GRPC, HTTP].contains(&tcp.destination_port()) {
        return None;
    }
    let header = ip.header();
    let from = SocketAddr::from((header.source_addr(), tcp.source_port()));
    let to = SocketAddr::from((header.destination_addr(), tcp.destination_port()));
    let first = tcp.syn().then(|| tcp.sequence_number().wrapping_add(1));
    let segment = Segment {
        sequence: tcp.sequence_number(),
        at,
        payload: tcp.payload().to_vec(),
    };
    Some(((from, to), first, segment))
}

impl Flow {
    /// Puts the segments in order; a port that is used again later would be a second `first`, and the
    /// lab does not live that long.
    fn stream(mut self) -> Stream {
        let Some(first) = self.first else {
            return Stream::default();
        };
        self.segments.retain(|segment| !segment.payload.is_empty());
        self.segments
            .sort_by_key(|segment| segment.sequence.wrapping_sub(first));
        let mut stream = Stream::default();
        for segment in self.segments {
            let offset = segment.sequence.wrapping_sub(first) as usize;
            let have = stream.bytes.len();
            if offset > have {
                // A gap: what follows cannot be read.
                break;
            }
            if let Some(new) = segment.payload.get(have - offset..) {
                stream.bytes.extend_from_slice(new);
                stream.arrivals.push((stream.bytes.len(), segment.at));
            }
        }
        stream
    }
}

impl Stream {
    /// When the byte before `end` arrived.
    fn arrival(&self, end: usize) -> Duration {
        let index = self.arrivals.partition_point(|(upto, _)| *upto < end);
        self.arrivals.get(index).map(|(_, at)| *at).unwrap_or_default()
    }
}

/// gRPC messages in the DATA frames of HTTP/2, by stream.
fn grpc(stream: &Stream) -> anyhow::Result<Vec<Request>> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const DATA: u8 = 0;
    const PADDED: u8 = 8;
    let mut requests = Vec::new();
    let mut calls: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut at = PREFACE.len();
    if stream.bytes.len() < at {
        return Ok(requests);
    }
    if !stream.bytes.starts_with(PREFACE) {
        bail!("does not begin with the preface of HTTP/2");
    }
    while let Some(&[a, b, c, kind, flags, s0, s1, s2, s3]) = stream.bytes.get(at..at + 9) {
        let end = at + 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(mut payload) = stream.bytes.get(at + 9..end) else {
            break;
        };
        at = end;
        if kind != DATA {
            continue;
        }
        if flags & PADDED != 0 {
            let (padding, rest) = payload.split_first().context("an empty padded frame")?;
            let length = rest.len().saturating_sub(usize::from(*padding));
            payload = &rest[..length];
        }
        let call = calls.entry(u32::from_be_bytes([s0, s1, s2, s3])).or_default();
        call.extend_from_slice(payload);
        while let Some((compressed, message)) = message(call) {
            let length = message.len() + 5;
            let body = if compressed {
                unzip(message)?
            } else {
                message.to_vec()
            };
            call.drain(..length);
            requests.push(Request {
                at: stream.arrival(end),
                body,
            });
        }
    }
    Ok(requests)
}

/// A whole gRPC message at the beginning of a call's bytes, and whether it is compressed.
fn message(call: &[u8]) -> Option<(bool, &[u8])> {
    let (&[compressed, l0, l1, l2, l3], rest) = call.split_first_chunk::<5>()?;
    let message = rest.get(..u32::from_be_bytes([l0, l1, l2, l3]) as usize)?;
    Some((compressed != 0, message))
}

/// Bodies of HTTP/1.1 requests, whose length is always declared: the exporters know it.
fn http(stream: &Stream) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    let mut at = 0;
    while let Some(rest) = stream.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(rest).context("not HTTP/1.1")? else {
            break;
        };
        let header = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let length: usize = header("content-length")
            .and_then(|length| length.parse().ok())
            .context("a request without a length")?;
        let Some(body) = rest.get(head..head + length) else {
            break;
        };
        let body = match header("content-encoding") {
            Some("gzip") => unzip(body)?,
            Some(other) => bail!("a body in {other}"),
            None => body.to_vec(),
        };
        at += head + length;
        requests.push(Request {
            at: stream.arrival(at),
            body,
        });
    }
    Ok(requests)
}

fn unzip(packed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut plain)
        .context("not gzip")?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Flow, Segment, grpc, http};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// A connection whose bytes arrive in these pieces: offset and content.
    fn flow(pieces: &[(u32, &[u8])]) -> Flow {
        let begin = u32::MAX - 10;
        let segments = pieces
            .iter()
            .enumerate()
            .map(|(order, (offset, payload))| Segment {
                sequence: begin.wrapping_add(*offset),
                at: Duration::from_secs(order as u64),
                payload: payload.to_vec(),
            });
        Flow {
            first: Some(begin),
            segments: segments.collect(),
        }
    }

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let header = [0, 0, length, kind, flags, 0, 0, 0, stream];
        [&header[..], payload].concat()
    }

    #[test]
    fn bytes_that_arrive_twice_or_out_of_order_are_read_once_and_in_order() {
        let stream = flow(&[(4, b"EFGH"), (0, b"ABCD"), (2, b"CDEF"), (8, b"I")]).stream();
        assert_eq!(stream.bytes, b"ABCDEFGHI");
    }

    #[test]
    fn what_follows_a_gap_is_left_out() {
        assert_eq!(flow(&[(0, b"AB"), (3, b"D")]).stream().bytes, b"AB");
    }

    #[test]
    fn messages_of_interleaved_calls_are_put_together_from_their_data_frames() {
        let bytes = [
            PREFACE,
            &frame(4, 0, 0, b"settings"),
            &frame(0, 0, 1, b"\0\0\0\0\x04on"),
            &frame(0, 0, 3, b"\0\0\0\0\x05three"),
            &frame(0, 8, 1, b"\x03le...."[..].split_at(6).0),
        ]
        .concat();
        let requests = grpc(&flow(&[(0, &bytes)]).stream()).unwrap();
        let bodies: Vec<_> = requests.iter().map(|request| request.body.as_slice()).collect();
        assert_eq!(bodies, [&b"three"[..], b"onle"]);
    }

    #[test]
    fn http_requests_on_one_connection_are_told_apart_by_their_lengths() {
        let bytes = b"POST /v1/traces HTTP/1.1\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\ncontent-length: 0\r\n\r\nPOST";
        let requests = http(&flow(&[(0, bytes)]).stream()).unwrap();
        let bodies: Vec<_> = requests.iter().map(|request| request.body.as_slice()).collect();
        assert_eq!(bodies, [&b"one"[..], b""]);
    }
}
