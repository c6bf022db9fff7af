//! One question: how long does work of each kind take?
//!
//! In: durations, each with the attributes that say of what kind it was. Out: a histogram for each set of attributes.
//! Attributes are compared where they lie: what was seen before costs no allocation.
//!
//! Invariant: there are at most `max_series` histograms and one more, which counts all that is of yet another kind and
//! is marked as such, so that the counts of all together are always those of all that was recorded. Texts that are
//! longer than `MAX_TEXT` are cut: what components send does not choose how much is remembered.

use std::{
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::{
    attr::{self, Said, Value},
    histogram::{Histogram, Source},
    metric::{Family, Labels, Series},
    time::{Nanos, Wall},
};

/// Of one attribute, in bytes.
const MAX_TEXT: usize = 256;

/// Histograms by attributes.
#[derive(Clone, Debug)]
pub struct Durations {
    max_series: usize,
    hasher: DefaultHashBuilder,
    /// Places in `series`.
    places: HashTable<usize>,
    series: Vec<(Labels, Arc<Histogram>)>,
    overflow: Option<usize>,
}

impl Durations {
    #[must_use]
    pub fn new(max_series: usize) -> Self {
        Self {
            max_series,
            hasher: DefaultHashBuilder::default(),
            places: HashTable::new(),
            series: Vec::new(),
            overflow: None,
        }
    }

    /// Counts one duration. Attributes of one set stand in the same order each time.
    pub fn record(&mut self, labels: &[(&str, Said<'_>)], duration: Duration, source: Option<Source>) {
        self.histogram(labels).record(duration, source);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, labels: &[(&str, Said<'_>)], counted: &Histogram) {
        self.histogram(labels).merge(counted);
    }

    /// All series, in the order in which they came up.
    #[must_use]
    pub fn series(&self) -> &[(Labels, Arc<Histogram>)] {
        &self.series
    }

    /// The same under a name, counted since `start`.
    #[must_use]
    pub fn family(&self, name: &'static str, description: &'static str, start: Nanos<Wall>) -> Family {
        Family {
            name,
            description,
            start,
            series: Series::Durations(self.series.clone()),
        }
    }

    fn histogram(&mut self, labels: &[(&str, Said<'_>)]) -> &mut Histogram {
        let hash = self.hash(labels);
        let known = self
            .places
            .find(hash, |place| is_same(&self.series[*place].0, labels));
        let place = match (known, self.overflow) {
            (Some(place), _) => *place,
            (None, None) => self.make(hash, labels),
            (None, Some(overflow)) => overflow,
        };
        // Whoever shows the last state of it keeps that one.
        Arc::make_mut(&mut self.series[place].1)
    }

    fn make(&mut self, hash: u64, labels: &[(&str, Said<'_>)]) -> usize {
        let place = self.series.len();
        let labels: Labels = if place < self.max_series {
            let Self {
                places,
                hasher,
                series,
                ..
            } = self;
            let again =
                |known: &usize| hash_of(hasher, series[*known].0.iter().map(|(_, value)| value.said()));
            places.insert_unique(hash, place, again);
            let labels = labels.iter();
            labels
                .map(|(key, said)| (Arc::from(*key), Value::from(cut(*said))))
                .collect()
        } else {
            self.overflow = Some(place);
            Arc::from([(attr::OTEL_METRIC_OVERFLOW.into(), Value::Flag(true))])
        };
        self.series.push((labels, Arc::default()));
        place
    }

    fn hash(&self, labels: &[(&str, Said<'_>)]) -> u64 {
        hash_of(&self.hasher, labels.iter().map(|(_, said)| cut(*said)))
    }
}

/// Of the values alone: sets that differ in keys or kinds only are rare.
fn hash_of<'a>(hasher: &DefaultHashBuilder, values: impl Iterator<Item = Said<'a>>) -> u64 {
    let mut hasher = hasher.build_hasher();
    for said in values {
        let (_, bits, text) = parts(said);
        hasher.write_u64(bits);
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}

fn is_same(known: &Labels, labels: &[(&str, Said<'_>)]) -> bool {
    let mut pairs = known.iter().zip(labels);
    known.len() == labels.len()
        && pairs
            .all(|((known, value), (key, said))| parts(value.said()) == parts(cut(*said)) && **known == **key)
}

fn cut(said: Said<'_>) -> Said<'_> {
    match said {
        Said::Text(text) if text.len() > MAX_TEXT => Said::Text(&text[..text.floor_char_boundary(MAX_TEXT)]),
        other => other,
    }
}

/// A value in a form that can be compared: also a number that is none is the same as itself.
fn parts(said: Said<'_>) -> (u8, u64, &str) {
    match said {
        Said::Text(text) => (0, text.len() as u64, text),
        Said::Integer(integer) => (1, integer.cast_unsigned(), ""),
        Said::Number(number) => (2, number.to_bits(), ""),
        Said::Flag(flag) => (3, flag.into(), ""),
    }
}

#[cfg(test)]
mod tests;
