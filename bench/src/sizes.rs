//! Conversions between the integers and floats of a measurement, each with its reason.

use std::time::Duration;

/// A length or an index in memory.
///
/// # Panics
///
/// On a machine whose address space is narrower than 64 bits, which userfaultfd does not serve.
pub(crate) fn in_memory(value: u64) -> usize {
    usize::try_from(value).expect("this program runs on 64-bit machines only")
}

/// A length in memory as a 64-bit number.
pub(crate) fn as_u64(value: usize) -> u64 {
    u64::try_from(value).expect("no machine has more than 64 bits of address")
}

/// Whole nanoseconds. A measurement that lasts longer than 584 years is capped.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The integer part of a number that is finite and not negative; anything else becomes zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and the integer part is what is asked for"
)]
pub(crate) fn floor(value: f64) -> u64 {
    value as u64
}

/// Decimal gigabytes per second; `None` when no time was spent.
pub(crate) fn gbps(bytes: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| bytes as f64 / seconds / 1e9)
}

/// Bytes as people say them: in MiB, without the odd ones.
pub(crate) fn about(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The middle of the samples; `None` when there are none.
pub(crate) fn median(samples: &mut [f64]) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_ignores_one_wild_sample() {
        assert_eq!(median(&mut [3.0, 1.0, 900.0]), Some(3.0));
    }

    #[test]
    fn no_samples_have_no_median() {
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn a_rate_over_no_time_is_not_a_number_to_show() {
        assert_eq!(gbps(1 << 30, 0.0), None);
    }

    #[test]
    fn a_rate_is_in_decimal_gigabytes() {
        assert_eq!(gbps(3_000_000_000, 2.0), Some(1.5));
    }
}
