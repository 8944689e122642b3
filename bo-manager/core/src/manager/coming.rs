//! What a fill is for: on whose behalf pages come.

use bo_units::{MappingId, PageIndex};

use crate::manager::Primary;
use crate::manager::ahead::Guess;
use crate::prefetch::Cause;

/// On whose behalf pages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A thread waits for one of them.
    Fault(Primary),
    /// Nobody waits: the faults of a mapping suggest that it will want them, to write if `write`.
    Guess {
        /// Which mapping.
        mapping: MappingId,
        /// They will probably be written to.
        write: bool,
        /// Why it is thought so.
        cause: Cause,
    },
    /// A client has said that it will use them.
    Hint,
    /// Whoever wanted them has left meanwhile.
    Nobody,
}

impl Wanted {
    /// For whom entries are installed with the pages.
    pub(crate) fn mapping(&self) -> Option<MappingId> {
        match self {
            Self::Fault(Primary { mapping, .. }) | Self::Guess { mapping, .. } => Some(*mapping),
            Self::Hint | Self::Nobody => None,
        }
    }

    /// The page that a fault waits for.
    pub(crate) fn asked(&self) -> Option<PageIndex> {
        match self {
            Self::Fault(primary) => Some(primary.page),
            Self::Guess { .. } | Self::Hint | Self::Nobody => None,
        }
    }

    /// Why those of the pages come that no fault has asked for.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Fault(Primary { stream: true, .. }) => Some(Cause::Stream),
            Self::Fault(Primary { stream: false, .. }) => Some(Cause::Around),
            Self::Guess { cause, .. } => Some(*cause),
            Self::Hint => Some(Cause::Hint),
            Self::Nobody => None,
        }
    }

    /// True if this page is about to be written to, or probably is.
    pub(crate) fn writes(&self, page: PageIndex) -> bool {
        match self {
            Self::Fault(primary) => primary.write && (primary.stream || primary.page == page),
            Self::Guess { write, .. } => *write,
            Self::Hint | Self::Nobody => false,
        }
    }
}

/// What a fill is for, and what follows it.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) wanted: Wanted,
    /// Where entries are being installed.
    pub(crate) installing: Option<MappingId>,
    /// A page that is left without an entry, so that its first use is seen.
    pub(crate) watched: Option<PageIndex>,
    /// What may come after it.
    pub(crate) then: Option<Guess>,
}

impl Coming {
    /// A fill that has not begun.
    pub(crate) fn new(wanted: Wanted, then: Option<Guess>) -> Self {
        Self { wanted, installing: None, watched: None, then }
    }

    /// True if an entry for `page` was installed in `mapping` with the fill.
    pub(crate) fn has_installed(&self, mapping: MappingId, page: PageIndex) -> bool {
        self.installing == Some(mapping) && self.watched != Some(page)
    }
}
