//! Figures as Markdown tables that read well on a terminal too.
//!
//! In: what was measured, round by round. Out: medians, one row per forwarder, and the ratio
//! of innerspan to each peer that compresses as it does.

use std::time::Duration;

use super::{
    load::Sent,
    markdown::{head, markdown, thousands},
    sink::Total,
    spread::{float, median},
};

/// One load through one forwarder, from its first request to its last arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) sent: Sent,
    pub(super) arrived: Total,
    pub(super) cpu: Duration,
    pub(super) elapsed: Duration,
}

/// One forwarder, and what each round gave.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) ours: bool,
    pub(super) gzip: bool,
    /// Paced, in small requests, in large ones.
    pub(super) figures: [Vec<Figure>; 3],
    pub(super) idle_kb: Vec<u64>,
    pub(super) peak_kb: Vec<u64>,
}

/// The medians of a row.
struct Medians {
    large: f64,
    small: f64,
    paced_core: f64,
    wire: [f64; 3],
    idle: f64,
    peak: f64,
}

// === impl Figure ===

impl Figure {
    fn spans_per_cpu_second(self) -> f64 {
        float(self.arrived.spans) / self.cpu.as_secs_f64()
    }

    /// The busy part of the forwarder's core, in percent.
    fn core(self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    fn wire_bytes_per_span(self) -> f64 {
        float(self.arrived.wire_bytes) / float(self.arrived.spans)
    }
}

// === impl Row ===

impl Row {
    pub(super) fn new(name: &'static str, ours: bool, gzip: bool) -> Self {
        Self {
            name,
            ours,
            gzip,
            figures: Default::default(),
            idle_kb: Vec::new(),
            peak_kb: Vec::new(),
        }
    }

    fn refused(&self) -> u64 {
        self.figures
            .iter()
            .flatten()
            .map(|figure| figure.sent.refused)
            .sum()
    }

    /// Accepted spans that never arrived.
    fn lost(&self) -> u64 {
        self.figures
            .iter()
            .flatten()
            .map(|figure| figure.sent.spans.saturating_sub(figure.arrived.spans))
            .sum()
    }

    /// Spans that arrived without having been accepted, or more than once.
    fn surplus(&self) -> u64 {
        self.figures
            .iter()
            .flatten()
            .map(|figure| figure.arrived.spans.saturating_sub(figure.sent.spans))
            .sum()
    }

    pub(super) fn is_exact(&self) -> bool {
        self.lost() == 0 && self.surplus() == 0
    }

    fn medians(&self) -> Medians {
        let [paced, small, large] = &self.figures;
        Medians {
            large: median_of(large, Figure::spans_per_cpu_second),
            small: median_of(small, Figure::spans_per_cpu_second),
            paced_core: median_of(paced, Figure::core),
            wire: [large, small, paced].map(|figures| median_of(figures, Figure::wire_bytes_per_span)),
            idle: median_of(&self.idle_kb, float) / 1024.0,
            peak: median_of(&self.peak_kb, float) / 1024.0,
        }
    }

    fn cells(&self) -> Vec<String> {
        let Medians {
            large,
            small,
            paced_core,
            wire: [wire_large, wire_small, wire_paced],
            idle,
            peak,
        } = self.medians();
        let [_, small_core, large_core] = self
            .figures
            .each_ref()
            .map(|figures| median_of(figures, Figure::core));
        vec![
            self.name.to_owned(),
            format!("{} ({large_core:.0} %)", thousands(large)),
            format!("{} ({small_core:.0} %)", thousands(small)),
            format!("{paced_core:.1} %"),
            format!("{wire_large:.0} / {wire_small:.0} / {wire_paced:.0}"),
            format!("{idle:.0} / {peak:.0}"),
            self.refused().to_string(),
            format!("{} / {}", self.lost(), self.surplus()),
        ]
    }

