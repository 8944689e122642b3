//! Any message at all.

use bo_wire::{
    Access, ClaimedMapping, ClaimedObject, DaemonLost, InvalidKind, Label, LimitKind, ObjectStat,
    Placement, Priority, Refusal, Reply, Request, Token, UffdSource, UnsupportedKind,
};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    // Short and long encodings alike, which uniform numbers would hardly ever be.
    (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
}

fn pages() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0_u32..32).prop_map(|(number, shift)| number >> shift)
}

fn object() -> impl Strategy<Value = ClaimedObject> {
    number().prop_map(ClaimedObject::new)
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)]
}

fn placement() -> impl Strategy<Value = Placement> {
    prop_oneof![Just(Placement::Vram), Just(Placement::Ram)]
}

fn label() -> impl Strategy<Value = Label> {
    any::<String>().prop_map(|text| Label::truncated(&text))
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(Token::from_bytes)
}

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let on_lost = prop_oneof![Just(DaemonLost::Wait), Just(DaemonLost::Sigbus)];
    prop_oneof![
        (label(), on_lost).prop_map(|(name, on_lost)| Request::Hello { name, on_lost }),
        Just(Request::AttachUffd),
        (number(), proptest::option::of(pages()), placement(), label()).prop_map(
            |(bytes, page_bytes, placement, label)| Request::Allocate {
                bytes,
                page_bytes,
                placement,
                label
            }
        ),
        (object(), number(), pages(), pages(), access()).prop_map(
            |(object, address, first_page, pages, access)| Request::Map {
                object,
                address,
                first_page,
                pages,
                access
            }
        ),
        number().prop_map(|n| Request::Unmap { mapping: ClaimedMapping::new(n) }),
        object().prop_map(|object| Request::Release { object }),
        (object(), access()).prop_map(|(object, access)| Request::Export { object, access }),
        (token(), access()).prop_map(|(token, access)| Request::ImportToken { token, access }),
        access().prop_map(|access| Request::ImportDescriptor { access }),
        (object(), pages(), pages()).prop_map(|(object, first_page, pages)| Request::Touch {
            object,
            first_page,
            pages
        }),
        (object(), pages(), pages()).prop_map(|(object, first_page, pages)| Request::Prefetch {
            object,
            first_page,
            pages
        }),
        object().prop_map(|object| Request::Stat { object }),
        (object(), priority())
            .prop_map(|(object, priority)| Request::SetPriority { object, priority }),
    ]
}

fn priority() -> impl Strategy<Value = Priority> {
    use Priority::{High, Highest, Low, Normal};
    prop_oneof![Just(Low), Just(Normal), Just(High), Just(Highest)]
}

/// Any reply.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        (number(), uffd_source(), any::<u8>(), number(), number(), proptest::option::of(pages()))
            .prop_map(|(client, uffd, uffds, vram_bytes, ram_bytes, page_bytes_default)| {
                Reply::Welcome { client, uffd, uffds, vram_bytes, ram_bytes, page_bytes_default }
            }),
        Just(Reply::Done),
        (number(), number(), pages(), placement()).prop_map(
            |(object, bytes, page_bytes, placement)| Reply::Allocated {
                object,
                bytes,
                page_bytes,
                placement
            }
        ),
        number().prop_map(|mapping| Reply::Mapped { mapping }),
        token().prop_map(|token| Reply::Exported { token }),
        (number(), number(), pages(), placement(), access()).prop_map(
            |(object, bytes, page_bytes, placement, access)| Reply::Imported {
                object,
                bytes,
                page_bytes,
                placement,
                access
            }
        ),
        pages().prop_map(|resident_pages| Reply::Prefetched { resident_pages }),
        stat().prop_map(Reply::Stat),
        refusal().prop_map(Reply::Refused),
    ]
}

fn uffd_source() -> impl Strategy<Value = UffdSource> {
    use UffdSource::{Device, Syscall, UserModeOnly};
    prop_oneof![Just(Device), Just(Syscall), Just(UserModeOnly)]
}

fn stat() -> impl Strategy<Value = ObjectStat> {
    let numbers = (number(), number(), number(), number(), number(), number());
    (numbers, pages(), pages()).prop_map(|(numbers, holders, mappings)| {
        let (total_bytes, resident_bytes, stored_bytes, faults, refaults, evictions) = numbers;
        ObjectStat {
            total_bytes,
            resident_bytes,
            stored_bytes,
            faults,
            refaults,
            evictions,
            holders,
            mappings,
        }
    })
}

/// Any refusal.
pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    let limit_kind = prop_oneof![
        Just(LimitKind::Objects),
        Just(LimitKind::Mappings),
        Just(LimitKind::Clients),
        Just(LimitKind::Descriptors),
    ];
    let invalid_kind = prop_oneof![
        Just(InvalidKind::PageSize),
        Just(InvalidKind::SizeZero),
        Just(InvalidKind::SizeTooLarge),
        Just(InvalidKind::Range),
        Just(InvalidKind::Address),
        Just(InvalidKind::Overlap),
        Just(InvalidKind::Descriptor),
        Just(InvalidKind::State),
    ];
    prop_oneof![
        (number(), number()).prop_map(|(asked, left)| Refusal::OutOfMemory { asked, left }),
        (number(), number()).prop_map(|(asked, possible)| Refusal::NeverFits { asked, possible }),
        (number(), number())
            .prop_map(|(asked, possible)| Refusal::PageTooLarge { asked, possible }),
        (limit_kind, number()).prop_map(|(what, limit)| Refusal::Limit { what, limit }),
        Just(Refusal::Gone),
        Just(Refusal::ReadOnly),
        invalid_kind.prop_map(Refusal::Invalid),
        number()
            .prop_map(|missing| Refusal::Unsupported { what: UnsupportedKind::Uffd { missing } }),
        Just(Refusal::Draining),
        Just(Refusal::Suspended),
        Just(Refusal::Host),
    ]
}
