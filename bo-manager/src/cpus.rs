//! Lists of CPUs, as the kernel and taskset(1) write them: `0-3,8`.

use std::fmt;
use std::str::FromStr;

/// The kernel's own affinity masks hold this many.
const CPUS_MAX: usize = 1024;

/// Some CPUs, in ascending order, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

impl CpuList {
    /// Their numbers, in ascending order, at least one.
    #[must_use]
    pub fn cpus(&self) -> &[usize] {
        &self.0
    }
}

/// What is no list of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no list of CPUs: give numbers below 1024 and ranges of them, such as 0-3,8")]
pub struct ParseCpuListError(String);

impl FromStr for CpuList {
    type Err = ParseCpuListError;

    fn from_str(text: &str) -> Result<Self, ParseCpuListError> {
        let wrong = || ParseCpuListError(text.to_owned());
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number: Option<usize> = digits.parse().ok().filter(|_| plain);
            number.filter(|number| *number < CPUS_MAX).ok_or_else(wrong)
        };
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(wrong());
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|left, right| left + 1 == *right);
        let runs: Vec<String> = runs
            .filter_map(|run| match (run.first()?, run.last()?) {
                (first, last) if first == last => Some(first.to_string()),
                (first, last) => Some(format!("{first}-{last}")),
            })
            .collect();
        f.pad(&runs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read_and_written() {
        for (text, cpus, written) in [
            ("0", vec![0], "0"),
            ("0-3,8", vec![0, 1, 2, 3, 8], "0-3,8"),
            ("8,0-1,1-2", vec![0, 1, 2, 8], "0-2,8"),
            ("1023", vec![1023], "1023"),
        ] {
            let list: CpuList = text.parse().unwrap();
            assert_eq!(list.cpus(), cpus);
            assert_eq!(list.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_an_example() {
        for text in ["", ",", "1,", "3-1", "1024", "-1", "+1", "a", "0-", "0--1", "1 2"] {
            let error = text.parse::<CpuList>().unwrap_err();
            assert!(error.to_string().contains("0-3,8"), "{text}: {error}");
        }
    }
}
