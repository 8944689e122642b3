//! The store's books: which slots hold the bytes of evicted pages.
//!
//! There is one arena of slots for each page size, each as long as the store may ever be, in one
//! sparse file. Address space is free and only bytes that are present count, so slots of different
//! sizes never fragment each other: a free slot of one size gives its RAM back when another size
//! needs it.

use bo_units::PageSize;

use crate::chunked::Chunked;
use crate::effect::Slot;
use crate::limits::{DISCARD_SLOTS, WARM_BYTES_MAX};
use crate::page::StoreCopy;

const CLASSES: usize = 10;

const _: () = assert!(4096 << (CLASSES - 1) == 2 << 20);

/// Free slots that give their RAM back before the slots taken in their stead are written.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// Which. They stay out of use until [`StoreBook::exchanged`] hears that it is done: a slot
    /// that was written again before its punch would lose its page.
    pub(crate) slots: Vec<Slot>,
    /// Bytes of them that are not replaced. Until they are really gone, nobody else has them.
    spare: u64,
}

#[derive(Debug, Default)]
struct Class {
    /// Free, with RAM behind them. Used first, last in first out: their memory is in the caches.
    warm: Chunked<u32>,
    /// Free, nothing behind them.
    cold: Chunked<u32>,
    /// Never used from here on.
    next: u32,
}

/// What the store holds. Every byte present is in exactly one of `held`, `warm` and `leaving`.
#[derive(Debug)]
pub(crate) struct StoreBook {
    classes: [Class; CLASSES],
    /// The length of one arena.
    span: u64,
    capacity: u64,
    /// Bytes in slots that hold a page.
    held: u64,
    /// Bytes in free slots whose RAM is kept.
    warm: u64,
    /// Bytes in free slots whose RAM is being given back, and taken by nobody yet.
    leaving: u64,
}

fn class_of(page_size: PageSize) -> usize {
    page_size.shift() as usize - 12
}

impl StoreBook {
    pub(crate) fn new(capacity: u64) -> Self {
        let capacity = capacity & !4095;
        Self {
            classes: Default::default(),
            span: capacity.next_multiple_of(2 << 20),
            capacity,
            held: 0,
            warm: 0,
            leaving: 0,
        }
    }

    /// The length of the store's file: mostly hole.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.span * CLASSES as u64
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Makes the store smaller or larger, for RAM that is promised to others.
    ///
    /// The caller has seen that what is held fits.
    pub(crate) fn set_capacity(&mut self, capacity: u64) {
        assert!(self.held <= capacity, "a store is not shrunk below what it holds");
        self.capacity = capacity;
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Bytes that pages could still take, if free slots of other sizes give way.
    pub(crate) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.held + self.leaving)
    }

    /// Bytes in use by pages, and in free slots that are kept.
    pub(crate) fn held_and_warm(&self) -> u64 {
        self.held + self.warm
    }

    /// Bytes that may be present in the file: held, kept, and on their way back to the host.
    pub(crate) fn present(&self) -> u64 {
        self.held + self.warm + self.leaving
    }

    pub(crate) fn slot(&self, page_size: PageSize, number: u32) -> Slot {
        let class = class_of(page_size) as u64;
        let len = page_size.bytes();
        Slot { offset: class * self.span + u64::from(number) * len, len }
    }

    /// Bytes on their way back to the host.
    pub(crate) fn leaving(&self) -> u64 {
        self.leaving
    }

    /// A slot for one page, or `None` if there is no room.
    ///
    /// `exchange` receives slots of other sizes that must give their RAM back before this one is
    /// written.
    pub(crate) fn take(&mut self, page_size: PageSize, exchange: &mut Exchange) -> Option<u32> {
        let bytes = page_size.bytes();
        let class = class_of(page_size);
        let number = match self.classes[class].warm.pop() {
            Some(number) => {
                self.warm -= bytes;
                number
            }
            None => {
                // Slots in exchange are in nobody's count: so many can be that numbers run out.
                let end = (self.span / bytes).min(u64::from(StoreCopy::SLOTS_MAX));
                let free = &self.classes[class];
                if free.cold.is_empty() && end <= u64::from(free.next) {
                    return None;
                }
                self.make_room(bytes, exchange)?;
                let class = &mut self.classes[class];
                class.cold.pop().unwrap_or_else(|| {
                    class.next += 1;
                    class.next - 1
                })
            }
        };
        self.held += bytes;
        Some(number)
    }

    /// Turns warm slots cold until `bytes` more may become present.
    fn make_room(&mut self, bytes: u64, exchange: &mut Exchange) -> Option<()> {
        let reused = exchange.spare.min(bytes);
        let over = (self.present() - reused + bytes).saturating_sub(self.capacity);
        if over > self.warm {
            return None;
        }
        let mut freed = 0;
        // Largest first: the fewest system calls.
        for class in (0..CLASSES).rev() {
            while freed < over {
                let Some(number) = self.classes[class].warm.pop() else { break };
                let len = 4096 << class;
                let offset = class as u64 * self.span + u64::from(number) * len;
                exchange.slots.push(Slot { offset, len });
                self.warm -= len;
                freed += len;
            }
        }
        let spare = freed.saturating_sub(bytes - reused);
        self.leaving = self.leaving - reused + spare;
        exchange.spare = exchange.spare - reused + spare;
        Some(())
    }

    /// The page in this slot is needed no more.
    pub(crate) fn put_back(&mut self, page_size: PageSize, number: u32) {
        let bytes = page_size.bytes();
        assert!(bytes <= self.held, "no slot is given back twice");
        self.held -= bytes;
        self.warm += bytes;
        self.classes[class_of(page_size)].warm.push(number);
    }

    /// Free slots beyond what is worth keeping. Report them with [`Self::discarded`] when their
    /// RAM is gone.
    pub(crate) fn surplus(&mut self) -> Vec<Slot> {
        self.give_back(WARM_BYTES_MAX)
    }

    fn give_back(&mut self, keep: u64) -> Vec<Slot> {
        let mut slots = Vec::new();
        for class in 0..CLASSES {
            let len = 4096 << class;
            while self.warm > keep && slots.len() < DISCARD_SLOTS {
                let Some(number) = self.classes[class].warm.pop() else { break };
                slots
                    .push(Slot { offset: class as u64 * self.span + u64::from(number) * len, len });
                self.warm -= len;
                self.leaving += len;
            }
        }
        slots
    }

    /// Some free slots, however few are left. Report them with [`Self::discarded`].
    pub(crate) fn shed(&mut self) -> Vec<Slot> {
        self.give_back(0)
    }

    /// The RAM of these slots is back with the host.
    pub(crate) fn discarded(&mut self, slots: &[Slot]) {
        self.leaving -= slots.iter().map(|slot| slot.len).sum::<u64>();
        self.empty(slots);
    }

    /// The slots that gave way are empty now.
    pub(crate) fn exchanged(&mut self, exchange: &Exchange) {
        self.leaving -= exchange.spare;
        self.empty(&exchange.slots);
    }

    fn empty(&mut self, slots: &[Slot]) {
        for slot in slots {
            let class = usize::try_from(slot.offset / self.span).expect("there are ten arenas");
            let number = (slot.offset % self.span) / slot.len;
            let number = u32::try_from(number).expect("slot numbers come from `take`");
            self.classes[class].cold.push(number);
        }
    }
}

#[cfg(test)]
mod tests;
