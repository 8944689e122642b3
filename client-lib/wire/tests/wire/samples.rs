//! One message of each kind, with numbers that need one byte, several, and all.

use bo_wire::{
    Access, ClaimedMapping, ClaimedObject, DaemonLost, InvalidKind, Label, LimitKind, ObjectStat,
    Placement, Priority, Refusal, Reply, Request, Token, UffdSource, UnsupportedKind,
};

const OBJECT: ClaimedObject = ClaimedObject::new(7 << 32 | 3);
const TOKEN: Token = Token::from_bytes(*b"sixteen secrets!");

/// One request of each kind.
pub(crate) fn requests() -> Vec<Request> {
    vec![
        Request::Hello { name: Label::truncated("renderer"), on_lost: DaemonLost::Wait },
        Request::AttachUffd,
        Request::Allocate {
            bytes: 256 << 20,
            page_bytes: Some(65_536),
            placement: Placement::Vram,
            label: Label::truncated("tëxture"),
        },
        Request::Map {
            object: OBJECT,
            address: 0x7f00_0020_0000,
            first_page: 16,
            pages: 4096,
            access: Access::ReadWrite,
        },
        Request::Unmap { mapping: ClaimedMapping::new(u64::MAX) },
        Request::Release { object: OBJECT },
        Request::Export { object: OBJECT, access: Access::ReadOnly },
        Request::ImportToken { token: TOKEN, access: Access::ReadWrite },
        Request::ImportDescriptor { access: Access::ReadOnly },
        Request::Touch { object: OBJECT, first_page: 0, pages: u32::MAX },
        Request::Prefetch { object: OBJECT, first_page: u32::MAX, pages: 1 },
        Request::Stat { object: OBJECT },
        Request::SetPriority { object: OBJECT, priority: Priority::Highest },
    ]
}

/// One reply of each kind, without refusals.
pub(crate) fn grants() -> Vec<Reply> {
    let (object, bytes, page_bytes) = (OBJECT.raw(), 256 << 20, 65_536);
    vec![
        Reply::Welcome {
            client: 1 << 32,
            uffd: UffdSource::Device,
            uffds: 4,
            vram_bytes: 8 << 30,
            ram_bytes: 64 << 30,
            page_bytes_default: None,
        },
        Reply::Done,
        Reply::Allocated { object, bytes, page_bytes, placement: Placement::Ram },
        Reply::Mapped { mapping: u64::MAX },
        Reply::Exported { token: TOKEN },
        Reply::Imported {
            object,
            bytes,
            page_bytes,
            placement: Placement::Vram,
            access: Access::ReadOnly,
        },
        Reply::Prefetched { resident_pages: u32::MAX },
        Reply::Stat(ObjectStat {
            total_bytes: 1 << 30,
            resident_bytes: 1 << 20,
            stored_bytes: u64::MAX,
            faults: 300,
            refaults: 200,
            evictions: 128,
            holders: 2,
            mappings: 127,
        }),
    ]
}

/// One refusal of each kind.
pub(crate) fn refusals() -> Vec<Reply> {
    let (asked, possible) = (3 << 30, 2 << 30);
    [
        Refusal::OutOfMemory { asked, left: possible },
        Refusal::NeverFits { asked, possible },
        Refusal::PageTooLarge { asked: 2 << 20, possible: 65_536 },
        Refusal::Limit { what: LimitKind::Objects, limit: 1 },
        Refusal::Limit { what: LimitKind::Mappings, limit: 1 },
        Refusal::Limit { what: LimitKind::Clients, limit: 1 },
        Refusal::Limit { what: LimitKind::Descriptors, limit: 1 },
        Refusal::Gone,
        Refusal::ReadOnly,
        Refusal::Invalid(InvalidKind::PageSize),
        Refusal::Invalid(InvalidKind::SizeZero),
        Refusal::Invalid(InvalidKind::SizeTooLarge),
        Refusal::Invalid(InvalidKind::Range),
        Refusal::Invalid(InvalidKind::Address),
        Refusal::Invalid(InvalidKind::Overlap),
        Refusal::Invalid(InvalidKind::Descriptor),
        Refusal::Invalid(InvalidKind::State),
        Refusal::Unsupported { what: UnsupportedKind::Uffd { missing: 1 << 14 } },
        Refusal::Draining,
        Refusal::Host,
        Refusal::Suspended,
    ]
    .map(Reply::Refused)
    .to_vec()
}

/// One reply of each kind.
pub(crate) fn replies() -> Vec<Reply> {
    [grants(), refusals()].concat()
}
