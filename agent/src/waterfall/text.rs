//! The picture in letters, for a terminal or a file. Always in UTF-8: where an agent is asked inside its container, the
//! environment says nothing about the terminal at the other end.

use super::{Duration, Row, Times, Waterfall, length};
use crate::model::time::{Nanos, Wall};

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns of the whole.
    pub width: usize,
    pub color: bool,
}

/// Columns of a name before it is cut, and of the bars whatever the width.
const MAX_NAME: usize = 48;
const MIN_BAR: usize = 16;
const DURATION: usize = 10;
const GAP: &str = "  ";

const CRITICAL: char = '█';
const BESIDE: char = '░';

// Select Graphic Rendition.
const RESET: &str = "0";
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
/// One for each service, in the order in which they appear: cyan, green, yellow, blue, magenta, and their bright ones.
const SERVICES: [&str; 10] = ["36", "32", "33", "34", "35", "96", "92", "93", "94", "95"];

impl Waterfall {
    /// Draws it in letters.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let name = width(
            &mut self
                .rows
                .iter()
                .map(|row| indent(row) + row.label().chars().count()),
        );
        let name = name.min(MAX_NAME);
        let service = width(&mut self.rows.iter().map(|row| row.service.chars().count()));
        let taken = name + service + DURATION + 3 * GAP.len();
        let mut drawing = Drawing {
            waterfall: self,
            look,
            name,
            service,
            bar: look.width.saturating_sub(taken).max(MIN_BAR),
            page: String::new(),
        };
        drawing.head();
        for row in &self.rows {
            drawing.row(row);
        }
        drawing.legend();
        drawing.sums();
        drawing.page
    }
}

fn indent(row: &Row) -> usize {
    2 * row.depth
}

/// A page that is being written, and the columns of its table.
struct Drawing<'a> {
    waterfall: &'a Waterfall,
    look: Look,
    name: usize,
    service: usize,
    bar: usize,
    page: String,
}

impl Drawing<'_> {
    fn line(&mut self, text: &str) {
        self.page.push_str(text.trim_end());
        self.page.push('\n');
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.look.color && !text.trim().is_empty() {
            format!("\x1b[{style}m{text}\x1b[{RESET}m")
        } else {
            text.to_owned()
        }
    }

    fn head(&mut self) {
        let headline = self.paint(BOLD, &self.waterfall.headline());
        self.line(&headline);
        if let Some(error) = &self.waterfall.title.error {
            self.error(2, error);
        }
        for remark in self.waterfall.remarks() {
            let remark = self.paint(DIM, &remark);
            self.line(&format!("  {remark}"));
        }
        self.line("");
        let whole = Duration(self.waterfall.length()).to_string();
        let axis = format!("0{whole:>0$}", self.bar.saturating_sub(1));
        let before = self.name + self.service + DURATION + 3 * GAP.len();
        let axis = self.paint(DIM, &axis);
        self.line(&format!("{:before$}{axis}", ""));
    }

    fn row(&mut self, row: &Row) {
        let label = cut(&format!("{:1$}{2}", "", indent(row), row.label()), self.name);
        let label = format!("{label:<0$}", self.name);
        let label = match &row.error {
            Some(_) => self.paint(RED, &label),
            None => label,
        };
        let service = self.paint(DIM, &format!("{:<1$}", row.service, self.service));
        let took = Duration(length(row.times));
        let bar = self.paint(self.style_of(&row.service), &self.bar_of(row));
        self.line(&format!("{label}{GAP}{service}{GAP}{took:>DURATION$}{GAP}{bar}"));
        if let Some(error) = &row.error {
            self.error(indent(row) + 2, error);
        }
    }

    /// In as many lines as it needs: it is what was looked for.
    fn error(&mut self, indent: usize, error: &str) {
        let mut line = "✗".to_owned();
        let mut lines = Vec::new();
        for word in error.split_whitespace() {
            let length = indent + line.chars().count() + 1 + word.chars().count();
            if length > self.look.width && line.trim() != "✗" {
                lines.push(std::mem::replace(&mut line, " ".to_owned()));
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push(line);
        for line in lines {
            let line = self.paint(RED, &line);
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    fn style_of(&self, service: &str) -> &'static str {
        let place = self.waterfall.services().position(|known| known == service);
        SERVICES[place.unwrap_or_default() % SERVICES.len()]
    }

    fn bar_of(&self, row: &Row) -> String {
        let cells = self.cells(row.times);
        let mut bar = " ".repeat(cells.start);
        bar.extend(cells.map(|cell| {
            let (from, to) = self.times_of(cell);
            let within = |times: &Times| length((times.0.max(from), times.1.min(to)));
            let critical: u64 = row.critical.iter().map(within).sum();
            // Of a cell that is halved the row has as much as it is there.
            if critical > 0 && 2 * critical >= within(&row.times) {
                CRITICAL
            } else {
                BESIDE
            }
        }));
        bar
    }

    /// The cells that a stretch of time takes: at least one, and none twice of two that follow each other.
    fn cells(&self, (start, end): Times) -> std::ops::Range<usize> {
        let place = |at: Nanos<Wall>| {
            let (since, whole) = (length((self.waterfall.times.0, at)), self.waterfall.length());
            let cell = u128::from(since) * self.bar as u128 / u128::from(whole.max(1));
            usize::try_from(cell).map_or(self.bar, |cell| cell.min(self.bar))
        };
        let first = place(start).min(self.bar - 1);
        first..place(end).max(first + 1)
    }

    /// The time that a cell stands for.
    fn times_of(&self, cell: usize) -> Times {
        let (start, whole) = (self.waterfall.times.0.count(), self.waterfall.length());
        let at = |cell: usize| {
            let since = u128::from(whole) * cell as u128 / self.bar as u128;
            Nanos::new(start + u64::try_from(since).unwrap_or(whole))
        };
        (at(cell), at(cell + 1))
    }

    fn legend(&mut self) {
        self.line("");
        let mut legend = format!("{CRITICAL} what the whole waited for   {BESIDE} what went on beside it");
        if self.waterfall.hidden > 0 {
            legend.push_str("   ");
            legend.push_str(&self.waterfall.hidden.to_string());
            legend.push_str(" more with --calls");
        }
        let legend = self.paint(DIM, &legend);
        self.line(&legend);
        self.line("");
    }

    /// The critical path by phase: it adds up to the whole.
    fn sums(&mut self) {
        let title = self.paint(BOLD, "critical path");
        self.line(&title);
        let whole = self.waterfall.length().max(1);
        let between = self.service + 2 * GAP.len();
        for (name, sum) in &self.waterfall.sums {
            let label = cut(&format!("  {name}"), self.name);
            let permille = u128::from(*sum) * 1_000 / u128::from(whole);
            self.line(&format!(
                "{label:<0$}{1:between$}{2:>DURATION$}{GAP}{3:>3}.{4} %",
                self.name,
                "",
                Duration(*sum),
                permille / 10,
                permille % 10,
            ));
        }
    }
}

/// With a mark where the end is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}
