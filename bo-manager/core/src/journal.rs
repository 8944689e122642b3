//! Recordings: what happened to pages, as bytes and back.
//!
//! A recording is one header of 80 bytes and then records of 36 bytes each until the end of the
//! file. All numbers are little-endian. A recording has no end mark: its writer may be killed, and
//! what is then left of the last record is not one.
//!
//! The header, from byte on:
//!
//! ```text
//!  0  8  "BOTRACE" and a zero
//!  8  2  the version of this format: 1
//! 10  2  bytes of one record: 36
//! 12  4  page size of objects whose maker did not choose, as its binary logarithm, 12 to 21;
//!        zero: by the size of the object
//! 16  8  bytes of the pool
//! 24  8  bytes that a fault may bring in around its page (--fault-around)
//! 32  8  when the recording began, in seconds since 1970
//! 40 32  the name of the policy, in ASCII, then zeros
//! 72  8  zeros
//! ```
//!
//! A record, from byte on:
//!
//! ```text
//!  0  1  what happened: 1 a fault, 2 a fill, 3 an eviction, 4 an object was freed, 5 events were
//!        lost here
//!  1  1  of a fault:     bit 0: it writes
//!                        bit 1: the page was write-protected rather than missing
//!        of a fill:      0 a fault waits for it; else nobody does, and it is
//!                        1 a neighbour of a lone fault
//!                        2 what a stream comes to
//!                        3 the rest of a region that is mostly present
//!                        4 asked for ahead of use by a client
//!                        5 for somebody who has left
//!        of an eviction: bit 0: ahead of need, rather than because room was needed at once
//!                        bit 1: without a copy, since the store had one
//!        else zero
//!  2  1  the page size, as its binary logarithm, 12 to 21
//!  3  1  zero
//!  4  4  how many pages, one after the other; at least 1
//!  8  8  when, in nanoseconds of the daemon's clock, which ticks every few milliseconds
//! 16  8  the client, as ClientId::to_u64: who faulted, on whose behalf pages came, or the first
//!        that maps the object they left; all ones: nobody
//! 24  8  the object, as ObjectId::to_u64
//! 32  4  the first page
//! ```
//!
//! Where events were lost, bytes 16 to 23 have their number, and bytes 1 to 7 and from 24 on are
//! zero. Objects that live in RAM are not recorded. The pages of an object that is freed are all of
//! it, present or not.
//!
//! There is one way to write each thing: what is read and written again is the same bytes.

use std::fmt;

use bo_units::{ByteCount, ClientId, ObjectId, PageCount, PageIndex, PageRange, PageSize, Tick};

use crate::manager::FaultKind;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 80;

/// Bytes of one record.
pub const RECORD_BYTES: usize = RECORD_LEN as usize;

/// The first bytes of every recording.
pub const MAGIC: [u8; 8] = *b"BOTRACE\0";

const VERSION: u16 = 1;
const RECORD_LEN: u16 = 36;
const NAME_BYTES: usize = 32;
const NOBODY: u64 = u64::MAX;

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The size of the pool.
    pub pool: ByteCount,
    /// The page size of objects whose maker did not choose; `None`: by the size of the object.
    pub page_size: Option<PageSize>,
    /// The extent that a fault may bring in.
    pub fault_around: ByteCount,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// The name of the eviction policy: 1 to 32 visible characters of ASCII.
    pub policy: String,
}

/// Why pages came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FillCause {
    /// A thread waits for it.
    Demand,
    /// Neighbours in the aligned window around a lone fault.
    Around,
    /// They follow in a stream.
    Stream,
    /// Most of their region is there already.
    Density,
    /// A client has said that it will use them.
    Hint,
    /// Whoever wanted them has left meanwhile.
    Nobody,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A thread could not go on.
    Fault {
        /// By a store rather than a load.
        write: bool,
        /// What was in the way.
        kind: FaultKind,
    },
    /// Pages have come.
    Filled(FillCause),
    /// Pages have left.
    Evicted {
        /// Ahead of need.
        background: bool,
        /// Without a copy: the store had one.
        clean: bool,
    },
    /// The object is no more.
    Freed,
}

