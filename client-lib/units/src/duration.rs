//! Lengths of time as people write them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Reads a length of time: numbers, each with its unit, such as `500ns`, `2us`, `1.5ms`, `1s 20ms`.
///
/// Units are those of the `humantime` crate: ns, us (or µs), ms, s, min, h and longer. A number
/// without a unit is refused, since nobody can tell which was meant; only `0` is the same in all of
/// them. A fraction is allowed if it comes out as a whole number of nanoseconds. Good as a
/// `value_parser` of clap.
///
/// # Errors
///
/// [`ParseDurationError`] says what is wrong with the text, and what to write.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(bo_units::parse_duration("2us"), Ok(Duration::from_micros(2)));
/// assert!(bo_units::parse_duration("2").unwrap_err().to_string().contains("give a unit: 2us"));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    humantime::parse_duration(text.trim())
        .map_err(|error| ParseDurationError { text: text.to_owned(), error })
}

/// Shows a length of time exactly, in a form that [`parse_duration`] reads back: `1s 20ms`.
pub fn show_duration(duration: Duration) -> impl fmt::Display {
    humantime::format_duration(duration)
}

/// A text that names no length of time.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseDurationError {
    text: String,
    error: humantime::DurationError,
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use humantime::DurationError::{
            Empty, InvalidCharacter, NumberExpected, NumberOverflow, UnknownUnit,
        };
        let text = &self.text;
        match &self.error {
            Empty => write!(f, "a duration is missing; write for example 2us"),
            UnknownUnit { unit, value, .. } if unit.is_empty() => {
                write!(f, "{text:?} has no unit; give a unit: {value}us, {value}ms or {value}s")
            }
            UnknownUnit { unit, .. } => {
                write!(f, "{text:?} has an unknown unit {unit:?}; use ns, us, ms or s")
            }
            NumberOverflow => {
                write!(f, "{text:?} is too long, or no whole number of nanoseconds")
            }
            InvalidCharacter(_) | NumberExpected(_) => {
                write!(f, "{text:?} is no duration; write for example 500ns, 2us or 1ms")
            }
        }
    }
}

impl Error for ParseDurationError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, nanos: u64) {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)));
    }

    #[track_caller]
    fn check_refused(text: &str, advice: &str) {
        let message = parse_duration(text).expect_err("refused").to_string();
        assert!(message.contains(advice), "{message}");
    }

    #[test]
    fn durations_read_as_people_write_them() {
        check("0s", 0);
        check("0", 0);
        check("500ns", 500);
        check("2us", 2000);
        check("2 µs", 2000);
        check(" 1.5ms ", 1_500_000);
        check("1s 20ms", 1_020_000_000);
    }

    #[test]
    fn a_number_alone_is_refused_with_units_to_choose_from() {
        check_refused("2", "give a unit: 2us");
        check_refused("1ms 5", "give a unit: 5us");
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_to_write() {
        check_refused("", "write for example 2us");
        check_refused("fast", "500ns, 2us or 1ms");
        check_refused("-1us", "500ns, 2us or 1ms");
        check_refused("2 parsecs", "use ns, us, ms or s");
        check_refused("0.5ns", "whole number of nanoseconds");
        check_refused("99999999999999999999s", "too long");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_exactly(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&show_duration(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_likely_text_makes_the_reader_panic(text in "[-+ ]?[0-9.]{0,25} ?[a-zµ]{0,4} ?") {
            let _ = parse_duration(&text);
        }
    }
}
