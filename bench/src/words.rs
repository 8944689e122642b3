//! Command lines as flags with their values, so that one can be laid over another.

use std::ffi::OsString;

/// Pairs of flags that cannot be given together: whoever gives one has done without the other.
const RIVALS: [[&str; 2]; 4] = [
    ["--ops", "--duration"],
    ["--object-size", "--oversubscribe"],
    ["--connect", "--vram"],
    ["--connect", "--ram"],
];

/// The flags of a command line, each with the words that belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags(Vec<Flag>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flag {
    /// With its dashes. Empty for words in front of the first flag.
    name: String,
    /// The name among them, if there is one.
    words: Vec<OsString>,
}

impl Flags {
    /// Groups words: what does not begin with two dashes belongs to the flag before it.
    pub(crate) fn new(words: impl IntoIterator<Item = OsString>) -> Flags {
        let mut flags: Vec<Flag> = Vec::new();
        for word in words {
            let text = word.to_string_lossy();
            if text.starts_with("--") {
                let name = text.split('=').next().unwrap_or_default().to_owned();
                flags.push(Flag { name, words: vec![word] });
            } else if let Some(last) = flags.last_mut() {
                last.words.push(word);
            } else {
                flags.push(Flag { name: String::new(), words: vec![word] });
            }
        }
        Flags(flags)
    }

    /// Groups the words of a line, which spaces part.
    pub(crate) fn of_line(line: &str) -> Flags {
        Flags::new(line.split_whitespace().map(OsString::from))
    }

    /// The value of a flag, as `--flag VALUE` or `--flag=VALUE`; the first one given.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let flag = self.0.iter().find(|flag| flag.name == name)?;
        let text: Vec<_> = flag.words.iter().map(|word| word.to_string_lossy()).collect();
        match text.first()?.split_once('=') {
            Some((_, value)) => Some(value.to_owned()),
            None => text.get(1).map(|value| value.clone().into_owned()),
        }
    }

    /// These flags without those that `over` gives itself or rules out, and then the latter.
    pub(crate) fn under(self, over: Flags) -> Flags {
        let stays = |flag: &Flag| !over.0.iter().any(|other| flag.yields_to(&other.name));
        let mut flags: Vec<Flag> = self.0.into_iter().filter(stays).collect();
        flags.extend(over.0);
        Flags(flags)
    }

    pub(crate) fn into_words(self) -> Vec<OsString> {
        self.0.into_iter().flat_map(|flag| flag.words).collect()
    }
}

impl Flag {
    fn yields_to(&self, other: &str) -> bool {
        let rivals = |pair: &[&str; 2]| {
            *pair == [self.name.as_str(), other] || *pair == [other, self.name.as_str()]
        };
        !self.name.is_empty() && (self.name == other || RIVALS.iter().any(rivals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, over: &str, expected: &str) {
        let laid = Flags::of_line(base).under(Flags::of_line(over)).into_words();
        assert_eq!(laid, Flags::of_line(expected).into_words(), "{over:?} over {base:?}");
    }

    #[test]
    fn what_is_laid_over_wins() {
        check("--a 1 --b 2", "--b 3", "--a 1 --b 3");
        check("--a=1 --b", "--a 2", "--b --a 2");
    }

    #[test]
    fn nothing_over_changes_nothing() {
        check("--a 1 --b", "", "--a 1 --b");
        check("", "--a 1", "--a 1");
    }

    #[test]
    fn a_flag_gives_way_to_its_rival() {
        check("--ops 5 --a", "--duration 1s", "--a --duration 1s");
        check("--oversubscribe 2", "--object-size=4KiB", "--object-size=4KiB");
        check("--vram 1GiB --ram 1GiB", "--connect /run/x", "--connect /run/x");
    }

    #[test]
    fn a_flag_that_is_only_alike_stays() {
        check("--page-size 4KiB", "--page 1", "--page-size 4KiB --page 1");
    }

    #[test]
    fn words_that_belong_to_no_flag_are_kept_for_a_complaint() {
        check("stray --a", "--b", "stray --a --b");
    }

    #[test]
    fn values_are_found_in_both_forms() {
        let flags = Flags::of_line("--a 1 --b=2 --c");
        assert_eq!(flags.value("--a").as_deref(), Some("1"));
        assert_eq!(flags.value("--b").as_deref(), Some("2"));
        assert_eq!(flags.value("--c"), None);
        assert_eq!(flags.value("--d"), None);
    }
}