    /// How this row, innerspan's, stands against a peer's.
    fn against(&self, peer: &Self) -> Vec<String> {
        let (own, other) = (self.medians(), peer.medians());
        vec![
            format!("{} : {}", self.name, peer.name),
            format!("{:.2}", own.large / other.large),
            format!("{:.2}", own.small / other.small),
            format!("{:.2}", own.paced_core / other.paced_core),
            format!("{:.2}", own.wire[0] / other.wire[0]),
            format!("{:.2} / {:.2}", own.idle / other.idle, own.peak / other.peak),
        ]
    }
}

/// Both tables.
pub(super) fn render(rows: &[Row]) -> String {
    let mut lines = vec![head([
        "forwarder",
        "spans per CPU-second at 512 (core used)",
        "at 20 (core used)",
        "core at 10,000 spans/s",
        "bytes per span at 512 / 20 / 10,000/s",
        "idle / peak MB",
        "refused",
        "lost / surplus",
    ])];
    lines.extend(rows.iter().map(Row::cells));
    let mut text = markdown(&lines);

    let mut ratios = vec![head([
        "ratio",
        "spans per CPU-second at 512",
        "at 20",
        "core at 10,000 spans/s",
        "bytes per span at 512",
        "idle / peak memory",
    ])];
    for own in rows.iter().filter(|row| row.ours) {
        let peers = rows.iter().filter(|row| !row.ours && row.gzip == own.gzip);
        ratios.extend(peers.map(|peer| own.against(peer)));
    }
    if ratios.len() > 1 {
        text.push('\n');
        text.push_str(&markdown(&ratios));
    }
    text
}

fn median_of<T: Copy>(values: &[T], measure: impl Fn(T) -> f64) -> f64 {
    median(values.iter().copied().map(measure))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A forwarder that uses one CPU-second per round for this many spans.
    fn row(name: &'static str, ours: bool, spans: [u64; 3]) -> Row {
        let figure = |spans| Figure {
            sent: Sent { spans, refused: 1 },
            arrived: Total {
                spans,
                wire_bytes: spans * 60,
            },
            cpu: Duration::from_secs(1),
            elapsed: Duration::from_secs(2),
        };
        let rounds = spans.map(figure).to_vec();
        Row {
            figures: [rounds.clone(), rounds.clone(), rounds],
            idle_kb: vec![10240],
            peak_kb: vec![20480],
            ..Row::new(name, ours, true)
        }
    }

    #[test]
    fn a_row_shows_the_median_round_and_all_refusals() {
        let cells = row("innerspan", true, [900_000, 1_234_567, 5_000_000]).cells();
        assert_eq!(
            cells,
            [
                "innerspan",
                "1,234,567 (50 %)",
                "1,234,567 (50 %)",
                "50.0 %",
                "60 / 60 / 60",
                "10 / 20",
                "9",
                "0 / 0"
            ],
        );
    }

    #[test]
    fn a_peer_is_compared_with_innerspan_in_the_same_form_only() {
        let peer = |name, gzip| Row {
            gzip,
            ..row(name, false, [500_000; 3])
        };
        let text = render(&[
            row("innerspan", true, [1_500_000; 3]),
            peer("alike", true),
            peer("other", false),
        ]);
        let ratios: Vec<_> = text.lines().skip_while(|line| !line.is_empty()).skip(3).collect();
        let [only] = ratios[..] else { panic!("{text}") };
        let cells: Vec<_> = only.split('|').map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "",
                "innerspan : alike",
                "3.00",
                "3.00",
                "1.00",
                "1.00",
                "1.00 / 1.00",
                ""
            ]
        );
    }

    #[test]
    fn a_loss_in_one_round_is_not_made_up_for_by_a_surplus_in_another() {
        let mut row = row("innerspan", true, [100; 3]);
        row.figures[0][0].arrived.spans -= 1;
        row.figures[0][1].arrived.spans += 1;
        assert_eq!((row.lost(), row.surplus(), row.is_exact()), (1, 1, false));
    }
}
