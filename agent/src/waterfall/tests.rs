//! Spans in, pictures out. Pictures of whole traces are golden files: `INNERSPAN_GOLDEN=write` writes them again.

use std::{env, fs, path::PathBuf};

use proptest::prelude::*;

use super::*;
use crate::model::{attr::Attribute, trace::SpanKind};

const PLAIN: Look = Look {
    width: 110,
    color: false,
};

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/golden/waterfall"
    ))
    .join(name)
}

/// The trace in the golden file of this name.
fn recorded(name: &str) -> Vec<Span> {
    read(&fs::read(file(name)).unwrap()).unwrap()
}

fn golden(name: &str, drawn: &str) {
    let file = file(name);
    if env::var_os("INNERSPAN_GOLDEN").is_some_and(|verb| verb == "write") {
        fs::write(&file, drawn).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == drawn, "{} is not what is drawn:\n{drawn}", file.display());
}

/// A span by its own number and its parent's, 0 for none; times in milliseconds.
fn span(id: u8, parent: u8, what: &str, times: (u64, u64), attributes: &[(&str, &str)]) -> Span {
    let (service, name) = what.split_once(' ').unwrap();
    let at = |ms: u64| Nanos::new(1_764_350_103_120_000_000 + ms * 1_000_000);
    Span {
        service: service.into(),
        trace_id: TraceId([7; 16]),
        span_id: SpanId([id; 8]),
        parent: (parent != 0).then_some(SpanId([parent; 8])),
        name: name.into(),
        kind: SpanKind::Internal,
        start: at(times.0),
        end: at(times.1),
        error: None,
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        links: Vec::new(),
    }
}

fn phase(id: u8, parent: u8, what: &str, times: (u64, u64)) -> Span {
    span(id, parent, what, times, &[(attr::INNERSPAN_PHASE, "phase")])
}

fn failed(mut span: Span, error: &str) -> Span {
    span.error = Some(error.into());
    span
}

fn check(spans: &[Span], width: usize, calls: bool, expected: &str) {
    let drawn = Waterfall::of(spans, calls)
        .unwrap()
        .text(Look { width, color: false });
    assert!(drawn == expected, "{drawn}");
}

#[test]
fn a_start_is_drawn_as_letters_and_as_svg() {
    let spans = recorded("pod-start.json");
    let picture = Waterfall::of(&spans, false).unwrap();
    golden("pod-start.txt", &picture.text(PLAIN));
    golden("pod-start.svg", &picture.svg());
}

#[test]
fn the_picture_in_the_readme_is_what_is_drawn() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let text = fs::read_to_string(file("pod-start.txt")).unwrap();
    assert!(
        readme.contains(&format!("```\n{text}```\n")),
        "README.md shows another text"
    );
    assert!(readme.contains("(tests/data/golden/waterfall/pod-start.svg)"));
}

#[test]
fn the_sums_are_those_that_the_root_tells() {
    let spans = recorded("pod-start.json");
    let picture = Waterfall::of(&spans, false).unwrap();
    let root = spans.iter().find(|span| span.parent.is_none()).unwrap();
    let told = |(key, value): &Attribute| match value {
        Value::Number(seconds) if key.starts_with("innerspan.critical_path.") => {
            Some(Duration::of_seconds(*seconds).0)
        }
        _ => None,
    };
    let mut told: Vec<u64> = root.attributes.iter().filter_map(told).collect();
    told.sort_unstable_by_key(|sum| Reverse(*sum));
    let drawn: Vec<u64> = picture.sums.iter().map(|(_, sum)| *sum).collect();
    assert_eq!(drawn, told);
    assert_eq!(drawn.iter().sum::<u64>(), picture.length());
}

#[test]
fn a_start_that_failed_says_why_and_where() {
    let pull = "ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"registry.lab/none:1\"";
    let root = [
        (attr::K8S_NAMESPACE_NAME, "default"),
        (attr::K8S_POD_NAME, "web"),
        (attr::INNERSPAN_OUTCOME, "given_up"),
        (attr::INNERSPAN_HELD_UP_BY, "ErrImagePull, ImagePullBackOff"),
    ];
    let image = (attr::CONTAINER_IMAGE_NAME, "registry.lab/none:1");
    let mut pulls = phase(3, 2, "kubelet pull", (10, 900));
    pulls.attributes.push((image.0.into(), image.1.into()));
    check(
        &[
            failed(span(1, 0, "kubernetes pod start", (0, 10_000), &root), pull),
            phase(2, 1, "kubelet sync", (0, 1_000)),
            failed(pulls, pull),
            span(4, 3, "containerd PullImage", (20, 800), &[]),
            phase(5, 1, "kubelet back-off", (900, 10_000)),
        ],
        80,
        false,
        "\
pod start of default/web: given up after 10.0 s
  ✗ ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack
    image \"registry.lab/none:1\"
  started 2025-11-28T17:15:03.120Z, trace 07070707070707070707070707070707
  held up by ErrImagePull, ImagePullBackOff

                                                      0                   10.0 s
pod start                     kubernetes      10.0 s  ░░░░░░░░░░░░░░░░░░░░░░░░░░
  sync                        kubelet         1.00 s  ░░
    pull registry.lab/none:1  kubelet         890 ms  ██
      ✗ ErrImagePull: rpc error: code = NotFound desc = failed to pull and
        unpack image \"registry.lab/none:1\"
  back-off                    kubelet         9.10 s    ████████████████████████

█ what the whole waited for   ░ what went on beside it   1 more with --calls

critical path
  back-off                                    9.10 s   91.0 %
  pull                                        890 ms    8.9 %
  sync                                       10.0 ms    0.1 %
",
    );
}

