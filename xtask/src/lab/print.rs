//! What the lab shows on the terminal: the account of spans, and traces as waterfalls.

use super::{
    account::Account,
    components::hex,
    fidelity,
    spans::{Span, Tree},
    starts::{Line, Pair, Starts, Verdict},
};

const BAR: usize = 40;
const NAME: usize = 64;

/// One line per component.
pub(crate) fn account(account: &Account) {
    println!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>8}{:>10}",
        "spans of", "sent", "received", "exported", "dropped", "held", "arrived"
    );
    for (component, line) in &account.lines {
        let sent = line.sent.map_or_else(|| "-".to_owned(), |sent| sent.to_string());
        println!(
            "{component:<16}{sent:>10}{:>10}{:>10}{:>10}{:>8}{:>10}",
            line.received, line.exported, line.dropped, line.held, line.arrived
        );
    }
}

/// One line per kind of call that there was.
pub(crate) fn fidelity(lines: &[fidelity::Line]) {
    println!(
        "{:<12}{:<52}{:>7}{:>9}{:>10}{:>11}{:>12}{:>11}{:>11}",
        "", "", "native", "matched", "coverage", "duration", "difference", "at most", "prototype"
    );
    let time = |nanos: Option<u64>| nanos.map_or_else(|| "-".to_owned(), duration);
    for line in lines.iter().filter(|line| line.native > 0) {
        let fidelity::Line {
            service,
            name,
            native,
            matched,
            ..
        } = line;
        let hundredths = matched * 10_000 / native;
        println!(
            "{service:<12}{name:<52}{native:>7}{matched:>9}{:>8}.{:02}%{:>11}{:>12}{:>11}{:>11}",
            hundredths / 100,
            hundredths % 100,
            time(line.duration),
            time(line.median),
            time(line.max),
            time(line.prototype),
        );
    }
}

/// Each pod's totals in its trace and in the kubelet's log.
pub(crate) fn starts(starts: &Starts) {
    println!(
        "{:<28}{:>14}{:>14}{:>10}{:>14}{:>14}{:>10}{:>10}",
        "seconds", "end to end", "kubelet", "apart", "SLI", "kubelet", "apart", "lag"
    );
    for line in &starts.lines {
        let of = |pair: Pair| {
            let mark = match line.verdict(pair) {
                Verdict::Agrees => ' ',
                Verdict::Lags => '~',
                Verdict::Differs => '!',
            };
            let apart = (pair.trace - pair.kubelet).abs();
            format!("{:>14.3}{:>14.3}{apart:>9.3}{mark}", pair.trace, pair.kubelet)
        };
        let (end_to_end, sli) = (of(line.end_to_end), of(line.sli));
        println!("{:<28}{end_to_end}{sli}{:>10.3}", line.pod, line.lag);
        for fault in &line.faults {
            println!("    {fault}");
        }
    }
    let sum = |of: fn(&Line) -> f64| -> f64 { starts.lines.iter().map(of).sum() };
    println!(
        "{:<28}{:>14.3}{:>14.3}{:>10}{:>14.3}{:>14.3}{:>10}{:>10.3}",
        "all",
        sum(|line| line.end_to_end.trace),
        sum(|line| line.end_to_end.kubelet),
        "",
        sum(|line| line.sli.trace),
        sum(|line| line.sli.kubelet),
        "",
        sum(|line| line.lag),
    );
    let whole = starts.lines.iter().filter(|line| line.faults.is_empty()).count();
    println!("{whole} of {} traces are whole", starts.lines.len());
    println!(
        "kubelet_pod_start_sli_duration_seconds: {:.3} s in {} starts",
        starts.metric.sum, starts.metric.count
    );
    println!("~ apart because the kubelet's watch lagged behind");
}

/// A trace: indented names, who did it, how long it took, and where that lies in the whole.
pub(crate) fn waterfall(title: &str, tree: &Tree) {
    let Some((_, root)) = tree.spans.first() else {
        return;
    };
    let begin = tree
        .spans
        .iter()
        .map(|(_, span)| span.begin)
        .min()
        .unwrap_or(root.begin);
    let end = tree
        .spans
        .iter()
        .map(|(_, span)| span.end)
        .max()
        .unwrap_or(root.end);
    let trace = hex(&root.trace);
    println!("{title}: trace {trace}");
    for (depth, span) in &tree.spans {
        let name: String = format!("{:1$}{2}", "", depth * 2, span.name)
            .chars()
            .take(NAME)
            .collect();
        println!(
            "  {name:<NAME$} {:<11} {:>10} |{}|",
            span.service,
            duration(span.end.saturating_sub(span.begin)),
            bar(span, begin, end)
        );
    }
}

fn bar(span: &Span, begin: u64, end: u64) -> String {
    let whole = end.saturating_sub(begin).max(1);
    let cells = BAR as u64;
    let place = |time: u64| time.saturating_sub(begin).saturating_mul(cells) / whole;
    let first = place(span.begin).min(cells - 1);
    let last = place(span.end).clamp(first + 1, cells);
    (0..cells)
        .map(|cell| if (first..last).contains(&cell) { '#' } else { ' ' })
        .collect()
}

fn duration(nanos: u64) -> String {
    let micros = nanos / 1_000;
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}
