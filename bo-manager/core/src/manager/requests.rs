//! What clients ask for: objects and holds.

use std::collections::BTreeMap;

use bo_units::{ByteCount, ClientId, ObjectId, PageIndex, PageRange, PageSize};
use smallvec::SmallVec;

use crate::accounts::AccountId;
use crate::entities::{Client, Hold, Object};
use crate::limits::{OBJECT_BYTES_MAX, POOL_PAGES_MIN, RAM_STEP_COPIES};
use crate::manager::{Manager, Parked};
use crate::page::PageTable;
use crate::prefetch::Marks;
use crate::ranking::Priority;
use crate::refusal::Refusal;
use crate::stats::{ClientStats, ObjectStats};
use crate::{Access, Placement};

/// A wish for an object.
#[derive(Debug, Clone)]
pub struct AllocRequest {
    /// How many bytes it must hold; rounded up to whole pages.
    pub bytes: ByteCount,
    /// `None`: chosen by size.
    pub page_size: Option<PageSize>,
    /// Where its pages should live.
    pub placement: Placement,
    /// What operators see.
    pub label: String,
}

/// An object that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// Its id.
    pub object: ObjectId,
    /// Its size in whole pages.
    pub bytes: ByteCount,
    /// Its page size.
    pub page_size: PageSize,
    /// Where its pages live: what was asked for, or VRAM if RAM could not promise so much.
    pub placement: Placement,
}