#[test]
fn calls_are_drawn_where_they_are_asked_for_and_where_nothing_else_is() {
    let spans = [
        span(1, 0, "kubelet syncPod", (0, 100), &[]),
        span(2, 1, "kubelet RunPodSandbox", (20, 60), &[]),
        phase(3, 1, "kubelet sandbox", (20, 60)),
    ];
    let names = |spans: &[Span], calls| {
        let picture = Waterfall::of(spans, calls).unwrap();
        let names = picture.rows.iter().map(|row| row.name.clone());
        (names.collect::<Vec<_>>().join(" "), picture.hidden)
    };
    assert_eq!(names(&spans, false), ("syncPod sandbox".to_owned(), 1));
    assert_eq!(
        names(&spans, true),
        ("syncPod RunPodSandbox sandbox".to_owned(), 0)
    );
    assert_eq!(names(&spans[..2], false), ("syncPod RunPodSandbox".to_owned(), 0));
}

#[test]
fn what_came_of_a_trace_without_its_root_is_drawn() {
    let spans = [
        phase(2, 1, "apiserver create", (10, 30)),
        phase(3, 2, "etcd etcd txn", (12, 28)),
        phase(4, 1, "kube-scheduler schedule", (40, 110)),
        phase(4, 1, "kube-scheduler schedule", (40, 110)),
    ];
    check(
        &spans,
        60,
        false,
        "\
a trace without its root: followed for 100 ms
  started 2025-11-28T17:15:03.130Z, trace 07070707070707070707070707070707

                                        0             100 ms
create      apiserver          20.0 ms  ░░░░
  etcd txn  etcd               16.0 ms  ███
schedule    kube-scheduler     70.0 ms        ██████████████

█ what the whole waited for   ░ what went on beside it

critical path
  schedule                     70.0 ms   70.0 %
  etcd txn                     16.0 ms   16.0 %
  other                        10.0 ms   10.0 %
  create                       4.00 ms    4.0 %
",
    );
    assert!(Waterfall::of(&[], false).is_none());
}

#[test]
fn what_others_wrote_says_nothing_to_the_terminal_and_nothing_in_the_markup() {
    let spans = [
        span(1, 0, "kubernetes pod start", (0, 10), &[(attr::K8S_POD_UID, "u")]),
        failed(
            span(2, 1, "kubelet \x1b[2J<b>", (0, 10), &[]),
            "a\nb\x07 \u{9b}1m &",
        ),
    ];
    let picture = Waterfall::of(&spans, false).unwrap();
    let text = picture.text(PLAIN);
    assert!(
        text.contains("✗ a b  1m &") || text.contains("✗ a b 1m &"),
        "{text}"
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    let svg = picture.svg();
    assert!(
        svg.contains(" [2J&lt;b&gt;</text>") && svg.contains("1m &amp;</text>"),
        "{svg}"
    );
    let colored = picture.text(Look { color: true, ..PLAIN });
    let styles = [
        "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[36m", "\x1b[32m",
    ];
    let bare = styles.iter().fold(colored, |text, style| text.replace(style, ""));
    assert_eq!(bare, text);
}

#[test]
fn durations_have_three_digits() {
    for (nanoseconds, expected) in [
        (0, "0.00 µs"),
        (1_234, "1.23 µs"),
        (12_345, "12.3 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (9_996_000, "10.0 ms"),
        (99_960_000, "100 ms"),
        (1_680_400_000, "1.68 s"),
        (59_949_000_000, "59.9 s"),
        (59_950_000_000, "1 min 00 s"),
        (125_000_000_000, "2 min 05 s"),
        (3_725_000_000_000, "1 h 02 min"),
        (u64::MAX, "5124095 h 34 min"),
    ] {
        assert_eq!(Duration(nanoseconds).to_string(), expected, "{nanoseconds}");
    }
}

proptest! {
    /// Whatever the spans are: each is drawn once, and every instant of the whole has its row.
    #[test]
    fn every_picture_is_whole(
        times in prop::collection::vec((0_u64..500, 0_u64..500, 0_u8..30, any::<bool>()), 1..30),
        width in 0_usize..200,
        calls in any::<bool>(),
    ) {
        let spans: Vec<Span> = (1_u8..).zip(times).map(|(id, (one, other, parent, is_phase))| {
            // The first is the root; a parent may be one that is not there.
            let parent = if id == 1 { 0 } else { parent % id + 1 };
            let parent = if parent == id { 40 } else { parent };
            let times = (one.min(other), one.max(other));
            let span: fn(u8, u8, &str, (u64, u64)) -> Span = if is_phase { phase } else {
                |id, parent, what, times| span(id, parent, what, times, &[])
            };
            span(id, parent, "kubelet sync", times)
        }).collect();
        let picture = Waterfall::of(&spans, calls).unwrap();
        prop_assert_eq!(picture.rows.len() + picture.hidden, spans.len());
        let critical: u64 = picture.rows.iter().flat_map(|row| &row.critical).map(|times| length(*times)).sum();
        prop_assert_eq!(critical, picture.length());
        prop_assert_eq!(picture.sums.iter().map(|(_, sum)| sum).sum::<u64>(), picture.length());
        let text = picture.text(Look { width, color: false });
        let bars = text.lines().filter(|line| line.ends_with(['█', '░'])).count();
        prop_assert_eq!(bars, picture.rows.len());
        if width >= 100 {
            prop_assert!(text.lines().all(|line| line.chars().count() <= width), "{}", text);
        }
        prop_assert!(picture.svg().ends_with("</svg>\n"));
    }
}
