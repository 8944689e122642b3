//! Short names that clients give to themselves and to their objects.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::LABEL_BYTES_MAX;

/// At most 64 bytes of UTF-8 without control characters.
///
/// A label is shown to operators and means nothing to the daemon. Since it ends up in logs and on
/// terminals, it cannot hold an escape sequence or a line break; that is checked on decoding too.
///
/// # Example
///
/// ```
/// use bo_wire::Label;
///
/// assert_eq!(Label::new("texture 7")?.as_str(), "texture 7");
/// assert!(Label::new("two\nlines").is_err());
/// assert_eq!(Label::truncated("two\nlines").as_str(), "twolines");
/// # Ok::<(), bo_wire::LabelError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label `text`, as it is.
    ///
    /// # Errors
    ///
    /// [`LabelError`] if `text` is longer than [`LABEL_BYTES_MAX`] or has a control character.
    pub fn new(text: &str) -> Result<Label, LabelError> {
        Label::try_from(text.to_owned())
    }

    /// As much of `text` as a label can hold: without its control characters, and cut between two
    /// characters where it gets too long.
    #[must_use]
    pub fn truncated(text: &str) -> Label {
        let mut label = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if LABEL_BYTES_MAX < label.len() + c.len_utf8() {
                break;
            }
            label.push(c);
        }
        Label(label)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Label, LabelError> {
        if LABEL_BYTES_MAX < text.len() {
            return Err(LabelError::TooLong { len: text.len() });
        }
        match text.chars().position(char::is_control) {
            Some(at) => Err(LabelError::ControlCharacter { at }),
            None => Ok(Label(text)),
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The text has more than [`LABEL_BYTES_MAX`] bytes.
    #[error("a label of {len} bytes is too long; it may have {LABEL_BYTES_MAX}")]
    TooLong {
        /// How many bytes the text has.
        len: usize,
    },
    /// The text has a control character.
    #[error("character {at} of the label is a control character")]
    ControlCharacter {
        /// The first control character, counted in characters from zero.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sixty_four_bytes_are_a_label() {
        let text = "x".repeat(LABEL_BYTES_MAX);
        assert_eq!(Label::new(&text).map(|label| label.to_string()), Ok(text));
        assert_eq!(Label::new(""), Ok(Label::default()));
    }

    #[test]
    fn sixty_five_bytes_cannot_be_a_label() {
        let text = "x".repeat(LABEL_BYTES_MAX + 1);
        assert_eq!(Label::new(&text), Err(LabelError::TooLong { len: 65 }));
    }

    #[test]
    fn control_characters_cannot_be_in_a_label() {
        for text in ["ab\n", "ab\0", "ab\x1b[31m", "ab\u{7f}", "ab\u{85}"] {
            assert_eq!(Label::new(text), Err(LabelError::ControlCharacter { at: 2 }));
        }
    }

    #[test]
    fn a_label_is_cut_between_characters() {
        let text = "é".repeat(40);
        assert_eq!(Label::truncated(&text).as_str(), "é".repeat(32));
        let text = format!("x{}", "é".repeat(40));
        assert_eq!(Label::truncated(&text).as_str().len(), 63);
    }

    proptest! {
        #[test]
        fn truncating_always_gives_a_label(text: String) {
            let label = Label::truncated(&text);
            prop_assert_eq!(Label::new(label.as_str()), Ok(label.clone()));
            prop_assert_eq!(Label::truncated(label.as_str()), label);
        }

        #[test]
        fn a_label_is_not_changed_by_truncating(text: String) {
            if let Ok(label) = Label::new(&text) {
                prop_assert_eq!(Label::truncated(&text), label);
            }
        }
    }
}
