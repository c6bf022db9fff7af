//! The picture as SVG, for a page: the same rows as in letters, and the critical path in the order of time.

use super::{Duration, Row, Times, Waterfall, length, text::cut};
use crate::model::time::{Nanos, Wall};

// Pixels.
const WIDTH: usize = 1080;
const MARGIN: usize = 20;
const LINE: usize = 20;
const INDENT: usize = 14;
/// Where services begin, where durations end, and where the bars are.
const SERVICE: usize = 290;
const TOOK: usize = 546;
const BARS: usize = 566;
const BARS_WIDTH: usize = WIDTH - MARGIN - 16 - BARS;
const BAR: usize = 12;
/// Of ten letters, each 0.602 of its height in the usual fonts.
const TEN_LETTERS: usize = 73;

const SEPARATOR: &str = " · ";

/// One for each service, in the order in which they appear; the first is the whole's.
const COLORS: [&str; 9] = [
    "#6e7781", "#bc4c00", "#8250df", "#bf8700", "#1a7f37", "#0969da", "#bf3989", "#1b7c83", "#953800",
];

const STYLE: &str = "\
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }
.head { font-size: 16px; font-weight: 600 }
.faint { fill: #59636e }
.error { fill: #d1242f }
.end { text-anchor: end }
.middle { text-anchor: middle; fill: #59636e }
.beside { opacity: 0.3 }
line { stroke: #d1d9e0 }";

impl Waterfall {
    /// Draws it as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut page = Page {
            waterfall: self,
            body: String::new(),
            y: MARGIN,
        };
        page.head();
        page.grid();
        for row in &self.rows {
            page.row(row);
        }
        page.path();
        let Page { body, y, .. } = page;
        let height = y + LINE;
        let (inner_width, inner_height) = (WIDTH - 1, height - 1);
        let title = escape(&self.headline());
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{title}</title>
<style>
{STYLE}
</style>
<rect x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="6" fill="#ffffff" stroke="#d1d9e0"/>
{body}</svg>
"##
        )
    }
}

/// A page that is being written, from the top down.
struct Page<'a> {
    waterfall: &'a Waterfall,
    body: String,
    /// The base of the line that is being written.
    y: usize,
}

impl Page<'_> {
    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    fn text(&mut self, x: usize, class: &str, text: &str) {
        let y = self.y;
        let text = escape(&cut(text, letters(WIDTH - MARGIN - x)));
        self.add(&format!(r#"<text x="{x}" y="{y}" class="{class}">{text}</text>"#));
    }

    fn head(&mut self) {
        self.y += 6;
        self.text(MARGIN, "head", &self.waterfall.headline());
        self.y += LINE + 4;
        if let Some(error) = &self.waterfall.title.error {
            self.text(MARGIN, "error", error);
            self.y += LINE;
        }
        for remark in self.waterfall.remarks() {
            self.text(MARGIN, "faint", &remark);
            self.y += LINE;
        }
        self.y += LINE / 2;
    }

    /// Lines behind the rows at round times, and the times above them.
    fn grid(&mut self) {
        let rows = &self.waterfall.rows;
        let errors = rows.iter().filter(|row| row.error.is_some()).count();
        let (y, top) = (self.y, self.y + 6);
        let bottom = top + LINE * (rows.len() + errors) + 6;
        let whole = self.waterfall.length();
        let step = round_step(whole);
        let times = std::iter::successors(Some(0_u64), |since| since.checked_add(step));
        for since in times.take_while(|since| *since <= whole) {
            let x = self.x(Nanos::new(self.waterfall.times.0.count() + since));
            let said = match since {
                0 => "0".to_owned(),
                since => Duration(since).to_string(),
            };
            self.add(&format!(
                r#"<line x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}"/>"#
            ));
            self.add(&format!(
                r#"<text x="{x:.1}" y="{y}" class="middle">{said}</text>"#
            ));
        }
        self.y += LINE + 2;
    }

    fn row(&mut self, row: &Row) {
        let x = MARGIN + INDENT * row.depth;
        let class = if row.error.is_some() { "error" } else { "name" };
        self.text(
            x,
            class,
            &cut(&row.label(), letters(SERVICE.saturating_sub(x)).saturating_sub(1)),
        );
        self.text(SERVICE, "faint", &row.service);
        self.text(TOOK, "end", &Duration(length(row.times)).to_string());
        self.bar(row.times, &row.service, r#" class="beside""#);
        for times in &row.critical {
            self.bar(*times, &row.service, "");
        }
        self.y += LINE;
        if let Some(error) = &row.error {
            self.text(x + INDENT, "error", error);
            self.y += LINE;
        }
    }

    /// The critical path in one line, and below it what it adds up to by phase.
    fn path(&mut self) {
        self.y += LINE;
        self.text(MARGIN, "name", "critical path");
        let rows = self.waterfall.rows.iter();
        let mut stretches: Vec<(Times, &str)> = rows
            .flat_map(|row| row.critical.iter().map(|times| (*times, &*row.service)))
            .collect();
        stretches.sort_unstable();
        for (times, service) in stretches {
            self.bar(times, service, "");
        }
        let whole = u128::from(self.waterfall.length().max(1));
        let mut line = String::new();
        for (name, sum) in &self.waterfall.sums {
            let percent = (u128::from(*sum) * 100 + whole / 2) / whole;
            // What is less would fill most of the lines.
            if percent == 0 {
                continue;
            }
            let said = format!("{name} {} ({percent} %)", Duration(*sum));
            let length = line.chars().count() + SEPARATOR.len() + said.chars().count();
            if length > letters(WIDTH - 2 * MARGIN) {
                self.y += LINE;
                self.text(MARGIN, "faint", &std::mem::take(&mut line));
            }
            line += if line.is_empty() { "" } else { SEPARATOR };
            line += &said;
        }
        self.y += LINE;
        self.text(MARGIN, "faint", &line);
    }

    fn bar(&mut self, (start, end): Times, service: &str, class: &str) {
        let from = self.x(start);
        let width = (self.x(end) - from).max(1.0);
        let top = self.y + 2 - BAR;
        let place = self.waterfall.services().position(|known| known == service);
        let color = COLORS[place.unwrap_or_default() % COLORS.len()];
        self.add(&format!(
            r#"<rect x="{from:.1}" y="{top}" width="{width:.1}" height="{BAR}" fill="{color}"{class}/>"#
        ));
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody sees a billionth of a pixel")]
    fn x(&self, at: Nanos<Wall>) -> f64 {
        let whole = self.waterfall.length();
        let since = length((self.waterfall.times.0, at)).min(whole);
        let share = since as f64 / whole.max(1) as f64;
        BARS as f64 + share * BARS_WIDTH as f64
    }
}

/// A time of one digit and zeros, of which four or more make the whole, and nine at most.
fn round_step(whole: u64) -> u64 {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    let steps = powers.flat_map(|power| [1, 2, 5].map(|digit| power.saturating_mul(digit)));
    let fitting = steps.take_while(|step| *step <= whole / 4);
    fitting.last().unwrap_or(1)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// How many fit.
fn letters(pixels: usize) -> usize {
    pixels * 10 / TEN_LETTERS
}
