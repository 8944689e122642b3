//! Bugs that the tests plant.

/// A bug, planted to see whether the checkers find it: in the shell, or in the core itself where
/// the name begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// One mapping is not protected before a page is copied out.
    SkipOneGuard,
    /// Mappings are protected after the copy.
    GuardAfterCopy,
    /// The hole is punched before the copy is done.
    PunchBeforeCopied,
    /// A new mapping is not protected where it must be.
    SkipGuardOnAttach,
    /// A new mapping is protected in the first of several steps only.
    SkipLaterGuards,
    /// Entries are installed writable, whatever the core says.
    IgnoreProtection,
    /// An entry that was there already is taken for an answer.
    NoWakeAfterExists,
    /// A fault on a page that is in the file is dropped.
    DropPresentFaults,
    /// A fault like the one before it is dropped: the answer comes before the question is read.
    DropRepeatedFaults,
    /// When a fill fails, zeros are punched again although a client may have written to them.
    PunchZerosOnFailure,
    /// Free slots give their RAM back only after others have taken its place.
    DiscardLate,
    /// One kind of outcome is not reported.
    ForgetUnprotected,
    /// Entries are installed over pages that were left out.
    InstallAcrossGaps,
    /// Each step of a prefetch pretends to be its first.
    RenewPrefetch,
    /// A page that is the same word over and over is filled with zeros.
    ForgetPatterns,
    /// A page counts as the same word over and over when its first half is.
    HalfAPattern,
    /// The cleaner does not protect one mapping.
    CoreCleansUnguarded,
    /// The cleaner's copy counts although the page was written to meanwhile.
    CoreIgnoresWrites,
    /// A page that is being cleaned is mapped writable for those who read it.
    CoreCleansUnwatched,
    /// Whoever waited for a page when its client was suspended is answered when the page comes.
    CoreAnswersSuspended,
    /// A client counts as suspended although pages of it are still on their way in.
    CoreSleepsEarly,
    /// Threads that wait are not served when their client goes on.
    CoreForgetsParked,
    /// A pool that shrinks has its new size at once.
    CoreShrinksAtOnce,
}

impl Plant {
    /// True if it takes an operator to meet it.
    pub(crate) fn is_of_operators(self) -> bool {
        matches!(
            self,
            Self::CoreAnswersSuspended
                | Self::CoreSleepsEarly
                | Self::CoreForgetsParked
                | Self::CoreShrinksAtOnce
        )
    }
}
