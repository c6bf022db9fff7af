//! The messages of OTLP 1.10 as JSON names them, for `Export{Trace,Metrics,Logs}ServiceRequest`.

use std::fmt;

use crate::model::Signal;

/// The fields of a message.
pub(super) type Schema = &'static [Field];

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// Repeated, each value with its key.
    Each,
    /// Repeated, the values together behind one key.
    Packed,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    /// Enumerations too.
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Text,
    /// `bytes` in base64.
    Bytes,
    /// `bytes` in hexadecimal.
    Id,
    Message(Schema),
}

impl fmt::Display for Kind {
    /// What has to be there, for whoever wrote something else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int32 | Self::Sint32 => "a 32-bit integer",
            Self::Int64 | Self::Sfixed64 => "a 64-bit integer, as a number or a string,",
            Self::Uint32 | Self::Fixed32 => "an unsigned 32-bit integer",
            Self::Uint64 | Self::Fixed64 => "an unsigned 64-bit integer, as a number or a string,",
            Self::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Self::Text => "a string",
            Self::Bytes => "a string in base64",
            Self::Id => "a string of hexadecimal digits",
            Self::Message(_) => "an object",
        })
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        shape: Shape::One,
    }
}

const fn each(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        shape: Shape::Each,
    }
}

const fn packed(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        shape: Shape::Packed,
    }
}

/// An `Export...ServiceRequest`.
pub(super) fn request(signal: Signal) -> Schema {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    }
}

static TRACES: [Field; 1] = [each(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))];
static METRICS: [Field; 1] = [each(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))];
static LOGS: [Field; 1] = [each(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))];

// === common.proto, resource.proto ===

