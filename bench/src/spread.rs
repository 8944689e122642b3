//! One figure over several rounds: its middle, and how far the rounds lie apart.

use serde::{Deserialize, Serialize};

use crate::sizes;

/// The median and the extremes of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many samples there were.
    pub(crate) samples: usize,
}

impl Spread {
    /// `None` without a sample. Samples that are not finite numbers are left out.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut samples: Vec<f64> = samples.into_iter().filter(|value| value.is_finite()).collect();
        let median = middle(&mut samples)?;
        let (min, max) = (*samples.first()?, *samples.last()?);
        Some(Spread { median, min, max, samples: samples.len() })
    }

    /// The spread of `above / below`, pair by pair: what was measured close together is compared,
    /// so that a machine which slows down in mid-run slows down both.
    pub(crate) fn of_ratios(above: &[f64], below: &[f64]) -> Option<Spread> {
        let pairs = above.iter().zip(below).filter(|(_, below)| 0.0 < **below);
        Spread::of(pairs.map(|(above, below)| above / below))
    }

    /// `1.05 (0.98 to 1.10)`, with as many digits as its size deserves.
    pub(crate) fn text(&self) -> String {
        let Spread { median, min, max, samples } = self;
        match samples {
            1 => digits(*median),
            _ => format!("{} ({} to {})", digits(*median), digits(*min), digits(*max)),
        }
    }
}

/// Three significant digits, or all digits of the integer part.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if 100.0 <= size => format!("{value:.0}"),
        size if 10.0 <= size => format!("{value:.1}"),
        size if 1.0 <= size => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Sorts, and takes the mean of the middle two of an even number.
fn middle(samples: &mut [f64]) -> Option<f64> {
    let upper = sizes::median(samples)?;
    let half = samples.len() / 2;
    let even = samples.len().is_multiple_of(2);
    Some(if even { f64::midpoint(samples[half - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("some samples");
        assert_eq!(spread, Spread { median: 2.5, min: 1.0, max: 4.0, samples: 4 });
    }

    #[test]
    fn the_median_of_an_odd_number_is_one_of_them() {
        assert_eq!(Spread::of([9.0, 1.0, 2.0]).map(|spread| spread.median), Some(2.0));
    }

    #[test]
    fn nothing_measured_has_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The machine became half as fast for the second pair; the ratio did not.
        let spread = Spread::of_ratios(&[2.0, 1.0], &[4.0, 2.0]).expect("two pairs");
        assert_eq!((spread.median, spread.min, spread.max), (0.5, 0.5, 0.5));
    }

    #[test]
    fn nothing_is_compared_with_zero() {
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
        assert_eq!(Spread::of_ratios(&[1.0, 3.0], &[0.0, 2.0]).map(|one| one.samples), Some(1));
    }

    #[test]
    fn a_spread_reads_well() {
        let spread = Spread { median: 1.052, min: 0.98, max: 12.34, samples: 3 };
        assert_eq!(spread.text(), "1.05 (0.980 to 12.3)");
        assert_eq!(Spread { samples: 1, ..spread }.text(), "1.05");
        assert_eq!(digits(12345.6), "12346");
    }
}
