//! Documents in, faults or settings out. Only `check` and `settings` touch the API.

use std::{fs, path::PathBuf, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    export::{Compression, Protocol, WhenFull},
    model::ByteSize,
};

mod environment;

const ENDPOINT: &str = "export: {endpoints: [{endpoint: 'http://collector:4317'}]}\n";

/// Loads a document under a known environment; faults name its file `F`.
fn loaded(document: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("F");
    fs::write(&file, document).unwrap();
    let folder = format!("{}/", folder.path().display());
    load(Some(&file), &environment.iter().copied().collect())
        .map_err(|faults| faults.to_string().replace(&folder, ""))
}

fn check_with(document: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let found = loaded(document, environment).map(|config| config.to_string());
    let found = found.expect_err("the document has a fault");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{found}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(expected),
            "expected `{expected}`, found:\n{found}"
        );
    }
}

/// Each fault begins as expected.
fn check(document: &str, expected: &[&str]) {
    check_with(document, &[], expected);
}

/// Checks settings beside a sound endpoint, which is the first line.
fn check_beside(document: &str, expected: &[&str]) {
    check(&format!("{ENDPOINT}{document}"), expected);
}

fn settings(document: &str, environment: &[(&str, &str)]) -> Config {
    loaded(document, environment).unwrap()
}

#[test]
fn an_endpoint_is_all_that_must_be_said() {
    let config = settings(ENDPOINT, &[]);
    assert_eq!(
        config.to_string().lines().collect::<Vec<_>>(),
        [
            "ingest otlp/grpc 127.0.0.1:4317",
            "ingest otlp/http 127.0.0.1:4318",
            "export traces to default: http://collector:4317",
            "export metrics to default: http://collector:4317",
            "export logs to default: http://collector:4317",
            "admin 127.0.0.1:9464",
        ]
    );
    check("", &["F:1: export.endpoints: names no receiver: add"]);
    check("export:\n", &["F:1: export.endpoints: names no receiver: add"]);
}

#[test]
fn all_settings_reach_their_rooms() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (pem, headers) = (file("tls.pem", ""), file("headers", "X-Key: from file\n\n"));
    let config = settings(
        &format!(
            "
            ingest: {{otlp: {{grpc: ['unix:///run/o.sock'], http: [], max_message_size: 1MiB, max_in_flight: 2MiB, read_timeout: 5s}}}}
            identify: {{cluster: {{enabled: false, node_name: 123, cluster_name: no, kubeconfig: {pem},
                        resource_attributes: {{deployment.environment.name: prod}}}}}}
            export:
              endpoints:
                - name: tempo
                  endpoint: https://tempo:4318/base/
                  protocol: http
                  signals: [traces, logs]
                  compression: zstd
                  headers: {{authorization: Bearer t}}
                  headers_file: {headers}
                  timeout: 3s
                  concurrency: 2
                  tls: {{ca_file: {pem}, cert_file: {pem}, key_file: {pem}}}
                  batch: {{max_size: 512KiB, max_age: 1s}}
                  queue: {{max_size: 8MiB, when_full: drop}}
                  retry: {{initial_delay: 2s, max_delay: 1m, give_up_after: 1h}}
            correlate: {{metrics: {{interval: 15s}}, span_metrics: {{enabled: false, dimensions: [http.route], max_series: 9}}}}
            pipeline: {{shutdown_grace: 9s}}
            admin: {{address: '[::1]:0', bearer_token_file: {pem}, tls: {{cert_file: {pem}, key_file: {pem}}}}}
            telemetry: {{log: {{level: 'warn,innerspan=debug', format: json}}}}
            "
        ),
        &[],
    );
    assert_eq!(config.ingest.otlp.grpc, [Listen::Unix("/run/o.sock".into())]);
    assert_eq!(config.ingest.otlp.max_in_flight, ByteSize::mib(2));
    let cluster = &config.identify.cluster;
    assert_eq!(
        (cluster.node_name.as_deref(), cluster.cluster_name.as_deref()),
        (Some("123"), Some("no"))
    );
    assert_eq!(cluster.resource_attributes["deployment.environment.name"], "prod");
    let spans = &config.correlate.span_metrics;
    assert_eq!(config.correlate.metrics_interval, Duration::from_secs(15));
    assert_eq!(
        (spans.enabled, &*spans.dimensions, spans.max_series),
        (false, &["http.route".into()][..], 9)
    );
    let [endpoint] = config.export.endpoints.as_slice() else {
        panic!("one endpoint")
    };
    let uris = endpoint.uris.clone().map(|uri| uri.map(|uri| uri.to_string()));
    let traces = Some("https://tempo:4318/base/v1/traces".to_owned());
    assert_eq!(
        uris,
        [traces, None, Some("https://tempo:4318/base/v1/logs".to_owned())]
    );
    assert_eq!(
        (endpoint.protocol, endpoint.compression),
        (Protocol::Http, Compression::Zstd)
    );
    assert_eq!(
        (
            endpoint.headers["authorization"].as_bytes(),
            endpoint.headers_file.clone()
        ),
        (&b"Bearer t"[..], Some(PathBuf::from(&headers)))
    );
    assert_eq!(endpoint.queue.when_full, WhenFull::Drop);
    assert_eq!(endpoint.retry.give_up_after, Some(Duration::from_hours(1)));
    assert_eq!(
        endpoint.tls.client.as_ref().unwrap().key_file,
        PathBuf::from(&pem)
    );
    assert_eq!(config.admin.tls.unwrap().cert_file, PathBuf::from(&pem));
    assert_eq!(config.telemetry.log.format, telemetry::LogFormat::Json);
}

