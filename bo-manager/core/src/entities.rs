//! Clients, objects and mappings, and what others may see of them.

use std::collections::BTreeMap;

use bo_units::{ClientId, MappingId, ObjectId, PageCount, PageIndex, PageRange, PageSize};
use serde::Serialize;
use smallvec::SmallVec;

use crate::accounts::AccountId;
use crate::manager::{Parked, Suspension};
use crate::page::{PageTable, Residency};
use crate::prefetch::{Accuracy, Marks, Place, Streams};
use crate::ranking::Priority;
use crate::stats::{ClientStats, ObjectStats};
use crate::{Access, Placement};

/// One process that holds objects.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) holds: BTreeMap<u32, Hold>,
    /// The slot of the mapping that was made last. The others are linked through [`Siblings`].
    pub(crate) newest_mapping: Option<u32>,
    pub(crate) mappings: u32,
    pub(crate) account: AccountId,
    /// `None`: it runs.
    pub(crate) suspension: Option<Box<Suspension>>,
    /// Faults that wait until it goes on, by the mapping they came through.
    pub(crate) parked: Parked,
    pub(crate) stats: ClientStats,
}

/// What one client has of one object. It goes when both counts are zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) object: ObjectId,
    /// The most that any of its handles allows.
    pub(crate) access: Access,
    /// Handles: one by allocation, one by each import.
    pub(crate) handles: u32,
    /// Live mappings. They keep the object as handles do.
    pub(crate) mappings: u32,
}

/// One buffer object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) label: String,
    pub(crate) page_size: PageSize,
    pub(crate) placement: Placement,
    /// Who is charged for its frames.
    pub(crate) account: AccountId,
    pub(crate) priority: Priority,
    pub(crate) pages: PageTable,
    /// Where each page stands once more, to be counted and searched quickly.
    pub(crate) marks: Marks,
    /// The slots of the clients with a [`Hold`] on it.
    pub(crate) holders: SmallVec<[u32; 4]>,
    pub(crate) mappings: SmallVec<[MappingId; 4]>,
    /// Moves and answers in flight. A dying object waits for them.
    pub(crate) in_flight: u32,
    /// No holder is left; nothing new may start.
    pub(crate) dying: bool,
    /// The pages before this one are forgotten already. Only a dying object forgets any.
    pub(crate) forgotten: PageIndex,
    pub(crate) resident: PageCount,
    /// Pages with a slot in the store, resident ones among them.
    pub(crate) stored: PageCount,
    pub(crate) stats: ObjectStats,
}

impl Object {
    pub(crate) fn bytes(&self) -> u64 {
        self.pages.pages().bytes(self.page_size).get()
    }

    /// True from the first page that is forgotten to the end of the file.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn is_being_forgotten(&self) -> bool {
        self.forgotten > PageIndex::ZERO
    }

    pub(crate) fn all(&self) -> PageRange {
        PageRange::whole(self.pages.pages())
    }

    /// Moves one page to another place, in the table and in the marks.
    pub(crate) fn set_residency(&mut self, index: PageIndex, residency: Residency) {
        let place = match residency {
            Residency::Absent => Place::Absent,
            Residency::Waiting(_) | Residency::Filling(..) | Residency::Resident { .. } => {
                Place::Here
            }
            Residency::Evicting(..) => Place::Leaving,
        };
        self.pages.get_mut(index).residency = residency;
        self.marks.set(index.get()..index.get() + 1, place);
    }

    /// Repeats in the marks that a run of pages is on its way in.
    pub(crate) fn mark_coming(&mut self, range: PageRange) {
        self.marks.set(range.first().get()..range.end().get(), Place::Here);
    }

    /// Repeats in the marks that a run of pages is on its way out.
    pub(crate) fn mark_leaving(&mut self, range: PageRange) {
        self.marks.set(range.first().get()..range.end().get(), Place::Leaving);
    }
}

/// One range of one client's address space that shows a part of an object.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) client: ClientId,
    pub(crate) object: ObjectId,
    pub(crate) range: PageRange,
    pub(crate) access: Access,
    /// Effects that name this mapping and are not yet reported.
    pub(crate) in_flight: u32,
    /// The client has asked to detach it; nothing new may start.
    pub(crate) closing: bool,
    pub(crate) siblings: Siblings,
    /// Whether its faults follow each other.
    pub(crate) streams: Streams,
    /// Whether the pages that were brought for it unasked were used.
    pub(crate) accuracy: Accuracy,
}

/// The slots of the mappings of the same client that were made before and after this one. A list
/// of all would have to be searched when one of sixty thousand goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Siblings {
    pub(crate) older: Option<u32>,
    pub(crate) newer: Option<u32>,
}

/// An object, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectView {
    /// Its id.
    pub id: ObjectId,
    /// What its maker called it.
    pub label: String,
    /// Its size in bytes, in whole pages.
    pub bytes: u64,
    /// Its page size in bytes.
    pub page_bytes: u64,
    /// Where its pages live.
    pub placement: Placement,
    /// In which order they leave, among those of the same client.
    pub priority: Priority,
    /// Bytes present.
    pub resident_bytes: u64,
    /// Bytes in the store, those among them that are present as well.
    pub stored_bytes: u64,
    /// Clients that hold it.
    pub holders: u32,
    /// Live mappings of it.
    pub mappings: u32,
    /// What happened to it.
    #[serde(flatten)]
    pub stats: ObjectStats,
}

/// Whether a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// As ever.
    Running,
    /// Nothing of it is answered, and its pages are leaving.
    Suspending,
    /// The same, and no page is left in the pool of what only suspended clients hold.
    Suspended,
}

/// A client, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct ClientView {
    /// Its id.
    pub id: ClientId,
    /// What it calls itself.
    pub name: String,
    /// Whether it runs.
    pub state: ClientState,
    /// Faults of its threads that wait until it goes on.
    pub parked_faults: u64,
    /// Objects it holds.
    pub objects: u32,
    /// Its live mappings.
    pub mappings: u32,
    /// What it holds, added up.
    #[serde(flatten)]
    pub sums: HoldSums,
    /// What it did.
    #[serde(flatten)]
    pub stats: ClientStats,
}

/// What a client's holds add up to, as far as they have been added: see
/// [`Manager::add_holds`](crate::Manager::add_holds).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HoldSums {
    /// Bytes of the objects.
    pub total_bytes: u64,
    /// Bytes of those that others hold too.
    pub shared_bytes: u64,
    /// Bytes of those that are present.
    pub resident_bytes: u64,
}

/// A mapping, for the shell's checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingView {
    /// Whose.
    pub client: ClientId,
    /// Of which object.
    pub object: ObjectId,
    /// Which of its pages.
    pub range: PageRange,
    /// Whether it can be written.
    pub access: Access,
}
