//! Numbers of bytes, with arithmetic that cannot wrap and a form for people.

mod parse;

pub use parse::ParseByteCountError;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::page_size::PageSize;
use crate::pages::PageCount;

/// A number of bytes.
///
/// [`Display`](fmt::Display) is exact: it uses the largest binary unit that needs at most two
/// decimals, and what it prints, [`FromStr`](std::str::FromStr) reads back as the same number.
///
/// # Example
///
/// ```
/// use bo_units::ByteCount;
///
/// assert_eq!(ByteCount::mib(256).to_string(), "256 MiB");
/// assert_eq!("1.5 GiB".parse(), Ok(ByteCount::mib(1536)));
/// assert_eq!(ByteCount::new(1025).to_string(), "1025 B");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteCount(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: ByteCount = ByteCount(0);
    /// 2^10 bytes.
    pub const KIB: ByteCount = ByteCount(1 << 10);
    /// 2^20 bytes.
    pub const MIB: ByteCount = ByteCount(1 << 20);
    /// 2^30 bytes.
    pub const GIB: ByteCount = ByteCount(1 << 30);
    /// 2^40 bytes.
    pub const TIB: ByteCount = ByteCount(1 << 40);
    /// 2^64 - 1 bytes.
    pub const MAX: ByteCount = ByteCount(u64::MAX);

    /// `bytes` bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> ByteCount {
        ByteCount(bytes)
    }

    /// `n` times 2^10 bytes.
    ///
    /// # Panics
    ///
    /// If that is 2^64 bytes or more.
    #[must_use]
    pub const fn kib(n: u64) -> ByteCount {
        ByteCount::KIB.times(n)
    }

    /// `n` times 2^20 bytes.
    ///
    /// # Panics
    ///
    /// If that is 2^64 bytes or more.
    #[must_use]
    pub const fn mib(n: u64) -> ByteCount {
        ByteCount::MIB.times(n)
    }

    /// `n` times 2^30 bytes.
    ///
    /// # Panics
    ///
    /// If that is 2^64 bytes or more.
    #[must_use]
    pub const fn gib(n: u64) -> ByteCount {
        ByteCount::GIB.times(n)
    }

    const fn times(self, n: u64) -> ByteCount {
        self.checked_mul(n).expect("a number of bytes below 2^64")
    }

    /// The number, in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` if it is 2^64 or more.
    #[must_use]
    pub const fn checked_add(self, other: ByteCount) -> Option<ByteCount> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(ByteCount(sum)),
            None => None,
        }
    }

    /// The difference, or `None` if `other` is larger.
    #[must_use]
    pub const fn checked_sub(self, other: ByteCount) -> Option<ByteCount> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(ByteCount(difference)),
            None => None,
        }
    }

    /// The product, or `None` if it is 2^64 or more.
    #[must_use]
    pub const fn checked_mul(self, factor: u64) -> Option<ByteCount> {
        match self.0.checked_mul(factor) {
            Some(product) => Some(ByteCount(product)),
            None => None,
        }
    }

    /// The sum, or [`ByteCount::MAX`] if it is larger than that.
    #[must_use]
    pub const fn saturating_add(self, other: ByteCount) -> ByteCount {
        ByteCount(self.0.saturating_add(other.0))
    }

    /// The difference, or zero if `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: ByteCount) -> ByteCount {
        ByteCount(self.0.saturating_sub(other.0))
    }

    /// How many pages of `size` hold these bytes, the last one perhaps in part.
    ///
    /// `None` if they are more than 2^32 - 1.
    #[must_use]
    pub const fn pages_ceil(self, size: PageSize) -> Option<PageCount> {
        let pages = self.0.div_ceil(size.bytes());
        if pages > u32::MAX as u64 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared with u32::MAX above")]
        Some(PageCount::new(pages as u32))
    }

    /// Whether these bytes are a whole number of pages of `size`.
    #[must_use]
    pub const fn is_whole_pages(self, size: PageSize) -> bool {
        self.0.is_multiple_of(size.bytes())
    }
}