#[test]
fn every_fault_is_found_at_once_with_its_line() {
    check(
        "
ingest:
  otlp:
    grpc: [localhost:4317, 127.0.0.1:4317, 127.0.0.1:4317]
    http: ['unix://otlp.sock']
    max_mesage_size: 4MiB
    read_timeout: 10
export:
  endpoints:
    - name: a
      endpoint: collector:4317
      protocol: grcp
      signals: [traces, span, traces]
    - not an endpoint
    - name: a
      batch: {max_size: 32MiB}
admin: [1]
telemetry: {log: {level: 'a=b=c'}}
",
        &[
            "F:4: ingest.otlp.grpc[0]: expected an IP address and a port",
            "F:5: ingest.otlp.http[0]: expected an absolute path",
            "F:6: ingest.otlp.max_mesage_size: is no setting here: did you mean `max_message_size`?",
            "F:7: ingest.otlp.read_timeout: expected a duration: a whole number and ms, s, m or h",
            "F:11: export.endpoints[0].endpoint: has no scheme: write `http://` before it",
            "F:12: export.endpoints[0].protocol: is no choice here: did you mean `grpc`?",
            "F:13: export.endpoints[0].signals[1]: is no choice here: expected one of traces, metrics, logs",
            "F:13: export.endpoints[0].signals[2]: lists traces again",
            "F:14: export.endpoints[1]: expected a section, found text",
            "F:15: export.endpoints[2].endpoint: is missing",
            "F:15: export.endpoints[2].name: is the name of another endpoint",
            "F:16: export.endpoints[2].batch.max_size: is more than `queue.max_size`",
            "F:17: admin: expected a section, found a list",
            "F:18: telemetry.log.level: ",
        ],
    );
}

#[test]
fn addresses_are_not_shared() {
    check_beside(
        "ingest: {otlp: {grpc: ['127.0.0.1:1', 'unix:///a'], http: ['unix:///a', '127.0.0.1:2']}}\nadmin: {address: '127.0.0.1:2'}",
        &[
            "F:2: ingest.otlp.http[0]: is the address of `ingest.otlp.grpc[1]`",
            "F:2: ingest.otlp.http[1]: is the address of `admin.address`",
        ],
    );
    settings(
        &format!("{ENDPOINT}ingest: {{otlp: {{grpc: ['127.0.0.1:0'], http: ['127.0.0.1:0']}}}}"),
        &[],
    );
    check_beside(
        "ingest: {otlp: {grpc: [], http: []}}",
        &["F:2: ingest.otlp: listens nowhere"],
    );
}