/// One thing that happened to pages of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Tick,
    /// What.
    pub what: What,
    /// Who faulted, on whose behalf pages came, or the first that maps the object they left.
    pub client: Option<ClientId>,
    /// Whose pages.
    pub object: ObjectId,
    /// How large they are.
    pub page_size: PageSize,
    /// Which; never none.
    pub pages: PageRange,
}

/// One entry of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Something happened.
    Event(Event),
    /// So many events are missing here: the writer could not keep up.
    Lost {
        /// When the next one was kept again, about.
        at: Tick,
        /// How many; never none.
        events: u64,
    },
}

/// Why bytes are no recording, or no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// They do not begin as a recording does.
    Foreign,
    /// It is of a version that is not known here.
    Version(u16),
    /// Something in it cannot be: its name.
    Field(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it does not begin as a recording does"),
            Self::Version(version) => {
                write!(f, "its format is version {version}, and only {VERSION} is known here")
            }
            Self::Field(name) => write!(f, "its {name} cannot be"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Header {
    /// Its bytes. A name that is too long is cut, and what is no visible ASCII is left out.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let shift = self.page_size.map_or(0, PageSize::shift);
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 10, &RECORD_LEN.to_le_bytes());
        put(&mut bytes, 12, &shift.to_le_bytes());
        put(&mut bytes, 16, &self.pool.get().to_le_bytes());
        put(&mut bytes, 24, &self.fault_around.get().to_le_bytes());
        put(&mut bytes, 32, &self.started.to_le_bytes());
        let name = self.policy.bytes().filter(u8::is_ascii_graphic).take(NAME_BYTES);
        for (to, from) in bytes[40..].iter_mut().zip(name) {
            *to = from;
        }
        bytes
    }

    /// What these bytes say.
    ///
    /// # Errors
    ///
    /// If they are no header of a recording that can be read here.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Unreadable> {
        if bytes[..8] != MAGIC {
            return Err(Unreadable::Foreign);
        }
        let version = u16::from_le_bytes(get(bytes, 8));
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        if u16::from_le_bytes(get(bytes, 10)) != RECORD_LEN {
            return Err(Unreadable::Field("length of a record"));
        }
        let page_size = match u32::from_le_bytes(get(bytes, 12)) {
            0 => None,
            shift => Some(page_size(shift)?),
        };
        let name: [u8; NAME_BYTES] = get(bytes, 40);
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
        let (name, rest) = name.split_at(len);
        let clean = rest.iter().all(|byte| *byte == 0) && name.iter().all(u8::is_ascii_graphic);
        if name.is_empty() || !clean {
            return Err(Unreadable::Field("name of the policy"));
        }
        if u64::from_le_bytes(get(bytes, 72)) != 0 {
            return Err(Unreadable::Field("end of the header"));
        }
        Ok(Self {
            pool: ByteCount::new(u64::from_le_bytes(get(bytes, 16))),
            page_size,
            fault_around: ByteCount::new(u64::from_le_bytes(get(bytes, 24))),
            started: u64::from_le_bytes(get(bytes, 32)),
            policy: name.iter().map(|byte| char::from(*byte)).collect(),
        })
    }
}

