//! The core's refusals in the words of the protocol.

use bo_core as core;
use bo_wire::{InvalidKind, LimitKind, Refusal};

/// What the client is told.
pub(crate) fn of(refusal: core::Refusal) -> Refusal {
    match refusal {
        core::Refusal::SizeZero => Refusal::Invalid(InvalidKind::SizeZero),
        core::Refusal::SizeTooLarge { .. } => Refusal::Invalid(InvalidKind::SizeTooLarge),
        core::Refusal::NeverFits { asked, possible } => {
            Refusal::NeverFits { asked: asked.get(), possible: possible.get() }
        }
        core::Refusal::OutOfMemory { asked, left } => {
            Refusal::OutOfMemory { asked: asked.get(), left: left.get() }
        }
        core::Refusal::PageTooLarge { asked, possible } => {
            Refusal::PageTooLarge { asked: asked.get(), possible: possible.get() }
        }
        core::Refusal::Gone => Refusal::Gone,
        core::Refusal::ReadOnly => Refusal::ReadOnly,
        core::Refusal::Range => Refusal::Invalid(InvalidKind::Range),
        core::Refusal::ClientLimit(limit) => limited(LimitKind::Clients, limit),
        core::Refusal::ObjectLimit(limit) => limited(LimitKind::Objects, limit),
        core::Refusal::MappingLimit(limit) => limited(LimitKind::Mappings, limit),
        core::Refusal::Suspended => Refusal::Suspended,
        core::Refusal::Draining => Refusal::Draining,
    }
}

fn limited(what: LimitKind, limit: u32) -> Refusal {
    Refusal::Limit { what, limit: u64::from(limit) }
}

/// The label under which it is counted.
pub(crate) fn cause(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OutOfMemory { .. } => "out_of_memory",
        Refusal::NeverFits { .. } => "never_fits",
        Refusal::PageTooLarge { .. } => "page_too_large",
        Refusal::Limit { what: LimitKind::Descriptors, .. } => "descriptors",
        Refusal::Limit {
            what: LimitKind::Objects | LimitKind::Mappings | LimitKind::Clients,
            ..
        } => "limit",
        Refusal::Gone => "gone",
        Refusal::ReadOnly => "read_only",
        Refusal::Invalid(InvalidKind::Overlap) => "overlap",
        Refusal::Invalid(InvalidKind::Descriptor) => "descriptors",
        Refusal::Invalid(
            InvalidKind::PageSize
            | InvalidKind::SizeZero
            | InvalidKind::SizeTooLarge
            | InvalidKind::Range
            | InvalidKind::Address
            | InvalidKind::State,
        ) => "invalid",
        Refusal::Unsupported { .. } => "unsupported",
        Refusal::Suspended => "suspended",
        Refusal::Draining => "draining",
        Refusal::Host => "host",
    }
}
