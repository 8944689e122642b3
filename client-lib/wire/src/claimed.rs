//! What a peer says it may name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! claimed {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Holding one proves nothing: it can be printed and compared, and whoever owns the table
        /// looks its [`raw`](Self::raw) number up before anything is done.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The claim that `number` names something.
            #[must_use]
            pub const fn new(number: u64) -> $name {
                $name(number)
            }

            /// The number as it was claimed, unchecked.
            #[must_use]
            pub const fn raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

claimed! {
    /// The number by which a client says that it holds an object.
    ClaimedObject
}
claimed! {
    /// The number by which a client says that it has a mapping.
    ClaimedMapping
}
