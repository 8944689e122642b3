//! Reading faults, many at a time and without allocating.

use std::io::{self, IoSliceMut};

use rustix::io::{Errno, ReadWriteFlags};
use userfaultfd::{Event, ReadWrite};
use userfaultfd_sys as sys;

use super::ioctl;

/// Offset -1 makes preadv2(2) a plain read, which is all that a userfaultfd has.
const NO_OFFSET: u64 = u64::MAX;

const MESSAGE_BYTES: usize = size_of::<sys::uffd_msg>();

/// Why a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file has no page there.
    Missing,
    /// It wants to write to a protected page.
    WriteProtected,
    /// The page is there and not mapped; only for ranges that somebody else registered so.
    Minor,
}

/// A thread waits. The same wait may be reported more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// Where, rounded down to a kernel page.
    pub address: u64,
    /// Whether it was going to write.
    pub write: bool,
    /// Why.
    pub kind: FaultKind,
    /// Which thread, by the number that it has in its own pid namespace.
    pub thread: u32,
}

/// Room for the messages of one read.
pub struct EventBuffer {
    bytes: Box<[u8]>,
    faults: Vec<FaultEvent>,
    foreign: u64,
    /// For kernels before 6.10, which cannot be asked not to block.
    classic: userfaultfd::EventBuffer,
}

impl EventBuffer {
    /// Room for `events_max` messages, at least one. A message takes 32 bytes.
    #[must_use]
    pub fn new(events_max: usize) -> EventBuffer {
        let events_max = events_max.max(1);
        EventBuffer {
            bytes: vec![0; events_max * MESSAGE_BYTES].into_boxed_slice(),
            faults: Vec::with_capacity(events_max),
            foreign: 0,
            classic: userfaultfd::EventBuffer::new(events_max),
        }
    }

    /// The faults that the last read brought, in the kernel's order.
    pub fn events(&self) -> impl Iterator<Item = FaultEvent> + '_ {
        self.faults.iter().copied()
    }

    /// How many messages were not page faults, over all reads. Ours come from descriptors that
    /// were asked for page faults only, so anything but zero is a puzzle worth reporting.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    pub(super) fn fill(&mut self, uffd: &userfaultfd::Uffd) -> io::Result<usize> {
        self.faults.clear();
        let mut room = [IoSliceMut::new(&mut self.bytes)];
        match rustix::io::preadv2(uffd, &mut room, NO_OFFSET, ReadWriteFlags::NOWAIT) {
            Ok(read) => self.sort_messages(read),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::OPNOTSUPP) => self.fill_classic(uffd)?,
            Err(errno) => return Err(errno.into()),
        }
        Ok(self.faults.len())
    }

    fn sort_messages(&mut self, read: usize) {
        let (messages, torn) = self.bytes[..read].as_chunks::<MESSAGE_BYTES>();
        assert!(torn.is_empty(), "the kernel copies whole messages");
        for message in messages {
            match parse(message) {
                Some(fault) => self.faults.push(fault),
                None => self.foreign += 1,
            }
        }
    }

    pub(super) fn fill_classic(&mut self, uffd: &userfaultfd::Uffd) -> io::Result<()> {
        let events = match uffd.read_events(&mut self.classic) {
            Ok(events) => events,
            Err(error) => {
                return match ioctl::errno_of(&error) {
                    Errno::INTR => Ok(()),
                    errno => Err(errno.into()),
                };
            }
        };
        for event in events {
            match event {
                Ok(Event::Pagefault { kind, rw, addr, thread_id }) => {
                    self.faults.push(FaultEvent {
                        address: addr.addr() as u64,
                        write: rw == ReadWrite::Write,
                        kind: kind.into(),
                        thread: thread_id.as_raw().unsigned_abs(),
                    });
                }
                Ok(
                    Event::Fork { .. }
                    | Event::Remap { .. }
                    | Event::Remove { .. }
                    | Event::Unmap { .. },
                )
                | Err(_) => self.foreign += 1,
            }
        }
        Ok(())
    }
}

impl From<userfaultfd::FaultKind> for FaultKind {
    fn from(kind: userfaultfd::FaultKind) -> FaultKind {
        match kind {
            userfaultfd::FaultKind::Missing => FaultKind::Missing,
            userfaultfd::FaultKind::WriteProtected => FaultKind::WriteProtected,
            userfaultfd::FaultKind::Minor => FaultKind::Minor,
        }
    }
}

/// A page fault out of `struct uffd_msg`; `None` for any other message.
fn parse(message: &[u8; MESSAGE_BYTES]) -> Option<FaultEvent> {
    let (words, _) = message.as_chunks::<8>();
    if message[0] != sys::UFFD_EVENT_PAGEFAULT {
        return None;
    }
    let flags = u64::from_ne_bytes(words[1]);
    let kind = if flags & sys::UFFD_PAGEFAULT_FLAG_WP != 0 {
        FaultKind::WriteProtected
    } else if flags & sys::UFFD_PAGEFAULT_FLAG_MINOR != 0 {
        FaultKind::Minor
    } else {
        FaultKind::Missing
    };
    let write = flags & sys::UFFD_PAGEFAULT_FLAG_WRITE != 0;
    let [a, b, c, d, ..] = words[3];
    let thread = u32::from_ne_bytes([a, b, c, d]);
    Some(FaultEvent { address: u64::from_ne_bytes(words[2]), write, kind, thread })
}

const _: () = assert!(std::mem::offset_of!(sys::uffd_msg, event) == 0);
const _: () = assert!(std::mem::offset_of!(sys::uffd_msg, arg) == 8);
const _: () = assert!(std::mem::offset_of!(sys::uffd_msg_pagefault, flags) == 0);
const _: () = assert!(std::mem::offset_of!(sys::uffd_msg_pagefault, address) == 8);

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: u8, flags: u64, address: u64) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = event;
        message[8..16].copy_from_slice(&flags.to_ne_bytes());
        message[16..24].copy_from_slice(&address.to_ne_bytes());
        message
    }

    #[test]
    fn flags_become_words() {
        let kind_of = |flags| parse(&message(0x12, flags, 0x7000)).map(|fault| fault.kind);
        assert_eq!(kind_of(0), Some(FaultKind::Missing));
        assert_eq!(kind_of(1), Some(FaultKind::Missing));
        assert_eq!(kind_of(3), Some(FaultKind::WriteProtected));
        assert_eq!(kind_of(4), Some(FaultKind::Minor));
        // A write to a page that is protected, present and not mapped: protection comes first.
        assert_eq!(kind_of(7), Some(FaultKind::WriteProtected));
    }

    #[test]
    fn other_messages_are_counted_and_not_kept() {
        let mut buffer = EventBuffer::new(2);
        buffer.bytes[..32].copy_from_slice(&message(0x15, 0, 0));
        buffer.bytes[32..].copy_from_slice(&message(0x12, 1, 0x7000));
        buffer.sort_messages(64);
        assert_eq!(buffer.foreign(), 1);
        let kind = FaultKind::Missing;
        let fault = FaultEvent { address: 0x7000, write: true, kind, thread: 0 };
        assert_eq!(buffer.events().collect::<Vec<_>>(), [fault]);
    }
}