// These are statics and no constants, because values hold values: only a static can be named within itself.
static ANY_VALUE: [Field; 8] = [
    one(1, "stringValue", Kind::Text),
    one(2, "boolValue", Kind::Bool),
    one(3, "intValue", Kind::Int64),
    one(4, "doubleValue", Kind::Double),
    one(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
    one(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
    one(7, "bytesValue", Kind::Bytes),
    one(8, "stringValueStrindex", Kind::Int32),
];
static ARRAY_VALUE: [Field; 1] = [each(1, "values", Kind::Message(&ANY_VALUE))];
static KEY_VALUE_LIST: [Field; 1] = [each(1, "values", Kind::Message(&KEY_VALUE))];
static KEY_VALUE: [Field; 3] = [
    one(1, "key", Kind::Text),
    one(2, "value", Kind::Message(&ANY_VALUE)),
    one(3, "keyStrindex", Kind::Int32),
];
static SCOPE: [Field; 4] = [
    one(1, "name", Kind::Text),
    one(2, "version", Kind::Text),
    each(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
];
static RESOURCE: [Field; 3] = [
    each(1, "attributes", Kind::Message(&KEY_VALUE)),
    one(2, "droppedAttributesCount", Kind::Uint32),
    each(3, "entityRefs", Kind::Message(&ENTITY_REF)),
];
static ENTITY_REF: [Field; 4] = [
    one(1, "schemaUrl", Kind::Text),
    one(2, "type", Kind::Text),
    each(3, "idKeys", Kind::Text),
    each(4, "descriptionKeys", Kind::Text),
];

// === trace.proto ===

static RESOURCE_SPANS: [Field; 3] = [
    one(1, "resource", Kind::Message(&RESOURCE)),
    each(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", Kind::Text),
];
static SCOPE_SPANS: [Field; 3] = [
    one(1, "scope", Kind::Message(&SCOPE)),
    each(2, "spans", Kind::Message(&SPAN)),
    one(3, "schemaUrl", Kind::Text),
];
static SPAN: [Field; 16] = [
    one(1, "traceId", Kind::Id),
    one(2, "spanId", Kind::Id),
    one(3, "traceState", Kind::Text),
    one(4, "parentSpanId", Kind::Id),
    one(5, "name", Kind::Text),
    one(6, "kind", Kind::Int32),
    one(7, "startTimeUnixNano", Kind::Fixed64),
    one(8, "endTimeUnixNano", Kind::Fixed64),
    each(9, "attributes", Kind::Message(&KEY_VALUE)),
    one(10, "droppedAttributesCount", Kind::Uint32),
    each(11, "events", Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", Kind::Uint32),
    each(13, "links", Kind::Message(&LINK)),
    one(14, "droppedLinksCount", Kind::Uint32),
    one(15, "status", Kind::Message(&STATUS)),
    one(16, "flags", Kind::Fixed32),
];
static EVENT: [Field; 4] = [
    one(1, "timeUnixNano", Kind::Fixed64),
    one(2, "name", Kind::Text),
    each(3, "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
];
static LINK: [Field; 6] = [
    one(1, "traceId", Kind::Id),
    one(2, "spanId", Kind::Id),
    one(3, "traceState", Kind::Text),
    each(4, "attributes", Kind::Message(&KEY_VALUE)),
    one(5, "droppedAttributesCount", Kind::Uint32),
    one(6, "flags", Kind::Fixed32),
];
static STATUS: [Field; 2] = [one(2, "message", Kind::Text), one(3, "code", Kind::Int32)];

// === logs.proto ===

static RESOURCE_LOGS: [Field; 3] = [
    one(1, "resource", Kind::Message(&RESOURCE)),
    each(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
    one(3, "schemaUrl", Kind::Text),
];
static SCOPE_LOGS: [Field; 3] = [
    one(1, "scope", Kind::Message(&SCOPE)),
    each(2, "logRecords", Kind::Message(&LOG_RECORD)),
    one(3, "schemaUrl", Kind::Text),
];
static LOG_RECORD: [Field; 11] = [
    one(1, "timeUnixNano", Kind::Fixed64),
    one(2, "severityNumber", Kind::Int32),
    one(3, "severityText", Kind::Text),
    one(5, "body", Kind::Message(&ANY_VALUE)),
    each(6, "attributes", Kind::Message(&KEY_VALUE)),
    one(7, "droppedAttributesCount", Kind::Uint32),
    one(8, "flags", Kind::Fixed32),
    one(9, "traceId", Kind::Id),
    one(10, "spanId", Kind::Id),
    one(11, "observedTimeUnixNano", Kind::Fixed64),
    one(12, "eventName", Kind::Text),
];

// === metrics.proto ===

static RESOURCE_METRICS: [Field; 3] = [
    one(1, "resource", Kind::Message(&RESOURCE)),
    each(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
    one(3, "schemaUrl", Kind::Text),
];
static SCOPE_METRICS: [Field; 3] = [
    one(1, "scope", Kind::Message(&SCOPE)),
    each(2, "metrics", Kind::Message(&METRIC)),
    one(3, "schemaUrl", Kind::Text),
];
static METRIC: [Field; 9] = [
    one(1, "name", Kind::Text),
    one(2, "description", Kind::Text),
    one(3, "unit", Kind::Text),
    one(5, "gauge", Kind::Message(&GAUGE)),
    one(7, "sum", Kind::Message(&SUM)),
    one(9, "histogram", Kind::Message(&HISTOGRAM)),
    one(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", Kind::Message(&SUMMARY)),
    each(12, "metadata", Kind::Message(&KEY_VALUE)),
];
static GAUGE: [Field; 1] = [each(1, "dataPoints", Kind::Message(&NUMBER_POINT))];
static SUM: [Field; 3] = [
    each(1, "dataPoints", Kind::Message(&NUMBER_POINT)),
    one(2, "aggregationTemporality", Kind::Int32),
    one(3, "isMonotonic", Kind::Bool),
];
static HISTOGRAM: [Field; 2] = [
    each(1, "dataPoints", Kind::Message(&HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", Kind::Int32),
];
static EXPONENTIAL_HISTOGRAM: [Field; 2] = [
    each(1, "dataPoints", Kind::Message(&EXPONENTIAL_POINT)),
    one(2, "aggregationTemporality", Kind::Int32),
];
static SUMMARY: [Field; 1] = [each(1, "dataPoints", Kind::Message(&SUMMARY_POINT))];
static NUMBER_POINT: [Field; 7] = [
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "asDouble", Kind::Double),
    each(5, "exemplars", Kind::Message(&EXEMPLAR)),
    one(6, "asInt", Kind::Sfixed64),
    each(7, "attributes", Kind::Message(&KEY_VALUE)),
    one(8, "flags", Kind::Uint32),
];
static HISTOGRAM_POINT: [Field; 11] = [
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    packed(6, "bucketCounts", Kind::Fixed64),
    packed(7, "explicitBounds", Kind::Double),
    each(8, "exemplars", Kind::Message(&EXEMPLAR)),
    each(9, "attributes", Kind::Message(&KEY_VALUE)),
    one(10, "flags", Kind::Uint32),
    one(11, "min", Kind::Double),
    one(12, "max", Kind::Double),
];
static EXPONENTIAL_POINT: [Field; 14] = [
    each(1, "attributes", Kind::Message(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    one(6, "scale", Kind::Sint32),
    one(7, "zeroCount", Kind::Fixed64),
    one(8, "positive", Kind::Message(&BUCKETS)),
    one(9, "negative", Kind::Message(&BUCKETS)),
    one(10, "flags", Kind::Uint32),
    each(11, "exemplars", Kind::Message(&EXEMPLAR)),
    one(12, "min", Kind::Double),
    one(13, "max", Kind::Double),
    one(14, "zeroThreshold", Kind::Double),
];
static BUCKETS: [Field; 2] = [
    one(1, "offset", Kind::Sint32),
    packed(2, "bucketCounts", Kind::Uint64),
];
static SUMMARY_POINT: [Field; 7] = [
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    each(6, "quantileValues", Kind::Message(&QUANTILE)),
    each(7, "attributes", Kind::Message(&KEY_VALUE)),
    one(8, "flags", Kind::Uint32),
];
static QUANTILE: [Field; 2] = [one(1, "quantile", Kind::Double), one(2, "value", Kind::Double)];
static EXEMPLAR: [Field; 6] = [
    one(2, "timeUnixNano", Kind::Fixed64),
    one(3, "asDouble", Kind::Double),
    one(4, "spanId", Kind::Id),
    one(5, "traceId", Kind::Id),
    one(6, "asInt", Kind::Sfixed64),
    each(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
];
