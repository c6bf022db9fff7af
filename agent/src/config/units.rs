//! Durations and sizes as people write them: `200ms`, `4MiB`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::ByteSize;

/// A duration: a whole number and its unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Time(pub(super) Duration);

/// An amount of bytes: a whole number, alone or with its binary unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) struct Size(pub(super) ByteSize);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected a duration: a whole number and ms, s, m or h, for example 200ms, 5s or 1m";
        let (number, unit) = split(text).ok_or(EXPECTED)?;
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(EXPECTED),
        };
        number
            .checked_mul(unit)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or("is too long")
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a size: a whole number of bytes, or one with KiB, MiB or GiB, for example 512KiB or 4MiB";
        let (number, unit) = split(text).ok_or(EXPECTED)?;
        let unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(EXPECTED),
        };
        let bytes = number
            .checked_mul(unit)
            .and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(|bytes| Self(ByteSize(bytes))).ok_or("is too large")
    }
}

/// The leading digits, and the unit behind them.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl fmt::Display for Time {
    /// The largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .iter()
            .find(|(unit, _)| millis.is_multiple_of(*unit))
        {
            Some((unit, name)) if millis > 0 => write!(f, "{}{name}", millis / unit),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Both are text in a document.
macro_rules! text {
    ($unit:ident, $name:literal) => {
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $unit {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $name })
            }
        }
    };
}

text!(Time, "duration");
text!(Size, "size");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Option<u128> {
        text.parse::<Time>().ok().map(|time| time.0.as_millis())
    }

    fn size(text: &str) -> Option<usize> {
        text.parse::<Size>().ok().map(|size| size.0.0)
    }

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        assert_eq!(time("200ms"), Some(200));
        assert_eq!(time("5s"), Some(5_000));
        assert_eq!(time("1m"), Some(60_000));
        assert_eq!(time("2 h"), Some(7_200_000));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "5 parsecs",
            "1m30s",
            "99999999999999999h",
            "٣s",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_of_a_binary_unit() {
        assert_eq!(size("4MiB"), Some(4 << 20));
        assert_eq!(size("512 KiB"), Some(512 << 10));
        assert_eq!(size("1000"), Some(1000));
        assert_eq!(size("1000B"), Some(1000));
        for text in ["", "MiB", "4MB", "4M", "-4MiB", "0.5MiB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(number in 0_u64..1 << 40) {
            let time = Time(Duration::from_millis(number));
            prop_assert!(time.to_string().parse() == Ok(time));
            let size = Size(ByteSize(usize::try_from(number).unwrap()));
            prop_assert!(size.to_string().parse() == Ok(size));
        }
    }
}