#[test]
fn bounds_must_fit_into_one_another() {
    check_beside(
        "ingest: {otlp: {max_message_size: 32MiB}}",
        &[
            "F:1: export.endpoints[0].queue.max_size: is less than `ingest.otlp.max_message_size`",
            "F:2: ingest.otlp.max_in_flight: must be at least `max_message_size`",
        ],
    );
    check_beside(
        "ingest: {otlp: {max_message_size: 0, read_timeout: 0s}}",
        &[
            "F:2: ingest.otlp.max_message_size: must be more than 0",
            "F:2: ingest.otlp.read_timeout: must be more than 0",
        ],
    );
    // The bound is unknown as long as it is wrong itself.
    check(
        "export: {endpoints: [{endpoint: 'http://c', batch: {max_size: 32MiB},\n queue: {max_size: 64MB}}]}",
        &["F:2: export.endpoints[0].queue.max_size: expected a size"],
    );
    check(
        "export: {endpoints: [{endpoint: 'http://c', concurrency: 0,\n retry: {max_delay: 1ms, give_up_after: 0s}}]}",
        &[
            "F:1: export.endpoints[0].concurrency: expected 1 to 256",
            "F:2: export.endpoints[0].retry.give_up_after: must be more than 0",
            "F:2: export.endpoints[0].retry.max_delay: must be at least `initial_delay`",
        ],
    );
}

#[test]
fn attributes_to_count_by_are_told_apart_on_the_page_of_metrics() {
    check_beside(
        "correlate:\n  metrics: {interval: 500ms}\n  span_metrics: {max_series: 0, dimensions: [a.b, span.name, '', a_b]}",
        &[
            "F:3: correlate.metrics.interval: must be at least 1s",
            "F:4: correlate.span_metrics.dimensions[1]: has the label of `span.name`",
            "F:4: correlate.span_metrics.dimensions[2]: is no attribute key",
            "F:4: correlate.span_metrics.dimensions[3]: has the label of `a.b`",
            "F:4: correlate.span_metrics.max_series: expected 1 to 100000",
        ],
    );
}

#[test]
fn a_url_says_how_to_talk_and_nothing_secret() {
    let endpoint = |rest: &str, expected: &[&str]| {
        check(&format!("export:\n  endpoints:\n    - {{{rest}}}"), expected);
    };
    endpoint(
        "endpoint: 'http://user:hunter2@c:1'",
        &["F:3: export.endpoints[0].endpoint: holds a user or password"],
    );
    endpoint(
        "endpoint: 'http://c:4317/v1/traces'",
        &["F:3: export.endpoints[0].endpoint: has a path"],
    );
    endpoint(
        "endpoint: 'http://c?a=b'",
        &["F:3: export.endpoints[0].endpoint: has a query"],
    );
    endpoint(
        "endpoint: 'http://'",
        &["F:3: export.endpoints[0].endpoint: is no URL"],
    );
    endpoint(
        "endpoint: 'ftp://c'",
        &["F:3: export.endpoints[0].endpoint: has no scheme"],
    );
    endpoint(
        "endpoint: 'http://c', protocol: http, append_signal_path: false",
        &["F:3: export.endpoints[0].append_signal_path: makes the URL that of one signal"],
    );
    endpoint(
        "endpoint: 'https://c', signals: []",
        &["F:3: export.endpoints[0].signals: lists no signal"],
    );
    endpoint(
        "endpoint: 'https://c', name: A b",
        &["F:3: export.endpoints[0].name: expected 1 to 63"],
    );
}

