//! Amounts of bytes, so that no signature says `usize` and means one.

use std::fmt;

/// An amount of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub usize);

impl ByteSize {
    #[must_use]
    pub const fn kib(kib: usize) -> Self {
        Self(kib * 1024)
    }

    #[must_use]
    pub const fn mib(mib: usize) -> Self {
        Self(mib * 1024 * 1024)
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides it: `4MiB`, `1536KiB`, `10B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 > 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}
