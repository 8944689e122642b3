//! Names of objects, clients and mappings that remember which life they name.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Slots are reused and generations are not, so that a late request for the dead is told
        /// that it is gone, and never meets the heir. Displays and serialises as
        /// `slot.generation`; a string, since a JSON number would not hold 64 bits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The place in its table.
            pub slot: u32,
            /// Which of the lives in that place.
            pub generation: u32,
        }

        impl $name {
            /// The id of one life in one slot.
            #[must_use]
            pub const fn new(slot: u32, generation: u32) -> $name {
                $name { slot, generation }
            }

            /// The id as one number: the generation in the high half, the slot in the low one.
            #[must_use]
            pub const fn to_u64(self) -> u64 {
                (self.generation as u64) << 32 | self.slot as u64
            }

            /// The id that [`to_u64`](Self::to_u64) made `number` of. Any number is some id.
            #[must_use]
            #[expect(clippy::cast_possible_truncation, reason = "each half is 32 bits wide")]
            pub const fn from_u64(number: u64) -> $name {
                $name { slot: number as u32, generation: (number >> 32) as u32 }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}.{}", self.slot, self.generation))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<$name, ParseIdError> {
                let (slot, generation) = parse_halves(text).ok_or(ParseIdError)?;
                Ok($name { slot, generation })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<$name, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id! {
    /// Names one life of one object.
    ObjectId
}
id! {
    /// Names one connection of one client.
    ClientId
}
id! {
    /// Names one life of one mapping of an object into a client.
    MappingId
}

/// Reads both halves of `slot.generation`: digits only, no sign, no leading zero.
fn parse_halves(text: &str) -> Option<(u32, u32)> {
    let (slot, generation) = text.split_once('.')?;
    Some((parse_half(slot)?, parse_half(generation)?))
}

fn parse_half(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    // One id has one spelling: `007` and `+7` parse as 7, but are not how 7 is written.
    if number.to_string() == text { Some(number) } else { None }
}

/// A text that is not an id of the form `slot.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id is two numbers below 2^32 with a dot between them, for example 17.3")
    }
}

impl Error for ParseIdError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_shows_its_slot_first() {
        let id = ObjectId::new(17, 3);
        assert_eq!(id.to_string(), "17.3");
        assert_eq!(format!("{id:?}"), "ObjectId(17.3)");
        assert_eq!("17.3".parse(), Ok(id));
        assert_eq!(id.to_u64(), 3 << 32 | 17);
    }

    #[test]
    fn the_heir_of_a_slot_has_another_id() {
        assert_ne!(ClientId::new(1, 0), ClientId::new(1, 1));
        assert_ne!(ClientId::new(1, 0).to_u64(), ClientId::new(1, 1).to_u64());
    }

    #[test]
    fn other_spellings_cannot_be_read() {
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "+1.2", "01.2", "1.-2", "4294967296.0"] {
            assert_eq!(text.parse::<MappingId>(), Err(ParseIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_an_id_and_back(number: u64) {
            prop_assert_eq!(ObjectId::from_u64(number).to_u64(), number);
            prop_assert_eq!(MappingId::from_u64(number).to_u64(), number);
        }

        #[test]
        fn every_id_reads_back(slot: u32, generation: u32) {
            let id = ClientId::new(slot, generation);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(ClientId::from_u64(id.to_u64()), id);
        }
    }
}
