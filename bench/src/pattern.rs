//! Which cell the next operation goes to.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::sizes;

/// The order of accesses: `seq`, `uniform` or `zipf:THETA`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Pattern {
    /// One cell after the other, over and over.
    Sequential,
    /// Every cell is equally likely.
    Uniform,
    /// Page of rank r is drawn with a weight of r to the power of -theta; ranks are scattered.
    Zipf { theta: f64 },
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Sequential => f.write_str("seq"),
            Pattern::Uniform => f.write_str("uniform"),
            Pattern::Zipf { theta } => write!(f, "zipf:{theta}"),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        text.parse()
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let known = "seq, uniform or zipf:THETA (such as zipf:0.99) is needed";
        match text.split_once(':') {
            None if text == "seq" => Ok(Pattern::Sequential),
            None if text == "uniform" => Ok(Pattern::Uniform),
            Some(("zipf", theta)) => match theta.parse::<f64>() {
                Ok(theta) if (0.0..=10.0).contains(&theta) => Ok(Pattern::Zipf { theta }),
                Ok(_) | Err(_) => Err("theta is a number from 0 to 10".to_owned()),
            },
            None | Some(_) => Err(known.to_owned()),
        }
    }
}

/// An endless walk over the cells of one thread.
#[derive(Debug)]
pub(crate) struct Walk {
    cells: u64,
    cells_per_page: u64,
    step: Step,
    random: Xoshiro256PlusPlus,
}

#[derive(Debug)]
enum Step {
    Sequential { next: u64 },
    Uniform,
    Zipf { ranks: Zipf<f64>, places: Scatter },
}

impl Walk {
    /// A walk over `cells` cells that lie in pages of `cells_per_page`. The same seed walks the
    /// same way.
    ///
    /// # Panics
    ///
    /// If there is no cell to go to, or a page holds none.
    pub(crate) fn new(pattern: Pattern, cells: u64, cells_per_page: u64, seed: u64) -> Walk {
        assert!(0 < cells, "a walk needs a cell");
        assert!(0 < cells_per_page, "a page holds at least one cell");
        let pages = cells.div_ceil(cells_per_page);
        let step = match pattern {
            Pattern::Sequential => Step::Sequential { next: 0 },
            Pattern::Uniform => Step::Uniform,
            Pattern::Zipf { theta } => Step::Zipf {
                ranks: Zipf::new(pages as f64, theta).expect("theta was checked, pages are some"),
                places: Scatter::new(pages),
            },
        };
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Walk { cells, cells_per_page, step, random }
    }

    /// The cell of the next operation, below the number of cells.
    pub(crate) fn next_cell(&mut self) -> u64 {
        match &mut self.step {
            Step::Sequential { next } => {
                let cell = *next;
                *next = (cell + 1) % self.cells;
                cell
            }
            Step::Uniform => self.random.random_range(0..self.cells),
            Step::Zipf { ranks, places } => {
                let rank = sizes::floor(ranks.sample(&mut self.random)).max(1) - 1;
                let page = places.place(rank);
                let within = self.random.random_range(0..self.cells_per_page);
                // The last page of a share may be cut short.
                (page * self.cells_per_page + within).min(self.cells - 1)
            }
        }
    }

    /// Whether the next operation writes, with this probability.
    pub(crate) fn writes(&mut self, ratio: f64) -> bool {
        self.random.random_bool(ratio)
    }

    /// A number below `end`, for whoever else needs one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.random.random_range(0..end)
    }
}

/// A fixed shuffle of `0..count`, so that popular pages are not neighbours.
#[derive(Debug)]
struct Scatter {
    count: u64,
    stride: u64,
}

impl Scatter {
    fn new(count: u64) -> Scatter {
        // A stride without a common divisor visits each place once; near the golden ratio of the
        // count, so that consecutive ranks land far apart.
        let golden = sizes::floor(count as f64 * 0.618_033_988_749_894_9).max(1);
        let stride = (golden..).find(|stride| gcd(*stride, count) == 1).unwrap_or(1);
        Scatter { count, stride }
    }

    fn place(&self, rank: u64) -> u64 {
        let rank = u128::from(rank.min(self.count - 1));
        let place = rank * u128::from(self.stride) % u128::from(self.count);
        u64::try_from(place).unwrap_or(0)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn walk(pattern: &str, cells: u64, cells_per_page: u64) -> Walk {
        Walk::new(pattern.parse().expect("a pattern"), cells, cells_per_page, 11)
    }

    fn first(mut walk: Walk, count: usize) -> Vec<u64> {
        (0..count).map(|_| walk.next_cell()).collect()
    }

    #[test]
    fn seq_goes_round() {
        assert_eq!(first(walk("seq", 3, 1), 5), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn uniform_reaches_every_cell_and_no_other() {
        let seen: BTreeSet<u64> = first(walk("uniform", 16, 4), 1000).into_iter().collect();
        assert_eq!(seen, (0..16).collect());
    }

    #[test]
    fn zipf_stays_inside_a_page_that_is_cut_short() {
        assert!(first(walk("zipf:0.9", 18, 4), 2000).into_iter().all(|cell| cell < 18));
    }

    #[test]
    fn zipf_prefers_few_pages() {
        let cells = first(walk("zipf:1.2", 1000, 1), 10_000);
        let distinct: BTreeSet<&u64> = cells.iter().collect();
        let hottest = cells.iter().filter(|cell| **cell == 0).count();
        assert!(1000 < hottest, "rank one was drawn {hottest} times of 10000");
        assert!(100 < distinct.len(), "the tail was never drawn");
    }

    #[test]
    fn the_same_seed_walks_the_same_way() {
        let again = first(walk("zipf:0.99", 500, 4), 100);
        assert_eq!(first(walk("zipf:0.99", 500, 4), 100), again);
    }

    #[test]
    fn a_scatter_visits_every_place_once() {
        for count in [1, 2, 3, 16, 97, 1000] {
            let scatter = Scatter::new(count);
            let places: BTreeSet<u64> = (0..count).map(|rank| scatter.place(rank)).collect();
            assert_eq!(places, (0..count).collect(), "of {count}");
        }
    }

    #[test]
    fn patterns_are_written_as_they_are_read() {
        for text in ["seq", "uniform", "zipf:0.99"] {
            assert_eq!(text.parse::<Pattern>().map(|pattern| pattern.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn a_pattern_cannot_be_guessed() {
        for text in ["", "zipf", "zipf:", "zipf:-1", "zipf:nan", "random", "seq:1"] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?} was taken");
        }
    }
}
