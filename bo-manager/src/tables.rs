//! What the shell knows of objects, mappings and sessions: descriptors and addresses.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bo_core::Access;
use bo_sys::memfd::ObjectFile;
use bo_sys::range::AddressRange;
use bo_sys::uffd::Uffd;
use bo_units::{ClientId, MappingId, ObjectId, PageIndex, PageRange, PageSize};
use bo_wire::Token;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use crate::backing::KeptWindow;
use crate::follow::Follow;

/// An object's file.
#[derive(Debug)]
pub(crate) struct ObjectEntry {
    pub(crate) id: ObjectId,
    pub(crate) file: ObjectFile,
    pub(crate) page_size: PageSize,
    /// Whether its holes must be filled by way of a window.
    pub(crate) by_window: bool,
    /// The window, once a fill has opened one.
    pub(crate) window: OnceLock<KeptWindow>,
    /// One for each kind of access, made when first asked for.
    pub(crate) tokens: Mutex<BTreeMap<Access, Token>>,
}

impl ObjectEntry {
    /// Where a run of pages is in the file: offset and length in bytes.
    pub(crate) fn bytes(&self, range: PageRange) -> (u64, u64) {
        (range.first().offset(self.page_size), range.count().bytes(self.page_size).get())
    }
}

/// A mapping's place in its client.
#[derive(Debug)]
pub(crate) struct MappingEntry {
    pub(crate) id: MappingId,
    pub(crate) client: ClientId,
    /// Who watches it, part after part: the first address behind each part.
    pub(crate) watchers: SmallVec<[(u64, Arc<Uffd>); 1]>,
    /// The whole of it.
    pub(crate) range: AddressRange,
    /// The page of the object at its start.
    pub(crate) pages: PageRange,
    pub(crate) page_size: PageSize,
}

impl MappingEntry {
    /// The addresses of some of its pages; `None` if one of them is not in it.
    pub(crate) fn addresses(&self, pages: PageRange) -> Option<AddressRange> {
        let skip = pages.first().checked_since(self.pages.first())?.bytes(self.page_size).get();
        self.range.slice(skip, pages.count().bytes(self.page_size).get())
    }

    /// These addresses, which are its own, cut where another userfaultfd watches.
    pub(crate) fn parts(
        &self,
        addresses: AddressRange,
    ) -> impl Iterator<Item = (&Uffd, AddressRange)> {
        let mut done = 0;
        self.watchers.iter().filter_map(move |(end, uffd)| {
            let end = (*end).min(addresses.end()).checked_sub(addresses.start())?;
            let len = end.checked_sub(done).filter(|len| *len > 0)?;
            let part = addresses.slice(done, len).expect("parts end at pages of the range");
            done = end;
            Some((&**uffd, part))
        })
    }

    /// Makes whoever waits at these addresses fault again.
    pub(crate) fn wake(&self, addresses: AddressRange) -> std::io::Result<()> {
        self.parts(addresses).try_for_each(|(uffd, part)| uffd.wake(part))
    }

    /// The page at an address inside it.
    pub(crate) fn page_at(&self, address: u64) -> PageIndex {
        let inside = (address - self.range.start()) >> self.page_size.shift();
        let inside = u32::try_from(inside).expect("a mapping has less than 2^32 pages");
        PageIndex::new(self.pages.first().get() + inside)
    }
}

/// One client process.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ClientId,
    /// The first is set by the handshake, others may follow; none is ever taken back.
    uffds: Box<[OnceLock<Arc<Uffd>>]>,
    /// Where the threads of each fault.
    follows: Box<[Mutex<Follow>]>,
    /// Its process, as this one knows it.
    pub(crate) process: u32,
    /// Its mappings by their first address.
    pub(crate) ranges: RwLock<BTreeMap<u64, Arc<MappingEntry>>>,
    /// Whose unmap waits for what is in flight.
    pub(crate) detaching: Mutex<HashMap<MappingId, oneshot::Sender<()>>>,
    /// The connection is over but the process lives: what it still touches gives SIGBUS.
    revoked: AtomicBool,
    /// Ends the connection.
    pub(crate) kick: Notify,
    offences: AtomicU32,
}

impl Session {
    /// A session that may bring so many userfaultfds.
    pub(crate) fn new(id: ClientId, process: u32, uffds: usize) -> Self {
        Self {
            id,
            uffds: std::iter::repeat_with(OnceLock::new).take(uffds).collect(),
            follows: (0..uffds).map(|_| Mutex::new(Follow::new())).collect(),
            process,
            ranges: RwLock::default(),
            detaching: Mutex::default(),
            revoked: AtomicBool::new(false),
            kick: Notify::new(),
            offences: AtomicU32::new(0),
        }
    }

    /// The userfaultfds that it has handed over, by number.
    pub(crate) fn uffds(&self) -> impl Iterator<Item = &Arc<Uffd>> {
        self.uffds.iter().map_while(OnceLock::get)
    }

    /// What is known of where the threads of this userfaultfd fault.
    pub(crate) fn follow(&self, shard: usize) -> &Mutex<Follow> {
        &self.follows[shard]
    }

    /// Takes one more userfaultfd; gives its number, or it back if there are enough.
    pub(crate) fn add_uffd(&self, uffd: Arc<Uffd>) -> Result<usize, Arc<Uffd>> {
        let mut uffd = uffd;
        for (number, place) in self.uffds.iter().enumerate() {
            match place.set(uffd) {
                Ok(()) => return Ok(number),
                Err(back) => uffd = back,
            }
        }
        Err(uffd)
    }

    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// One more; says how many there were.
    pub(crate) fn count_offence(&self) -> u32 {
        self.offences.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// The mapping that contains this address.
    pub(crate) fn mapping_at(&self, address: u64) -> Option<Arc<MappingEntry>> {
        let ranges = self.ranges.read();
        let (_, entry) = ranges.range(..=address).next_back()?;
        entry.range.contains(address).then(|| Arc::clone(entry))
    }

    /// True if one of its mappings has an address of `range`.
    pub(crate) fn overlaps(&self, range: AddressRange) -> bool {
        let ranges = self.ranges.read();
        ranges.range(..range.end()).next_back().is_some_and(|(_, last)| last.range.overlaps(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hash table has for each entry at worst: at most 7/8 of its places are in use, at
    /// least half of that after it has doubled, and each has a byte besides.
    const fn hashed(bytes: usize) -> usize {
        (bytes + 1) * 16 / 7
    }

    #[test]
    fn an_object_and_its_mapping_take_the_shell_less_than_480_bytes() {
        // Two counts of an `Arc`, and what an allocator adds.
        let shared = 16 + 16;
        let id = size_of::<ObjectId>() + size_of::<Arc<ObjectEntry>>();
        let file = size_of::<bo_sys::memfd::FileIdentity>() + size_of::<ObjectId>();
        let object = size_of::<ObjectEntry>() + shared + hashed(id) + hashed(file);
        // A place in the session's tree, which is at least half full.
        let place = 2 * (size_of::<u64>() + size_of::<Arc<MappingEntry>>());
        let mapping = size_of::<MappingEntry>() + shared + hashed(id) + place;
        println!("an object: {object} bytes, a mapping: {mapping} bytes");
        assert!(object + mapping <= 480, "{object} + {mapping} bytes");
    }
}
