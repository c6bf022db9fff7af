//! Metrics of all five kinds (`metrics.proto`). The items are their data points.

use super::{
    super::wire::{Depth, Malformed, Reader},
    attributes,
};

/// `Metric`; returns the number of its data points.
pub(super) fn metric(message: &[u8], depth: Depth) -> Result<u64, Malformed> {
    // Its data is one of five kinds: where a sender gives several, the last one replaces those before it,
    // and repeated messages of one kind add up.
    let (mut kind, mut points) = (0, 0);
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        let number = field.number();
        let point = match number {
            5 | 7 => number_point,
            9 => histogram_point,
            10 => exponential_point,
            11 => summary_point,
            1..=3 => {
                fields.read_text(field)?;
                continue;
            }
            12 => {
                attributes::attribute(fields.read_bytes(field)?, depth.below()?)?;
                continue;
            }
            _ => {
                fields.skip(field, depth)?;
                continue;
            }
        };
        let found = data(fields.read_bytes(field)?, depth.below()?, number, point)?;
        points = if number == kind { points + found } else { found };
        kind = number;
    }
    Ok(points)
}

/// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` or `Summary`, by its number in `Metric`.
fn data(
    message: &[u8],
    depth: Depth,
    kind: u32,
    point: fn(&[u8], Depth) -> Result<(), Malformed>,
) -> Result<u64, Malformed> {
    let mut points = 0;
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match (field.number(), kind) {
            (1, _) => {
                point(fields.read_bytes(field)?, depth.below()?)?;
                points += 1;
            }
            (2, 7 | 9 | 10) | (3, 7) => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(points)
}

/// `NumberDataPoint`.
fn number_point(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            2..=4 | 6 => drop(fields.read_fixed64(field)?),
            5 => exemplar(fields.read_bytes(field)?, depth.below()?)?,
            7 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            8 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `HistogramDataPoint`.
fn histogram_point(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            2..=5 | 11 | 12 => drop(fields.read_fixed64(field)?),
            6 | 7 => fields.read_fixed64s(field)?,
            8 => exemplar(fields.read_bytes(field)?, depth.below()?)?,
            9 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            10 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `ExponentialHistogramDataPoint`.
fn exponential_point(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            2..=5 | 7 | 12..=14 => drop(fields.read_fixed64(field)?),
            6 | 10 => drop(fields.read_varint(field)?),
            8 | 9 => buckets(fields.read_bytes(field)?, depth.below()?)?,
            11 => exemplar(fields.read_bytes(field)?, depth.below()?)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `ExponentialHistogramDataPoint.Buckets`.
fn buckets(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 => drop(fields.read_varint(field)?),
            2 => fields.read_varints(field)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `SummaryDataPoint`.
fn summary_point(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            2..=5 => drop(fields.read_fixed64(field)?),
            6 => quantile(fields.read_bytes(field)?, depth.below()?)?,
            7 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            8 => drop(fields.read_varint(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `SummaryDataPoint.ValueAtQuantile`.
fn quantile(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            1 | 2 => drop(fields.read_fixed64(field)?),
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}

/// `Exemplar`.
fn exemplar(message: &[u8], depth: Depth) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(field) = fields.field()? {
        match field.number() {
            2 | 3 | 6 => drop(fields.read_fixed64(field)?),
            4 | 5 => drop(fields.read_bytes(field)?),
            7 => attributes::attribute(fields.read_bytes(field)?, depth.below()?)?,
            _ => fields.skip(field, depth)?,
        }
    }
    Ok(())
}