impl Manager {
    /// A client has come.
    ///
    /// # Errors
    ///
    /// [`Refusal::ClientLimit`], [`Refusal::Draining`].
    pub fn connect(&mut self, name: &str) -> Result<ClientId, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let limit = self.config.limits.clients;
        if self.clients.len() >= limit as usize {
            return Err(Refusal::ClientLimit(limit));
        }
        self.stats.connects += 1;
        let client = self.clients.insert(Client {
            name: name.to_owned(),
            holds: BTreeMap::new(),
            newest_mapping: None,
            mappings: 0,
            account: AccountId::SHARED,
            suspension: None,
            parked: Parked::default(),
            stats: ClientStats::default(),
        });
        let account = self.accounts.open(client);
        self.clients.get_mut(client).expect("it came a moment ago").account = account;
        Ok(client)
    }

    /// Makes an object, held by `client`. Nothing is present in it: it costs a promise.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with the numbers. The sum of all promises never passes what pool and store
    /// can hold together, so that no fault ever meets the end of memory.
    pub fn allocate(
        &mut self,
        client: ClientId,
        request: &AllocRequest,
    ) -> Result<Allocated, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let account = self.clients.get(client).ok_or(Refusal::Gone)?.account;
        let page_size = self.check_size(request)?;
        let limit = self.config.limits.objects;
        if self.objects.len() >= limit as usize {
            return Err(Refusal::ObjectLimit(limit));
        }
        let pages = (request.bytes.pages_ceil(page_size)).ok_or(Refusal::SizeTooLarge {
            asked: request.bytes.get(),
            possible: OBJECT_BYTES_MAX,
        })?;
        let bytes = pages.bytes(page_size);
        let placement = self.promise(bytes, page_size, request.placement)?;
        let object = self.objects.insert(Object {
            label: request.label.clone(),
            page_size,
            placement,
            account,
            priority: Priority::default(),
            pages: PageTable::new(pages),
            marks: Marks::new(pages.get()),
            holders: SmallVec::new(),
            mappings: SmallVec::new(),
            in_flight: 0,
            dying: false,
            forgotten: PageIndex::ZERO,
            resident: bo_units::PageCount::ZERO,
            stored: bo_units::PageCount::ZERO,
            stats: ObjectStats::default(),
        });
        self.accounts.add_object(account);
        self.hold(client, object, Access::ReadWrite)?;
        self.stats.allocations += 1;
        self.stats.allocated_bytes += bytes.get();
        Ok(Allocated { object, bytes, page_size, placement })
    }

    fn check_size(&self, request: &AllocRequest) -> Result<PageSize, Refusal> {
        let asked = request.bytes.get();
        if asked == 0 {
            return Err(Refusal::SizeZero);
        }
        if asked > OBJECT_BYTES_MAX {
            return Err(Refusal::SizeTooLarge { asked, possible: OBJECT_BYTES_MAX });
        }
        let largest = self.pool.size() / POOL_PAGES_MIN;
        let page_size = request.page_size.unwrap_or_else(|| {
            if self.config.huge_frames && PageSize::MAX.bytes() <= largest && fits_huge(request) {
                return PageSize::MAX;
            }
            let usual = PageSize::for_object(request.bytes);
            if usual.bytes() <= largest { usual } else { PageSize::MIN }
        });
        if page_size.bytes() > largest {
            let mut possible = 2 << 20;
            while possible > largest {
                possible /= 2;
            }
            let possible = if possible < 4096 { 0 } else { possible };
            return Err(Refusal::PageTooLarge {
                asked: ByteCount::new(page_size.bytes()),
                possible: ByteCount::new(possible),
            });
        }
        Ok(page_size)
    }

    /// Two pages of the largest size in use stay free of promises: with less, a page that must
    /// come in and a page that must go out could wait for each other.
    pub(crate) fn slack(&self, with: Option<PageSize>) -> u64 {
        let live = self.page_sizes.iter().rposition(|count| *count > 0).map_or(0, |at| 4096 << at);
        2 * live.max(with.map_or(0, PageSize::bytes))
    }

    /// The most bytes that all VRAM-placed objects may have together.
    pub(crate) fn commit_limit(&self, with: Option<PageSize>) -> u64 {
        (self.pool.size() + self.store.capacity()).saturating_sub(self.slack(with))
    }

    fn promise(
        &mut self,
        bytes: ByteCount,
        page_size: PageSize,
        wanted: Placement,
    ) -> Result<Placement, Refusal> {
        if wanted == Placement::Ram && self.reserve_ram(bytes.get()) {
            return Ok(Placement::Ram);
        }
        let limit = self.commit_limit(Some(page_size));
        let left = limit.saturating_sub(self.committed);
        if bytes.get() > left {
            let ram = self.config.ram.get() & !4095;
            let possible = (self.pool.size() + ram).saturating_sub(2 * page_size.bytes());
            return Err(match bytes.get() > possible {
                true => Refusal::NeverFits { asked: bytes, possible: ByteCount::new(possible) },
                false => Refusal::OutOfMemory { asked: bytes, left: ByteCount::new(left) },
            });
        }
        self.committed += bytes.get();
        self.page_sizes[page_size.shift() as usize - 12] += 1;
        Ok(Placement::Vram)
    }

    /// Sets RAM aside for an object that is never evicted, if the store can do with less.
    fn reserve_ram(&mut self, bytes: u64) -> bool {
        let Some(rest) = self.store_without(bytes) else { return false };
        // What others are giving back is still there, and their effects are not the caller's.
        let leaving = self.store.leaving();
        while self.store.held_and_warm() + leaving > rest {
            // The caller carries the effects out before its client can touch the new object.
            // Free slots go first; then copies of pages that are present.
            if !self.shed_warm() && !self.drop_a_copy() {
                return false;
            }
        }
        self.store.set_capacity(rest);
        self.ram_reserved += bytes;
        true
    }

    /// What the store would be left with, if it could keep its promises with that.
    fn store_without(&self, bytes: u64) -> Option<u64> {
        let rest = self.store.capacity().checked_sub(bytes)?;
        let limit = (self.pool.size() + rest).saturating_sub(self.slack(None));
        (self.committed <= limit).then_some(rest)
    }

    /// Makes room in RAM for the object that `request` asks for, one step of it: true if another
    /// is needed before [`Self::allocate`], which would make them all under one lock. The effects
    /// are to be carried out before the next step.
    pub fn prepare(&mut self, request: &AllocRequest) -> bool {
        let Ok(page_size) = self.check_size(request) else { return false };
        let Some(pages) = request.bytes.pages_ceil(page_size) else { return false };
        let rest = self.store_without(pages.bytes(page_size).get());
        let Some(rest) = rest.filter(|_| request.placement == Placement::Ram) else { return false };
        if self.draining || self.objects.len() >= self.config.limits.objects as usize {
            return false;
        }
        let leaving = self.store.leaving();
        for _ in 0..RAM_STEP_COPIES {
            if self.store.held_and_warm() + leaving <= rest {
                return false;
            }
            if self.shed_warm() {
                return true;
            }
            if !self.drop_a_copy() {
                return false;
            }
        }
        true
    }

    /// Makes `client` a holder of `object`, or gives it one more handle.
    ///
    /// Whether it may have it is for the caller to know: it came with a token or a descriptor.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], if either is no more; [`Refusal::Draining`].
    pub fn hold(
        &mut self,
        client: ClientId,
        object: ObjectId,
        access: Access,
    ) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let entry = self.objects.get_mut(object).filter(|entry| !entry.dying);
        let entry = entry.ok_or(Refusal::Gone)?;
        let holds = &mut self.clients.get_mut(client).ok_or(Refusal::Gone)?.holds;
        let hold = holds.entry(object.slot).or_insert_with(|| {
            entry.holders.push(client.slot);
            Hold { object, access, handles: 0, mappings: 0 }
        });
        hold.handles += 1;
        hold.access = hold.access.max(access);
        self.note_holders(object);
        Ok(())
    }

    /// What `client` may do with `object`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`] if it does not hold it, whether or not it exists.
    pub fn access(&self, client: ClientId, object: ObjectId) -> Result<Access, Refusal> {
        let holds = &self.clients.get(client).ok_or(Refusal::Gone)?.holds;
        let hold = holds.get(&object.slot).filter(|hold| hold.object == object);
        hold.map(|hold| hold.access).ok_or(Refusal::Gone)
    }

    /// Checks a range that a client claims of an object that it claims to hold.
    ///
    /// # Errors
    ///
    /// [`Refusal::Gone`], [`Refusal::Range`].
    pub fn grant(
        &self,
        client: ClientId,
        object: ObjectId,
        range: PageRange,
    ) -> Result<PageRange, Refusal> {
        self.access(client, object)?;
        let all = self.objects.get(object).ok_or(Refusal::Gone)?.all();
        (!range.is_empty() && all.contains_range(range)).then_some(range).ok_or(Refusal::Range)
    }
}

/// Whether pages of 2 MiB waste less than an eighth of what the object then takes.
fn fits_huge(request: &AllocRequest) -> bool {
    let (asked, page) = (request.bytes.get(), PageSize::MAX.bytes());
    // Checked before: far from the end of the numbers.
    let taken = asked.next_multiple_of(page);
    request.placement == Placement::Vram && page <= asked && (taken - asked) < taken / 8
}
