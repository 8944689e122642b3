//! How many objects the limit on open descriptors allows, and what to do if they are too few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::limits::{DESCRIPTORS_PER_CLIENT, DESCRIPTORS_RESERVED};

/// Clients whose descriptors are set aside, so that objects alone do not use them all.
const CLIENTS_RESERVED: u64 = 16;

const RESERVED: u64 = DESCRIPTORS_RESERVED + CLIENTS_RESERVED * DESCRIPTORS_PER_CLIENT;

/// What this process may open, and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Budget {
    /// Open descriptors at one time. `None`: as many as there are.
    pub(crate) descriptors: Option<u64>,
    /// Objects at one time that the operator allows.
    pub(crate) objects_wanted: u32,
    /// Objects at one time that are possible. Each takes one descriptor.
    pub(crate) objects: u32,
}

impl Budget {
    /// Raises the limit on descriptors to its hard limit, which any process may do.
    pub(crate) fn raise(objects_wanted: u32) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let descriptors = match raised {
            Ok(()) => maximum,
            Err(_) => current,
        };
        Self::of(descriptors, objects_wanted)
    }

    fn of(descriptors: Option<u64>, objects_wanted: u32) -> Self {
        let possible = descriptors.map_or(u32::MAX, |limit| {
            u32::try_from(limit.saturating_sub(RESERVED)).unwrap_or(u32::MAX).max(1)
        });
        Self { descriptors, objects_wanted, objects: possible.min(objects_wanted) }
    }

    /// True if the descriptors give out before the objects that the operator allows.
    pub(crate) fn is_short(&self) -> bool {
        self.objects < self.objects_wanted
    }

    /// What is missing, and how to mend it; `None` if nothing is. The ceilings are those of the
    /// whole machine.
    pub(crate) fn lack(&self, ceilings: &Ceilings) -> Option<String> {
        let limit = self.descriptors.filter(|_| self.is_short())?;
        let needed = u64::from(self.objects_wanted) + RESERVED;
        let mut text = format!(
            "the hard limit of {limit} open descriptors allows {} objects at one time instead of \
             {}: raise it to {needed} (ulimit -Hn {needed} in the shell that starts the daemon, or \
             LimitNOFILE={needed} in its unit)",
            self.objects, self.objects_wanted
        );
        let sysctls = [("fs.nr_open", ceilings.process), ("fs.file-max", ceilings.machine)];
        for (name, ceiling) in sysctls {
            if let Some(ceiling) = ceiling.filter(|ceiling| *ceiling < needed) {
                text += &format!(", after sysctl {name}={needed}, which is {ceiling} now");
            }
        }
        text += &format!(", or ask for no more than that with --max-objects {}", self.objects);
        Some(text)
    }
}

/// The most descriptors that a limit can be raised to, and the most open files of all processes
/// together. `None`: not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ceilings {
    process: Option<u64>,
    machine: Option<u64>,
}

impl Ceilings {
    pub(crate) fn read() -> Self {
        let number = |path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        Self { process: number("/proc/sys/fs/nr_open"), machine: number("/proc/sys/fs/file-max") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGH: Ceilings = Ceilings { process: Some(1 << 20), machine: Some(1 << 40) };

    #[test]
    fn descriptors_that_suffice_are_no_lack() {
        for limit in [None, Some(1 << 20), Some(250_000 + RESERVED)] {
            let budget = Budget::of(limit, 250_000);
            assert_eq!((budget.objects, budget.is_short()), (250_000, false));
            assert_eq!(budget.lack(&HIGH), None);
        }
    }

    #[test]
    fn too_few_descriptors_are_said_to_be_too_few_with_what_to_do() {
        let budget = Budget::of(Some(20_000), 250_000);
        assert_eq!(budget.objects, 19_616);
        let text = budget.lack(&HIGH).expect("it is too low");
        for part in ["20000", "19616 objects", "250000", "ulimit -Hn 250384", "LimitNOFILE=250384"]
        {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!text.contains("sysctl"), "{text}");
    }

    #[test]
    fn a_machine_that_would_not_let_it_be_raised_is_mentioned() {
        let low = Ceilings { process: Some(65_536), machine: Some(100_000) };
        let text = Budget::of(Some(1024), 250_000).lack(&low).expect("it is too low");
        for part in ["fs.nr_open=250384, which is 65536", "fs.file-max=250384, which is 100000"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_limit_below_what_is_reserved_still_allows_one_object() {
        assert_eq!(Budget::of(Some(64), 250_000).objects, 1);
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let budget = Budget::raise(1);
        assert_eq!(getrlimit(Resource::Nofile).current, budget.descriptors);
    }
}
