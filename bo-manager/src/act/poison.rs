//! Telling a client that its page is lost.

use bo_sys::range::AddressRange;
use bo_sys::uffd::{PoisonOutcome, Uffd};

use crate::shell::Shell;
use crate::tables::MappingEntry;

impl Shell {
    /// Gives SIGBUS to whoever touches these addresses of a mapping.
    pub(crate) fn poison(&self, entry: &MappingEntry, addresses: AddressRange) {
        for (uffd, part) in entry.parts(addresses) {
            self.poison_part(uffd, part);
        }
    }

    /// Gives SIGBUS to whoever touches these addresses, which one userfaultfd watches.
    pub(crate) fn poison_part(&self, uffd: &Uffd, addresses: AddressRange) {
        self.after_poison(uffd, addresses, uffd.poison(addresses));
    }

    pub(crate) fn after_poison(
        &self,
        uffd: &Uffd,
        addresses: AddressRange,
        outcome: PoisonOutcome,
    ) {
        match outcome {
            PoisonOutcome::Poisoned | PoisonOutcome::Gone => {}
            // Something is there by now: let the thread look again.
            PoisonOutcome::Present | PoisonOutcome::NotMapped | PoisonOutcome::Changing => {
                self.note_failure("wake", uffd.wake(addresses));
            }
            PoisonOutcome::Failed(error) => {
                self.host_failed("poison pages", &error);
                self.note_failure("wake", uffd.wake(addresses));
            }
        }
    }
}