impl Record {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        match self {
            Self::Event(event) => {
                let (kind, detail) = event.what.codes();
                let client = event.client.map_or(NOBODY, ClientId::to_u64);
                bytes[0] = kind;
                bytes[1] = detail;
                bytes[2] = event.page_size.shift().to_le_bytes()[0];
                put(&mut bytes, 4, &event.pages.count().get().to_le_bytes());
                put(&mut bytes, 8, &event.at.nanos().to_le_bytes());
                put(&mut bytes, 16, &client.to_le_bytes());
                put(&mut bytes, 24, &event.object.to_u64().to_le_bytes());
                put(&mut bytes, 32, &event.pages.first().get().to_le_bytes());
            }
            Self::Lost { at, events } => {
                bytes[0] = LOST;
                put(&mut bytes, 8, &at.nanos().to_le_bytes());
                put(&mut bytes, 16, &events.to_le_bytes());
            }
        }
        bytes
    }

    /// What these bytes say.
    ///
    /// # Errors
    ///
    /// If no record has such bytes.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, Unreadable> {
        let at = Tick::from_nanos(u64::from_le_bytes(get(bytes, 8)));
        let number = u64::from_le_bytes(get(bytes, 16));
        if bytes[0] == LOST {
            let blank = bytes[1..8].iter().chain(&bytes[24..]).all(|byte| *byte == 0);
            return match blank && number > 0 {
                true => Ok(Self::Lost { at, events: number }),
                false => Err(Unreadable::Field("number of lost events")),
            };
        }
        if bytes[3] != 0 {
            return Err(Unreadable::Field("fourth byte of a record"));
        }
        let first = PageIndex::new(u32::from_le_bytes(get(bytes, 32)));
        let count = PageCount::new(u32::from_le_bytes(get(bytes, 4)));
        let pages = PageRange::checked_new(first, count).filter(|pages| !pages.is_empty());
        Ok(Self::Event(Event {
            at,
            what: What::of_codes(bytes[0], bytes[1])?,
            client: (number != NOBODY).then(|| ClientId::from_u64(number)),
            object: ObjectId::from_u64(u64::from_le_bytes(get(bytes, 24))),
            page_size: page_size(bytes[2].into())?,
            pages: pages.ok_or(Unreadable::Field("range of pages"))?,
        }))
    }
}

const LOST: u8 = 5;

/// In the order of their codes.
const CAUSES: [FillCause; 6] = [
    FillCause::Demand,
    FillCause::Around,
    FillCause::Stream,
    FillCause::Density,
    FillCause::Hint,
    FillCause::Nobody,
];

impl What {
    fn codes(self) -> (u8, u8) {
        match self {
            Self::Fault { write, kind } => {
                let protected = kind == FaultKind::WriteProtected;
                (1, u8::from(write) | u8::from(protected) << 1)
            }
            Self::Filled(cause) => {
                let code = (0..).zip(CAUSES).find(|(_, known)| *known == cause);
                (2, code.map_or(0, |(code, _)| code))
            }
            Self::Evicted { background, clean } => (3, u8::from(background) | u8::from(clean) << 1),
            Self::Freed => (4, 0),
        }
    }

    fn of_codes(kind: u8, detail: u8) -> Result<Self, Unreadable> {
        let bits = (detail & 1 != 0, detail & 2 != 0);
        match (kind, detail) {
            (1, 0..4) => {
                let kind = if bits.1 { FaultKind::WriteProtected } else { FaultKind::Missing };
                Ok(Self::Fault { write: bits.0, kind })
            }
            (2, code) => {
                let cause = CAUSES.get(usize::from(code));
                cause.map(|cause| Self::Filled(*cause)).ok_or(Unreadable::Field("cause of a fill"))
            }
            (3, 0..4) => Ok(Self::Evicted { background: bits.0, clean: bits.1 }),
            (4, 0) => Ok(Self::Freed),
            (1 | 3 | 4, _) => Err(Unreadable::Field("second byte of a record")),
            (_, _) => Err(Unreadable::Field("kind of a record")),
        }
    }
}

fn page_size(shift: u32) -> Result<PageSize, Unreadable> {
    let bytes = 1_u64.checked_shl(shift).unwrap_or(0);
    PageSize::new(bytes).map_err(|_| Unreadable::Field("page size"))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, part: &[u8; N]) {
    bytes[at..at + N].copy_from_slice(part);
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests;
