//! What the environment adds to a document: values for its variables, and the standard `OTEL_*`.

use super::{ENDPOINT, check, check_with, settings};
use crate::export::Compression;

#[test]
fn variables_are_put_into_values() {
    let document = "export: {endpoints: [{endpoint: '${SCHEME:-http}://${HOST}', concurrency: '${N:-7}'}]}\nidentify: {cluster: {cluster_name: '${NONE:-}'}}";
    let config = settings(document, &[("HOST", "c:1")]);
    assert_eq!(config.export.endpoints[0].concurrency, 7);
    assert_eq!(config.identify.cluster.cluster_name, None);
    check(
        document,
        &["F:1: export.endpoints[0].endpoint: the variable HOST is not set: set it, or write `${HOST:-}`"],
    );
}

#[test]
fn standard_variables_make_the_endpoints_of_a_file_without() {
    let config = settings(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, d = e"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4318/otlp"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb,service.name=x"),
            ("NODE_NAME", "node-1"),
            ("RUST_LOG", "debug"),
        ],
    );
    let endpoints: Vec<_> = config
        .export
        .endpoints
        .iter()
        .map(|endpoint| {
            let uris = endpoint
                .uris
                .iter()
                .flatten()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            (
                endpoint.name.as_str(),
                uris.join(" "),
                endpoint.compression,
                endpoint.timeout.as_millis(),
            )
        })
        .collect();
    let collector = |service: &str| format!("http://c:4317/opentelemetry.proto.collector.{service}/Export");
    assert_eq!(
        endpoints,
        [
            (
                "default",
                collector("metrics.v1.MetricsService"),
                Compression::Gzip,
                1500
            ),
            (
                "traces",
                "http://tempo:4318/otlp".to_owned(),
                Compression::Gzip,
                1500
            ),
            ("logs", collector("logs.v1.LogsService"), Compression::None, 1500),
        ]
    );
    assert_eq!(config.export.endpoints[0].headers["a"], "b c");
    assert_eq!(config.export.endpoints[0].headers["d"], "e");
    let cluster = &config.identify.cluster;
    assert_eq!(
        cluster.resource_attributes.iter().collect::<Vec<_>>(),
        [(&"team".to_owned(), &"a,b".to_owned())]
    );
    assert_eq!(cluster.node_name.as_deref(), Some("node-1"));
    assert_eq!(config.telemetry.log.level, "debug".parse().unwrap());
}

#[test]
fn the_file_wins_over_standard_variables() {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("RUST_LOG", "debug"),
    ];
    let config = settings(
        &format!("{ENDPOINT}telemetry: {{log: {{level: warn}}}}"),
        &environment,
    );
    let [endpoint] = config.export.endpoints.as_slice() else {
        panic!("one endpoint")
    };
    assert_eq!(endpoint.uris[0].as_ref().unwrap().host(), Some("collector"));
    assert_eq!(
        (endpoint.compression, endpoint.headers["a"].as_bytes()),
        (Compression::None, &b"b"[..])
    );
    assert_eq!(config.telemetry.log.level, "warn".parse().unwrap());
    let several = "export: {endpoints: [{endpoint: 'http://c'}, {name: b, endpoint: 'http://d'}]}";
    assert!(
        settings(several, &environment)
            .export
            .endpoints
            .iter()
            .all(|endpoint| endpoint.headers.is_empty())
    );
}

#[test]
fn a_fault_in_a_variable_is_reported_at_its_name() {
    check_with(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ],
        &[
            "OTEL_EXPORTER_OTLP_COMPRESSION: export.endpoints[0].compression: is no choice here",
            "OTEL_EXPORTER_OTLP_ENDPOINT: export.endpoints[0].endpoint: has no scheme",
            "OTEL_EXPORTER_OTLP_HEADERS: expected key=value pairs",
            "OTEL_EXPORTER_OTLP_PROTOCOL: http/json is not sent",
        ],
    );
}
