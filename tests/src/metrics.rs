//! The agent's page of metrics, read as an operator's Prometheus would.

use std::collections::BTreeMap;

use innerspan::model::Signal;

/// One reading.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

/// One line.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// The labels of its exemplar, if it has one.
    pub exemplar: Option<BTreeMap<String, String>>,
}

/// What became of the items of one signal at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub received: u64,
    pub exported: u64,
    /// By reason; without the reasons that did not occur.
    pub dropped: BTreeMap<String, u64>,
    pub held: u64,
}

// === impl Account ===

impl Account {
    #[must_use]
    pub fn exported(items: u64) -> Self {
        Self {
            received: items,
            exported: items,
            ..Self::default()
        }
    }

    /// The same account, with items that were dropped beside the exported ones.
    #[must_use]
    pub fn and_dropped(mut self, reason: &str, items: u64) -> Self {
        self.received += items;
        self.dropped.insert(reason.to_owned(), items);
        self
    }
}

// === impl Metrics ===

impl Metrics {
    #[must_use]
    pub fn parse(page: &str) -> Self {
        assert!(page.ends_with("# EOF\n"), "the page ends early:\n{page}");
        Self(
            page.lines()
                .filter(|line| !line.starts_with('#'))
                .map(Sample::parse)
                .collect(),
        )
    }

    /// The sum over all series of a name with these labels; none where there is no such series.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let matching = self
            .0
            .iter()
            .filter(|sample| sample.name == name && sample.has(labels));
        let values: Vec<_> = matching.map(|sample| sample.value).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of items stay far below what a float counts exactly"
        )]
        (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
    }

    /// All samples of a name.
    pub fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The account of one signal at one endpoint.
    #[must_use]
    pub fn account(&self, endpoint: &str, signal: Signal) -> Account {
        let labels = [("endpoint", endpoint), ("signal", signal.as_str())];
        let of_endpoint = |name: &str| self.sum(name, &labels).unwrap_or_default();
        let dropped = self.0.iter().filter(|sample| {
            sample.name == "innerspan_export_items_dropped_total" && sample.has(&labels) && sample.value > 0.0
        });
        let mut by_reason = BTreeMap::new();
        for sample in dropped {
            let reason = sample.labels["reason"].clone();
            let of_reason = self.sum(&sample.name, &[labels[0], labels[1], ("reason", &reason)]);
            by_reason.insert(reason, of_reason.unwrap_or_default());
        }
        let account = Account {
            received: of_endpoint("innerspan_export_items_received_total"),
            exported: of_endpoint("innerspan_export_items_exported_total"),
            dropped: by_reason,
            held: of_endpoint("innerspan_export_items_held"),
        };
        let accounted = account.exported + account.dropped.values().sum::<u64>() + account.held;
        assert_eq!(
            account.received, accounted,
            "the account of {endpoint} does not balance: {account:?}"
        );
        account
    }
}

// === impl Sample ===

impl Sample {
    fn parse(line: &str) -> Self {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let (labels, rest) = parse_labels(rest);
        let (value, exemplar) = rest.split_once(" # ").unwrap_or((rest, ""));
        Self {
            name: name.to_owned(),
            labels,
            value: value.trim().parse().unwrap(),
            exemplar: exemplar.starts_with('{').then(|| parse_labels(exemplar).0),
        }
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(key, value)| self.labels.get(*key).is_some_and(|found| found == value))
    }
}

/// Takes labels in braces from the front of a text, if there are any.
fn parse_labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (labels, text);
    };
    while !rest.starts_with('}') {
        let (key, quoted) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next().unwrap() {
                (at, '"') => break at + 1,
                (_, '\\') => match letters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.insert(key.to_owned(), value);
        rest = quoted[end..].trim_start_matches(',');
    }
    (labels, &rest[1..])
}
