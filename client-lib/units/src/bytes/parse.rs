//! Reading a number of bytes as people write it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::{ByteCount, UNITS};

impl FromStr for ByteCount {
    type Err = ParseByteCountError;

    /// Reads a decimal number with an optional binary unit: `4096`, `64KiB`, `1 gib`, `1.5GiB`.
    ///
    /// Case and spaces around the parts do not matter. A fraction is allowed if it comes out as a
    /// whole number of bytes. Decimal units (`MB`) are refused rather than guessed at.
    fn from_str(text: &str) -> Result<ByteCount, ParseByteCountError> {
        let fail = |problem| ParseByteCountError { text: text.to_owned(), problem };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(fail(Problem::Empty));
        }
        if trimmed.starts_with('-') {
            return Err(fail(Problem::Negative));
        }
        let number_end =
            trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(number_end);
        let unit = unit_bytes(unit.trim_start()).map_err(fail)?;
        scale(number, unit).map_err(fail).map(ByteCount::new)
    }
}

fn unit_bytes(unit: &str) -> Result<u64, Problem> {
    if unit.is_empty() || unit.eq_ignore_ascii_case("B") {
        return Ok(1);
    }
    for (bytes, name) in UNITS {
        if unit.eq_ignore_ascii_case(name) {
            return Ok(bytes.get());
        }
    }
    // `M` and `MB` may mean 10^6 or 2^20, depending on whom you ask.
    let first_letter = &name_initial(unit);
    for (_, name) in UNITS {
        let decimal = [first_letter.clone(), format!("{first_letter}B")];
        let meant = name.starts_with(first_letter.as_str());
        if meant && decimal.iter().any(|decimal| unit.eq_ignore_ascii_case(decimal)) {
            return Err(Problem::DecimalUnit { suggestion: name });
        }
    }
    Err(Problem::UnknownUnit)
}

fn name_initial(unit: &str) -> String {
    unit.chars().take(1).collect::<String>().to_ascii_uppercase()
}

/// More decimals than anybody writes; 10^20 times the largest unit, 2^40, still fits 128 bits.
const FRACTION_DIGITS_MAX: usize = 20;

/// Multiplies the decimal `number` by `unit`, exactly or not at all.
fn scale(number: &str, unit: u64) -> Result<u64, Problem> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || number.ends_with('.') {
        return Err(Problem::NotANumber);
    }
    let whole: u64 = whole.parse().map_err(|_| Problem::TooLarge)?;
    let whole = whole.checked_mul(unit).ok_or(Problem::TooLarge)?;
    whole.checked_add(scale_fraction(fraction, unit)?).ok_or(Problem::TooLarge)
}

fn scale_fraction(fraction: &str, unit: u64) -> Result<u64, Problem> {
    if fraction.is_empty() {
        return Ok(0);
    }
    if FRACTION_DIGITS_MAX < fraction.len() {
        return Err(Problem::FractionTooLong);
    }
    let denominator = fraction.bytes().fold(1_u128, |power, _| power * 10);
    let numerator: u128 = fraction.parse().map_err(|_| Problem::NotANumber)?;
    let product = numerator * u128::from(unit);
    if !product.is_multiple_of(denominator) {
        return Err(Problem::NotWholeBytes);
    }
    u64::try_from(product / denominator).map_err(|_| Problem::TooLarge)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text that names no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseByteCountError {
    text: String,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    Negative,
    NotANumber,
    UnknownUnit,
    DecimalUnit { suggestion: &'static str },
    NotWholeBytes,
    FractionTooLong,
    TooLarge,
}

impl fmt::Display for ParseByteCountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.problem {
            Problem::Empty => write!(f, "a size is missing; write for example 256MiB"),
            Problem::Negative => write!(f, "{text:?} is negative; a size is not"),
            Problem::NotANumber => {
                write!(f, "{text:?} does not start with a number; write for example 256MiB")
            }
            Problem::UnknownUnit => {
                write!(f, "{text:?} has an unknown unit; use B, KiB, MiB, GiB or TiB")
            }
            Problem::DecimalUnit { suggestion } => {
                write!(f, "{text:?} could be a power of ten or of two; write {suggestion}")
            }
            Problem::NotWholeBytes => write!(f, "{text:?} is not a whole number of bytes"),
            Problem::FractionTooLong => {
                write!(f, "{text:?} has more than {FRACTION_DIGITS_MAX} decimals")
            }
            Problem::TooLarge => write!(f, "{text:?} is 2^64 bytes or more"),
        }
    }
}

