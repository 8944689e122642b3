//! The store's books: which slots hold the bytes of evicted pages.
//!
//! There is one arena of slots for each page size, each as long as the store may ever be, in one
//! sparse file. Address space is free and only bytes that are present count, so slots of different
//! sizes never fragment each other: a free slot of one size gives its RAM back when another size
//! needs it.

use bo_units::PageSize;

use crate::effect::Slot;
use crate::limits::{DISCARD_SLOTS, WARM_BYTES_MAX};
use crate::page::StoreCopy;

const CLASSES: usize = 10;

const _: () = assert!(4096 << (CLASSES - 1) == 2 << 20);

#[derive(Debug, Default)]
struct Class {
    /// Free, with RAM behind them. Used first, last in first out: their memory is in the caches.
    warm: Vec<u32>,
    /// Free, nothing behind them.
    cold: Vec<u32>,
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
    /// Bytes in free slots whose RAM is being given back for good.
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

    /// A slot for one page, or `None` if there is no room.
    ///
    /// `discard` receives slots of other sizes that must give their RAM back before this one is
    /// written. They stay out of use until [`Self::exchanged`] hears that it is done: a slot that
    /// was written again before its punch would lose its page.
    pub(crate) fn take(&mut self, page_size: PageSize, discard: &mut Vec<Slot>) -> Option<u32> {
        let bytes = page_size.bytes();
        let class = class_of(page_size);
        let number = match self.classes[class].warm.pop() {
            Some(number) => {
                self.warm -= bytes;
                number
            }
            None => {
                self.make_room(bytes, discard)?;
                let class = &mut self.classes[class];
                match class.cold.pop() {
                    Some(number) => number,
                    None if class.next < StoreCopy::SLOTS_MAX => {
                        class.next += 1;
                        class.next - 1
                    }
                    None => return None,
                }
            }
        };
        self.held += bytes;
        Some(number)
    }

    /// Turns warm slots cold until `bytes` more may become present.
    fn make_room(&mut self, bytes: u64, discard: &mut Vec<Slot>) -> Option<()> {
        let over = (self.present() + bytes).saturating_sub(self.capacity);
        if over > self.warm {
            return None;
        }
        let mut freed = 0;
        // Largest first: the fewest system calls.
        for class in (0..CLASSES).rev() {
            while freed < over {
                let Some(number) = self.classes[class].warm.pop() else { break };
                let len = 4096 << class;
                discard
                    .push(Slot { offset: class as u64 * self.span + u64::from(number) * len, len });
                self.warm -= len;
                freed += len;
            }
        }
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
        self.exchanged(slots);
    }

    /// The slots that [`Self::take`] discarded are empty now.
    pub(crate) fn exchanged(&mut self, slots: &[Slot]) {
        for slot in slots {
            let class = usize::try_from(slot.offset / self.span).expect("there are ten arenas");
            let number = (slot.offset % self.span) / slot.len;
            let number = u32::try_from(number).expect("slot numbers come from `take`");
            self.classes[class].cold.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: u64 = 4096;

    fn size(bytes: u64) -> PageSize {
        PageSize::new(bytes).expect("a page size")
    }

    #[test]
    fn a_full_store_cannot_take_one_more_page() {
        let mut store = StoreBook::new(2 * SMALL);
        let mut discard = Vec::new();
        assert!(store.take(size(SMALL), &mut discard).is_some());
        assert!(store.take(size(SMALL), &mut discard).is_some());
        assert!(store.take(size(SMALL), &mut discard).is_none());
        assert_eq!(store.held(), 2 * SMALL);
    }

    #[test]
    fn free_slots_of_one_size_give_way_to_another() {
        let mut store = StoreBook::new(65536);
        let mut discard = Vec::new();
        let numbers: Vec<u32> =
            (0..16).map(|_| store.take(size(SMALL), &mut discard).expect("room")).collect();
        for number in numbers {
            store.put_back(size(SMALL), number);
        }
        assert!(discard.is_empty());
        assert!(store.take(size(65536), &mut discard).is_some());
        assert_eq!(discard.len(), 16);
        assert_eq!(store.present(), 65536);
    }

    #[test]
    fn slots_of_different_sizes_never_overlap() {
        let mut store = StoreBook::new(8 << 20);
        let mut discard = Vec::new();
        let small = store.take(size(SMALL), &mut discard).expect("room");
        let large = store.take(size(2 << 20), &mut discard).expect("room");
        let (small, large) = (store.slot(size(SMALL), small), store.slot(size(2 << 20), large));
        assert!(
            small.offset + small.len <= large.offset || large.offset + large.len <= small.offset
        );
        assert!(large.offset + large.len <= store.file_bytes());
    }

    #[test]
    fn surplus_is_what_is_beyond_the_reserve() {
        let mut store = StoreBook::new(256 << 20);
        let mut discard = Vec::new();
        let count = (WARM_BYTES_MAX >> 21) + 3;
        let numbers: Vec<u32> =
            (0..count).map(|_| store.take(size(2 << 20), &mut discard).expect("room")).collect();
        for number in numbers {
            store.put_back(size(2 << 20), number);
        }
        let slots = store.surplus();
        assert_eq!(slots.len(), 3);
        assert_eq!(store.present(), count << 21);
        store.discarded(&slots);
        assert_eq!(store.present(), WARM_BYTES_MAX);
        assert!(store.surplus().is_empty());
    }
}