/// The units that are read and written, largest first.
const UNITS: [(ByteCount, &str); 4] = [
    (ByteCount::TIB, "TiB"),
    (ByteCount::GIB, "GiB"),
    (ByteCount::MIB, "MiB"),
    (ByteCount::KIB, "KiB"),
];

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&in_largest_exact_unit(*self))
    }
}

fn in_largest_exact_unit(bytes: ByteCount) -> String {
    for (unit, name) in UNITS {
        // At most two decimals: a multiple of a quarter, since units are powers of two.
        let quarter = unit.0 / 4;
        if bytes < unit || !bytes.0.is_multiple_of(quarter) {
            continue;
        }
        let decimals = match bytes.0 / quarter % 4 {
            0 => "",
            1 => ".25",
            2 => ".5",
            _ => ".75",
        };
        return format!("{}{decimals} {name}", bytes.0 / unit.0);
    }
    format!("{} B", bytes.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: u64, text: &str) {
        assert_eq!(ByteCount::new(bytes).to_string(), text);
        assert_eq!(text.parse(), Ok(ByteCount::new(bytes)));
    }

    #[test]
    fn counts_display_in_the_largest_exact_unit() {
        check(0, "0 B");
        check(1, "1 B");
        check(1023, "1023 B");
        check(1024, "1 KiB");
        check(1280, "1.25 KiB");
        check(1281, "1281 B");
        check(4096, "4 KiB");
        check(256 << 20, "256 MiB");
        check(3 << 29, "1.5 GiB");
        check((1 << 30) + 4096, "1048580 KiB");
        check(7 << 38, "1.75 TiB");
        check(1 << 62, "4194304 TiB");
        check(u64::MAX, "18446744073709551615 B");
    }

    #[test]
    fn counts_can_be_padded_into_columns() {
        assert_eq!(format!("[{:>8}]", ByteCount::kib(4)), "[   4 KiB]");
    }

    #[test]
    fn arithmetic_cannot_wrap() {
        assert_eq!(ByteCount::MAX.checked_add(ByteCount::new(1)), None);
        assert_eq!(ByteCount::ZERO.checked_sub(ByteCount::new(1)), None);
        assert_eq!(ByteCount::GIB.checked_mul(1 << 34), None);
        assert_eq!(ByteCount::MAX.saturating_add(ByteCount::KIB), ByteCount::MAX);
        assert_eq!(ByteCount::KIB.saturating_sub(ByteCount::MIB), ByteCount::ZERO);
    }

    #[test]
    fn pages_are_rounded_up_and_never_cut_off() {
        let pages = |bytes| ByteCount::new(bytes).pages_ceil(PageSize::MIN).map(PageCount::get);
        assert_eq!(pages(0), Some(0));
        assert_eq!(pages(1), Some(1));
        assert_eq!(pages(4096), Some(1));
        assert_eq!(pages(4097), Some(2));
        assert_eq!(pages(u64::from(u32::MAX) << 12), Some(u32::MAX));
        assert_eq!(pages((u64::from(u32::MAX) << 12) + 1), None);
        assert_eq!(pages(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_exactly(bytes: u64, shift in 0_u32..64) {
            let count = ByteCount::new(bytes >> shift);
            prop_assert_eq!(count.to_string().parse(), Ok(count));
        }

        #[test]
        fn round_numbers_read_back_exactly(n in 0_u64..5000, quarter in 8_u32..40) {
            let count = ByteCount::new(n << quarter);
            prop_assert_eq!(count.to_string().parse(), Ok(count));
        }

        #[test]
        fn pages_ceil_is_the_smallest_number_that_holds_them(
            bytes in 0_u64..1 << 44,
            shift in 12_u32..=21,
        ) {
            let size = PageSize::new(1 << shift).expect("a page size");
            let count = ByteCount::new(bytes);
            match count.pages_ceil(size) {
                Some(pages) => {
                    let held = pages.bytes(size).get();
                    prop_assert!(bytes <= held);
                    prop_assert!(held < bytes + size.bytes());
                    prop_assert_eq!(count.is_whole_pages(size), held == bytes);
                }
                None => prop_assert!(bytes > u64::from(u32::MAX) * size.bytes()),
            }
        }
    }
}