impl Error for ParseByteCountError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: u64) {
        assert_eq!(text.parse(), Ok(ByteCount::new(bytes)));
    }

    #[track_caller]
    fn check_refused(text: &str, problem: Problem) {
        let error = text.parse::<ByteCount>().expect_err("refused");
        assert_eq!(error, ParseByteCountError { text: text.to_owned(), problem });
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        check("0", 0);
        check("4096", 4096);
        check("64KiB", 65_536);
        check("256MiB", 256 << 20);
        check("1 GiB", 1 << 30);
        check("1TiB", 1 << 40);
        check("  2  mib  ", 2 << 20);
        check("7B", 7);
        check("007 b", 7);
        check("1.5GiB", 3 << 29);
        check("1.50 GiB", 3 << 29);
        check("2.0", 2);
        check("0.5KIB", 512);
        check("0.0009765625 MiB", 1024);
        check("18446744073709551615", u64::MAX);
    }

    #[test]
    fn nothing_and_less_than_nothing_cannot_be_read() {
        check_refused("", Problem::Empty);
        check_refused("  ", Problem::Empty);
        check_refused("-1", Problem::Negative);
        check_refused("-1MiB", Problem::Negative);
    }

    #[test]
    fn what_is_no_number_cannot_be_read() {
        for text in ["MiB", ".", ".5GiB", "1.", "1.MiB", "1.2.3", "+1", "0x10", "١"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
        check_refused("1..5", Problem::NotANumber);
    }

    #[test]
    fn decimal_units_are_refused_with_a_suggestion() {
        check_refused("1MB", Problem::DecimalUnit { suggestion: "MiB" });
        check_refused("1 kb", Problem::DecimalUnit { suggestion: "KiB" });
        check_refused("1G", Problem::DecimalUnit { suggestion: "GiB" });
        check_refused("1tb", Problem::DecimalUnit { suggestion: "TiB" });
        let message = "1MB".parse::<ByteCount>().expect_err("refused").to_string();
        assert_eq!(message, "\"1MB\" could be a power of ten or of two; write MiB");
    }

    #[test]
    fn unknown_units_cannot_be_read() {
        for text in ["1 PiB", "1 Mi", "1 MiBs", "1 MiB MiB", "1 é", "1 xB", "1e3", "1_000"] {
            check_refused(text, Problem::UnknownUnit);
        }
    }

    #[test]
    fn a_part_of_a_byte_cannot_be_read() {
        check_refused("1.5", Problem::NotWholeBytes);
        check_refused("0.1KiB", Problem::NotWholeBytes);
        check_refused("0.3GiB", Problem::NotWholeBytes);
        check_refused(&format!("0.{}1TiB", "0".repeat(19)), Problem::NotWholeBytes);
        check_refused(&format!("0.{}1TiB", "0".repeat(20)), Problem::FractionTooLong);
        check_refused(&format!("0.{}TiB", "9".repeat(20)), Problem::NotWholeBytes);
    }

    #[test]
    fn two_to_the_sixty_four_cannot_be_read() {
        check_refused("18446744073709551616", Problem::TooLarge);
        check_refused("16777216TiB", Problem::TooLarge);
        check_refused("99999999999999999999999999999999999999999", Problem::TooLarge);
        check("16777215.75TiB", u64::MAX - (1 << 38) + 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = text.parse::<ByteCount>();
        }

        #[test]
        fn no_likely_text_makes_the_reader_panic(text in "[-+ ]?[0-9.]{0,45} ?[kmgtKMGT]?i?[bB]?") {
            let _ = text.parse::<ByteCount>();
        }
    }
}
