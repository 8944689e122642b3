//! The page size of an object: a power of two between 4 KiB and 2 MiB.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes::{ByteCount, ParseByteCountError};

/// How many bytes one page of an object has: a power of two from 4 KiB to 2 MiB.
///
/// This is the unit in which an object moves between the pool and the store, and not the page size
/// of the hardware, which is 4 KiB throughout.
///
/// # Example
///
/// ```
/// use bo_units::PageSize;
///
/// assert_eq!(PageSize::new(65_536), Ok(PageSize::KIB_64));
/// assert_eq!("64KiB".parse(), Ok(PageSize::KIB_64));
/// assert!(PageSize::new(65_537).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PageSize {
    /// The base-two logarithm of the size, so that a value cannot help being a power of two.
    shift: u8,
}

const SHIFT_MIN: u8 = 12;
const SHIFT_MAX: u8 = 21;

/// From this object size on, [`PageSize::for_object`] answers 64 KiB.
const LARGE_OBJECT: ByteCount = ByteCount::MIB;

impl PageSize {
    /// The smallest page size, 4 KiB: one page of the hardware.
    pub const MIN: PageSize = PageSize { shift: SHIFT_MIN };
    /// 64 KiB.
    pub const KIB_64: PageSize = PageSize { shift: 16 };
    /// The largest page size, 2 MiB: what one entry of a page middle directory maps.
    pub const MAX: PageSize = PageSize { shift: SHIFT_MAX };

    /// The page size of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// [`PageSizeError`] unless `bytes` is a power of two from 4096 to 2,097,152.
    pub const fn new(bytes: u64) -> Result<PageSize, PageSizeError> {
        let mut shift = SHIFT_MIN;
        while shift <= SHIFT_MAX {
            if bytes == 1 << shift {
                return Ok(PageSize { shift });
            }
            shift += 1;
        }
        Err(PageSizeError { bytes })
    }

    /// The page size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The base-two logarithm of [`bytes`](PageSize::bytes): 12 to 21.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift as u32
    }

    /// The page size of an object of `size` bytes whose owner expressed no wish.
    ///
    /// Below 1 MiB it is 4 KiB, else 64 KiB. A fault costs some ten microseconds whatever its page
    /// size, and copying 64 KiB costs about as much: at that size moving and waiting are in
    /// balance, and a larger page would mostly move bytes that nobody asked for. A small object
    /// has few faults to save, and would waste up to a whole page at its end.
    #[must_use]
    pub fn for_object(size: ByteCount) -> PageSize {
        if size < LARGE_OBJECT { PageSize::MIN } else { PageSize::KIB_64 }
    }
}

impl From<PageSize> for u64 {
    fn from(size: PageSize) -> u64 {
        size.bytes()
    }
}

impl TryFrom<u64> for PageSize {
    type Error = PageSizeError;

    fn try_from(bytes: u64) -> Result<PageSize, PageSizeError> {
        PageSize::new(bytes)
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ByteCount::new(self.bytes()), f)
    }
}

impl fmt::Debug for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageSize({self})")
    }
}

impl FromStr for PageSize {
    type Err = ParsePageSizeError;

    /// Reads what [`ByteCount`] reads: `"4KiB"`, `"64 KiB"`, `"2MiB"`, `"65536"`.
    fn from_str(text: &str) -> Result<PageSize, ParsePageSizeError> {
        let bytes: ByteCount = text.parse().map_err(ParsePageSizeError::NotASize)?;
        PageSize::new(bytes.get()).map_err(ParsePageSizeError::NotAPageSize)
    }
}

/// A number of bytes that is no page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSizeError {
    bytes: u64,
}

impl PageSizeError {
    /// The number that was refused, in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for PageSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = ByteCount::new(self.bytes);
        let (min, max) = (PageSize::MIN, PageSize::MAX);
        write!(f, "{bytes} is no page size; use a power of two from {min} to {max}")
    }
}

impl Error for PageSizeError {}

/// A text that names no page size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsePageSizeError {
    /// The text is no number of bytes at all.
    NotASize(ParseByteCountError),
    /// It is a number of bytes, but not one that a page can have.
    NotAPageSize(PageSizeError),
}

impl fmt::Display for ParsePageSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParsePageSizeError::NotASize(error) => error.fmt(f),
            ParsePageSizeError::NotAPageSize(error) => error.fmt(f),
        }
    }
}

impl Error for ParsePageSizeError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_are_ten_page_sizes() {
        let sizes: Vec<_> = (0..64).filter_map(|n| PageSize::new(1 << n).ok()).collect();
        assert_eq!(sizes.len(), 10);
        assert_eq!(sizes[0], PageSize::MIN);
        assert_eq!(sizes[4], PageSize::KIB_64);
        assert_eq!(sizes[9], PageSize::MAX);
    }

    #[test]
    fn a_page_size_displays_as_it_is_read() {
        assert_eq!(PageSize::MIN.to_string(), "4 KiB");
        assert_eq!(PageSize::MAX.to_string(), "2 MiB");
        assert_eq!("4KiB".parse(), Ok(PageSize::MIN));
        assert_eq!("64 kib".parse(), Ok(PageSize::KIB_64));
        assert_eq!("2MiB".parse(), Ok(PageSize::MAX));
        assert_eq!("0.5 MiB".parse(), Ok(PageSize { shift: 19 }));
    }

    #[test]
    fn sizes_beside_the_limits_cannot_be_made() {
        for bytes in [0, 1, 2048, 4095, 4097, 12_288, (2 << 20) + 1, 4 << 20, u64::MAX] {
            assert_eq!(PageSize::new(bytes), Err(PageSizeError { bytes }));
        }
    }

    #[test]
    fn an_error_says_what_would_do() {
        let error = "8MiB".parse::<PageSize>().expect_err("refused");
        let text = error.to_string();
        assert_eq!(text, "8 MiB is no page size; use a power of two from 4 KiB to 2 MiB");
    }

    #[test]
    fn the_default_grows_at_one_mebibyte() {
        let page_of = |bytes| PageSize::for_object(ByteCount::new(bytes));
        assert_eq!(page_of(1), PageSize::MIN);
        assert_eq!(page_of((1 << 20) - 1), PageSize::MIN);
        assert_eq!(page_of(1 << 20), PageSize::KIB_64);
        assert_eq!(page_of(u64::MAX), PageSize::KIB_64);
    }

    proptest! {
        #[test]
        fn only_powers_of_two_in_range_are_page_sizes(bytes: u64) {
            let expected = bytes.is_power_of_two() && (4096..=2 << 20).contains(&bytes);
            prop_assert_eq!(PageSize::new(bytes).is_ok(), expected);
        }

        #[test]
        fn shift_and_bytes_agree(shift in 12_u32..=21) {
            let size = PageSize::new(1 << shift).expect("a page size");
            prop_assert_eq!(size.shift(), shift);
            prop_assert_eq!(size.bytes(), 1 << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
