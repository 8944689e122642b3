//! Parts of the pool, as operators write them.

use std::fmt;
use std::str::FromStr;

use bo_units::ByteCount;

/// A part of something, from 0% to 100%, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// Where background reclaim starts unless it is told otherwise: as in umap.
    pub const RECLAIM_START: Self = Self(9000);
    /// Where it stops: as in umap.
    pub const RECLAIM_STOP: Self = Self(7000);
    /// Where the cleaner starts: where reclaim stops, so that it works whenever reclaim may come.
    pub const CLEAN_START: Self = Self(7000);

    /// `whole` percent.
    ///
    /// # Panics
    ///
    /// If it is more than 100.
    #[must_use]
    pub const fn new(whole: u16) -> Self {
        assert!(whole <= 100, "a part is at most the whole");
        Self(whole * 100)
    }

    /// This part of so many bytes, rounded down.
    pub(crate) fn of(self, bytes: ByteCount) -> ByteCount {
        // The remainder apart, so that nothing overflows.
        let (whole, rest) = (bytes.get() / 10_000, bytes.get() % 10_000);
        let part = u64::from(self.0);
        ByteCount::new(whole * part + rest * part / 10_000)
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is no part: write a percentage such as 90% or 97.5%");
        let digits = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "00"));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || !(1..=2).contains(&fraction.len()) {
            return Err(wrong());
        }
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let hundredths: u16 = format!("{fraction:0<2}").parse().map_err(|_| wrong())?;
        let part = whole.checked_mul(100).and_then(|part| part.checked_add(hundredths));
        let part = part.filter(|part| *part <= 10_000);
        part.map(Self).ok_or_else(|| format!("{text} is more than all of it: at most 100%"))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages_are_read_and_written() {
        for (text, part) in [("0%", 0), ("90%", 9000), ("97.5%", 9750), ("100 %", 10_000)] {
            assert_eq!(text.parse(), Ok(Percent(part)), "{text}");
        }
        assert_eq!(Percent(9705).to_string(), "97.05%");
    }

    #[test]
    fn what_is_no_percentage_is_refused_with_what_to_write() {
        for text in ["", "90", "%", "0.9", "-1%", "+1%", "90.%", "90.123%", "9e1%", "x%"] {
            let error = text.parse::<Percent>().unwrap_err();
            assert!(error.contains("such as 90%"), "{text}: {error}");
        }
        for text in ["100.01%", "101%", "65535%"] {
            assert!(text.parse::<Percent>().unwrap_err().contains("at most 100%"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(part in 0_u16..=10_000) {
            prop_assert_eq!(Percent(part).to_string().parse(), Ok(Percent(part)));
        }

        #[test]
        fn a_part_is_exact_and_never_more_than_the_whole(part in 0_u16..=10_000, bytes: u64) {
            let exact = u128::from(bytes) * u128::from(part) / 10_000;
            let found = Percent(part).of(ByteCount::new(bytes)).get();
            prop_assert_eq!(u128::from(found), exact);
        }
    }
}
