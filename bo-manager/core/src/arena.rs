//! Slots that remember which life they name: a slab, and a generation for each of its keys.

use slab::Slab;

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

/// A table whose ids are never given twice, although its slots are.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    entries: Slab<T>,
    /// One for each slot that was ever used. Raised when its entry leaves.
    generations: Vec<u32>,
    key: std::marker::PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), generations: Vec::new(), key: std::marker::PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> K {
        let slot = self.entries.insert(value);
        if slot == self.generations.len() {
            // Generation 0 is never used: an id of all zeros names nothing.
            self.generations.push(1);
        }
        let number = u32::try_from(slot).expect("limits keep every table below 2^32 entries");
        K::from_parts(number, self.generations[slot])
    }

    pub(crate) fn get(&self, id: K) -> Option<&T> {
        let slot = id.slot() as usize;
        (self.generations.get(slot) == Some(&id.generation())).then(|| self.entries.get(slot))?
    }

    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let slot = id.slot() as usize;
        (self.generations.get(slot) == Some(&id.generation()))
            .then(|| self.entries.get_mut(slot))?
    }

    /// The living entry of a slot, for names that the core keeps itself and never lets grow stale.
    pub(crate) fn at_slot(&self, slot: u32) -> Option<&T> {
        self.entries.get(slot as usize)
    }

    /// The whole id of a living slot.
    pub(crate) fn id_at(&self, slot: u32) -> Option<K> {
        self.entries
            .contains(slot as usize)
            .then(|| K::from_parts(slot, self.generations[slot as usize]))
    }

    pub(crate) fn remove(&mut self, id: K) -> Option<T> {
        self.get(id)?;
        let slot = id.slot() as usize;
        self.generations[slot] = self.generations[slot].wrapping_add(1).max(1);
        Some(self.entries.remove(slot))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().map(|(slot, value)| {
            let number = u32::try_from(slot).expect("limits keep every table below 2^32 entries");
            (K::from_parts(number, self.generations[slot]), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use bo_units::ObjectId;

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
}
