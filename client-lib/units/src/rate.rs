//! Bytes per second.

use std::error::Error;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes::{ByteCount, ParseByteCountError};

/// How many bytes pass in a second: at least one.
///
/// [`Display`](fmt::Display) is exact, and [`FromStr`] reads it back as the same rate.
///
/// # Example
///
/// ```
/// use bo_units::{ByteCount, ByteRate};
///
/// let rate: ByteRate = "16GiB/s".parse()?;
/// assert_eq!(Some(rate), ByteRate::per_second(ByteCount::gib(16)));
/// assert_eq!(rate.to_string(), "16 GiB/s");
/// # Ok::<(), bo_units::ParseByteRateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteRate(NonZeroU64);

impl ByteRate {
    /// `bytes` in each second, or `None` if that is nothing.
    #[must_use]
    pub const fn per_second(bytes: ByteCount) -> Option<ByteRate> {
        match NonZeroU64::new(bytes.get()) {
            Some(bytes) => Some(ByteRate(bytes)),
            None => None,
        }
    }

    /// The bytes of one second.
    #[must_use]
    pub const fn bytes_per_second(self) -> ByteCount {
        ByteCount::new(self.0.get())
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.bytes_per_second()))
    }
}

impl FromStr for ByteRate {
    type Err = ParseByteRateError;

    /// Reads a number of bytes as [`ByteCount`] does, followed by `/s`: `16GiB/s`, `1.5 MiB/s`.
    fn from_str(text: &str) -> Result<ByteRate, ParseByteRateError> {
        let fail = |problem| ParseByteRateError { text: text.to_owned(), problem };
        let bytes = text.trim().strip_suffix("/s").ok_or_else(|| fail(Problem::NotPerSecond))?;
        let bytes = bytes.parse().map_err(|error| fail(Problem::Bytes(error)))?;
        ByteRate::per_second(bytes).ok_or_else(|| fail(Problem::Zero))
    }
}

/// A text that names no rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseByteRateError {
    text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    NotPerSecond,
    Bytes(ParseByteCountError),
    Zero,
}

impl fmt::Display for ParseByteRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.problem {
            Problem::NotPerSecond => {
                write!(f, "{text:?} does not end with /s; write for example 16GiB/s")
            }
            Problem::Bytes(error) => error.fmt(f),
            Problem::Zero => write!(f, "{text:?} moves nothing; write for example 16GiB/s"),
        }
    }
}

impl Error for ParseByteRateError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: u64) {
        assert_eq!(text.parse(), Ok(ByteRate::per_second(ByteCount::new(bytes)).expect("> 0")));
    }

    #[track_caller]
    fn check_refused(text: &str, advice: &str) {
        let message = text.parse::<ByteRate>().expect_err("refused").to_string();
        assert!(message.contains(advice), "{message}");
    }

    #[test]
    fn rates_read_as_people_write_them() {
        check("16GiB/s", 16 << 30);
        check(" 1.5 mib /s ", 3 << 19);
        check("1/s", 1);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_to_write() {
        check_refused("16GiB", "write for example 16GiB/s");
        check_refused("16GB/s", "write GiB");
        check_refused("0/s", "moves nothing");
        check_refused("/s", "a size is missing");
        check_refused("16Gbit/s", "unknown unit");
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back_exactly(bytes in 1_u64..) {
            let rate = ByteRate::per_second(ByteCount::new(bytes)).expect("not zero");
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
