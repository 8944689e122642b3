//! Slots that remember which life they name: a generation for each, and a list of the free ones.
//!
//! `slab` moves all of its entries when it grows, which takes milliseconds once there are a
//! hundred thousand of them; this one grows in pieces.

use crate::chunked::Chunked;

/// An id made of a slot and a generation.
pub(crate) trait Key: Copy {
    fn from_parts(slot: u32, generation: u32) -> Self;
    fn slot(self) -> u32;
    fn generation(self) -> u32;
}

macro_rules! key {
    ($($id:ty),+) => {$(
        impl Key for $id {
            fn from_parts(slot: u32, generation: u32) -> Self {
                Self { slot, generation }
            }
            fn slot(self) -> u32 {
                self.slot
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }
    )+};
}
key!(bo_units::ObjectId, bo_units::ClientId, bo_units::MappingId);

/// No free slot comes after this one.
const NONE: u32 = u32::MAX;

/// Entries in one piece of a table.
const CHUNK: usize = 256;

#[derive(Debug)]
enum Entry<T> {
    Live(T),
    /// The next free slot is `next`.
    Free {
        next: u32,
    },
}

#[derive(Debug)]
struct Slot<T> {
    /// Raised when the entry leaves. Never 0: an id of all zeros names nothing.
    generation: u32,
    entry: Entry<T>,
}

/// A table whose ids are never given twice, although its slots are. Every operation is
/// constant-time, and none moves an entry.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    slots: Chunked<Slot<T>, CHUNK>,
    /// The slot that was freed last.
    free: u32,
    len: usize,
    key: std::marker::PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) fn new() -> Self {
        let slots = Chunked::default();
        Self { slots, free: NONE, len: 0, key: std::marker::PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> K {
        self.len += 1;
        if self.free == NONE {
            let number = u32::try_from(self.slots.len()).expect("limits keep every table small");
            assert!(number != NONE, "limits keep every table below 2^32 - 1 entries");
            self.slots.push(Slot { generation: 1, entry: Entry::Live(value) });
            return K::from_parts(number, 1);
        }
        let number = self.free;
        let slot = &mut self.slots[number as usize];
        let Entry::Free { next } = slot.entry else { panic!("a free slot is free") };
        self.free = next;
        slot.entry = Entry::Live(value);
        K::from_parts(number, slot.generation)
    }

    pub(crate) fn get(&self, id: K) -> Option<&T> {
        let slot = self.slots.get(id.slot() as usize)?;
        slot.live().filter(|_| slot.generation == id.generation())
    }

    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        match &mut slot.entry {
            Entry::Live(value) if slot.generation == id.generation() => Some(value),
            Entry::Live(_) | Entry::Free { .. } => None,
        }
    }

    /// The living entry of a slot, for names that the core keeps itself and never lets grow stale.
    pub(crate) fn at_slot(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.live()
    }

    /// The same, to be changed.
    pub(crate) fn at_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        match &mut self.slots.get_mut(slot as usize)?.entry {
            Entry::Live(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// The whole id of a living slot.
    pub(crate) fn id_at(&self, slot: u32) -> Option<K> {
        let entry = self.slots.get(slot as usize)?;
        entry.live().map(|_| K::from_parts(slot, entry.generation))
    }

    pub(crate) fn remove(&mut self, id: K) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.slots[id.slot() as usize];
        slot.generation = slot.generation.wrapping_add(1).max(1);
        let entry = std::mem::replace(&mut slot.entry, Entry::Free { next: self.free });
        self.free = id.slot();
        self.len -= 1;
        match entry {
            Entry::Live(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// How many slots there are, living or not.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("limits keep every table below 2^32 entries")
    }

    /// All that live, in the order of their slots. A walk over the whole table.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().zip(0_u32..).filter_map(|(slot, number)| {
            slot.live().map(|value| (K::from_parts(number, slot.generation), value))
        })
    }
}

impl<T> Slot<T> {
    fn live(&self) -> Option<&T> {
        match &self.entry {
            Entry::Live(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bo_units::ObjectId;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_of_an_earlier_life_cannot_meet_the_heir() {
        let mut arena: Arena<ObjectId, &str> = Arena::new();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let heir = arena.insert("heir");
        assert_eq!(heir.slot, first.slot);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.get(heir), Some(&"heir"));
    }

    #[test]
    fn an_id_cannot_be_removed_twice() {
        let mut arena: Arena<ObjectId, u8> = Arena::new();
        let id = arena.insert(1);
        assert!(arena.remove(id).is_some());
        assert!(arena.remove(id).is_none());
    }

    #[test]
    fn the_id_of_all_zeros_names_nothing() {
        let mut arena: Arena<ObjectId, u8> = Arena::new();
        arena.insert(1);
        assert_eq!(arena.get(ObjectId { slot: 0, generation: 0 }), None);
    }

    proptest! {
        #[test]
        fn it_does_what_a_map_would(
            steps in proptest::collection::vec((any::<bool>(), any::<usize>()), 0..700),
        ) {
            let mut arena: Arena<ObjectId, usize> = Arena::new();
            let mut model = BTreeMap::new();
            let mut dead = Vec::new();
            for (insert, chance) in steps {
                if insert || model.is_empty() {
                    let id = arena.insert(chance);
                    prop_assert!(!dead.contains(&id), "an id is given once");
                    model.insert(id, chance);
                } else {
                    let id = *model.keys().nth(chance % model.len()).expect("one of them");
                    prop_assert_eq!(arena.remove(id), model.remove(&id));
                    dead.push(id);
                }
            }
            prop_assert_eq!(arena.len(), model.len());
            prop_assert!(dead.iter().all(|id| arena.get(*id).is_none()));
            for (id, value) in &mut model {
                prop_assert_eq!(arena.get_mut(*id), Some(&mut *value));
                prop_assert_eq!(arena.at_slot_mut(id.slot), Some(value));
                prop_assert_eq!(arena.id_at(id.slot), Some(*id));
            }
            let all: BTreeMap<ObjectId, usize> =
                arena.iter().map(|(id, value)| (id, *value)).collect();
            prop_assert_eq!(all, model);
        }
    }
}
