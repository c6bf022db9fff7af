//! Records as the bytes that maps and rings hold, so that no other crate needs `unsafe` for them.

/// Gives records their size, asserted, and the way to bytes and back.
///
/// Only for `repr(C)` structs of integers, arrays and other such records, whose padding is spelt out as
/// fields: then every byte is initialised, and every pattern of bytes is a value.
macro_rules! as_bytes {
    ($($record:ident: $size:literal),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$record>() == $size);

        impl $record {
            pub const SIZE: usize = $size;

            #[must_use]
            pub const fn to_bytes(self) -> [u8; $size] {
                // SAFETY: the record has no implicit padding, so each of its bytes is initialised.
                unsafe { core::mem::transmute(self) }
            }

            #[must_use]
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                // SAFETY: the record is made of integers, for which every pattern of bits is valid.
                unsafe { core::mem::transmute(bytes) }
            }
        }
    )+};
}

pub(crate) use as_bytes;