#[test]
fn files_must_be_there_and_go_together() {
    check(
        "export: {endpoints: [{endpoint: 'http://c', tls: {ca_file: /none},\n headers_file: /none}]}\nadmin: {tls: {key_file: /dev}}",
        &[
            "F:1: export.endpoints[0].tls: has no use with `http://`",
            "F:1: export.endpoints[0].tls.ca_file: this file cannot be read (No such file",
            "F:2: export.endpoints[0].headers_file: this file cannot be read (No such file",
            "F:3: admin.tls.key_file: needs `cert_file` beside it",
            "F:3: admin.tls.key_file: this file cannot be read (it is no regular file)",
        ],
    );
}

#[test]
fn no_secret_is_ever_shown() {
    const SECRET: &str = "hunter2";
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "hunter2\nhost: hunter2\nx y: hunter2\n").unwrap();
    let documents = [
        "headers: {a: 'hunter2\u{1}', te: hunter2, b: [hunter2]}".to_owned(),
        "headers: hunter2".to_owned(),
        "timeout: hunter2, concurrency: hunter2, protocol: hunter2, endpoint: 'http://h:hunter2@c'"
            .to_owned(),
        format!("headers_file: {}", file.display()),
    ];
    for document in documents {
        let faults = loaded(&format!("export: {{endpoints: [{{{document}}}]}}"), &[]).unwrap_err();
        assert!(!faults.contains(SECRET), "{faults}");
    }
    let sound = "export: {endpoints: [{endpoint: 'http://c', headers: {authorization: '${TOKEN}'}}]}";
    let config = settings(sound, &[("TOKEN", SECRET)]);
    assert_eq!(config.export.endpoints[0].headers["authorization"], SECRET);
    assert!(!format!("{config:?} {config}").contains(SECRET));
}

#[test]
fn what_yaml_has_and_a_configuration_has_no_use_for_is_refused() {
    check_beside(
        "admin: &a {address: '127.0.0.1:1'}\ntelemetry: *a",
        &["F:3: telemetry: is a YAML alias"],
    );
    check_beside("admin: !!map {}", &["F:2: admin: has a YAML tag"]);
    check_beside(
        "pipeline: {}\npipeline: {}",
        &["F:3: pipeline: stands here a second time"],
    );
    check_beside("? [a]\n: b", &["F:2: has a key that is not text"]);
    check_beside("---\na: b", &["F:2: holds a second document"]);
    check_beside("<<: {admin: 1}", &["F:2: <<: is no setting here"]);
    check("just text", &["F:1: expected a section, found text"]);
    check("a: [b\nc: d", &["F:2: is no YAML"]);
}

#[test]
fn a_hostile_file_costs_little_and_has_a_fault() {
    let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |bomb, level| {
        format!("{bomb}a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1)
    });
    let deep = "[".repeat(100_000);
    let wide = (0..60_000).fold(String::new(), |wide, key| wide + &format!("k{key}: 1\n"));
    let long = format!("{}: 1", "k".repeat(900));
    for document in [
        bomb,
        deep,
        "{a: ".repeat(50_000),
        "- ".repeat(50_000),
        wide,
        long,
        " ".repeat(1 << 21),
    ] {
        assert!(loaded(&document, &[]).is_err());
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("F");
    fs::write(&file, b"a: 1\nb: \xff").unwrap();
    let faults = load(Some(&file), &Environment::default())
        .unwrap_err()
        .to_string();
    assert!(faults.ends_with("F:2: is not UTF-8"), "{faults}");
    let faults = load(Some(&folder.path().join("none")), &Environment::default())
        .unwrap_err()
        .to_string();
    assert!(faults.contains("cannot be read"), "{faults}");
}

proptest! {
    /// Whatever is between known words: an answer, never a panic, and each fault says where.
    #[test]
    fn any_text_has_an_answer(
        text in prop::collection::vec(
            prop::sample::select(vec![
                "export:", "endpoints:", "endpoint:", "- ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ",", ": ",
                "http://c", "${A", "$", "'", "\"", "&a ", "*a", "!t ", "null", "1", "admin:", "tls:", "|\n",
            ]),
            0..40,
        )
    ) {
        if let Err(faults) = loaded(&text.concat(), &[]) {
            prop_assert!(faults.lines().all(|line| line.starts_with("F:")), "{}", faults);
        }
    }
}
