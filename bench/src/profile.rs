//! Runs that have a name: each a bundle of flags, which flags given beside it override.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::out;
use crate::words::Flags;

/// One bundle, named after what it provokes.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// In one line.
    pub(crate) what: &'static str,
    /// The flags of `run` that it stands for.
    pub(crate) flags: &'static str,
}

/// All of them. A new one is one more entry.
pub(crate) const PROFILES: [Profile; 7] = [
    Profile {
        name: "sweep",
        what: "one object of twice the pool, whole pages in sequence, over and over",
        flags: "--objects 1 --oversubscribe 2 --pattern seq --access-bytes 4096",
    },
    Profile {
        name: "uniform",
        what: "rewrites of any 4 KiB page of twice the pool, all equally likely",
        flags: "--page-size 4KiB --oversubscribe 2 --pattern uniform --write-ratio 1",
    },
    Profile {
        name: "zipf",
        what: "few hot pages and a long tail, over three times the pool",
        flags: "--page-size 4KiB --oversubscribe 3 --pattern zipf:0.99",
    },
    Profile {
        name: "thrash",
        what: "a little more than the pool, round robin: the worst case of evicting the oldest",
        flags: "--page-size 4KiB --objects 1 --oversubscribe 1.1 --pattern seq",
    },
    Profile {
        name: "storm",
        what: "64 threads at once on one evicted page, again and again: one fill each time",
        flags: "--page-size 4KiB --rush 64",
    },
    Profile {
        name: "many-objects",
        what: "10000 small objects, together twice the pool, touched at random",
        flags: "--page-size 4KiB --objects 10000 --oversubscribe 2 --pattern uniform",
    },
    Profile {
        name: "many-clients",
        what: "eight client processes, compared with one that has all of their data",
        flags: "--page-size 4KiB --clients 8 --oversubscribe 2 --pattern uniform --against-one",
    },
];

/// The names, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    PROFILES.iter().map(|profile| profile.name).collect()
}

/// Puts the flags of a `--profile` among `words`, the flags of a run, under the others. A name
/// that is unknown is left for the parser to refuse.
pub(crate) fn expand(words: Vec<OsString>) -> Vec<OsString> {
    let given = Flags::new(words);
    let name = given.value("--profile");
    match PROFILES.iter().find(|profile| Some(profile.name) == name.as_deref()) {
        Some(profile) => Flags::of_line(profile.flags).under(given).into_words(),
        None => given.into_words(),
    }
}

/// Expands the words of a whole command line, program name first, if it is one of `run`.
pub(crate) fn expand_line(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    if words.get(1).is_some_and(|word| word == "run") {
        let flags = words.split_off(2);
        words.extend(expand(flags));
    }
    words
}

/// Prints each profile with its flags.
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn list() -> Result<bool> {
    for Profile { name, what, flags } in &PROFILES {
        out::line(&format!("{name:13} {what}\n{:13}   {flags}", ""))
            .context("cannot write to standard output")?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{RunArgs, run_args};
    use crate::pattern::Pattern;

    fn args(line: &str) -> RunArgs {
        run_args(line.split_whitespace().map(OsString::from)).expect("a legal line")
    }

    #[test]
    fn every_profile_is_a_legal_run_by_itself() {
        for profile in &PROFILES {
            let words = format!("--profile {}", profile.name);
            assert_eq!(args(&words).profile.as_deref(), Some(profile.name));
        }
    }

    #[test]
    fn every_profile_has_a_name_and_a_line_of_its_own() {
        for (at, profile) in PROFILES.iter().enumerate() {
            assert!(!profile.what.contains('\n'), "{}", profile.name);
            assert!(PROFILES[..at].iter().all(|other| other.name != profile.name));
        }
    }

    #[test]
    fn a_profile_means_its_flags() {
        let thrash = args("--profile thrash");
        assert_eq!((thrash.objects, thrash.pattern), (1, Pattern::Sequential));
        assert!((thrash.oversubscribe - 1.1).abs() < 1e-9);
        assert_eq!(args("--profile storm").rush, Some(64));
        assert_eq!(args("--profile=many-clients").clients, 8);
        assert_eq!(args("--profile many-objects").objects, 10_000);
    }

    #[test]
    fn flags_beside_a_profile_override_it_wherever_they_stand() {
        assert_eq!(args("--clients 3 --profile many-clients").clients, 3);
        assert_eq!(args("--profile many-clients --clients=3").clients, 3);
        let sized = args("--profile uniform --object-size 1MiB");
        assert!(sized.object_size.is_some());
    }

    #[test]
    fn a_profile_cannot_be_guessed() {
        assert!(run_args(["--profile".into(), "sleep".into()]).is_err());
    }

    #[test]
    fn other_commands_are_left_alone() {
        let line = ["bo-bench", "compare", "--profile", "zipf"].map(OsString::from);
        assert_eq!(expand_line(line.clone().into_iter()), line);
    }
}
