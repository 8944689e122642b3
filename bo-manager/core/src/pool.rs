//! The owner of every frame: how many bytes may be present, and how many are.

use bo_units::ByteCount;

/// A budget of bytes. `used` covers frames from before their first byte is written until after
/// their hole is punched, so what is really present is never more.
#[derive(Debug)]
pub(crate) struct Pool {
    /// What may be used.
    size: u64,
    used: u64,
    used_max: u64,
}

impl Pool {
    pub(crate) fn new(size: ByteCount) -> Self {
        Self { size: size.get() & !4095, used: 0, used_max: 0 }
    }

    /// The size that was asked for last. Nothing is taken beyond it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The ceiling at this moment: the size, or what is still in use beyond it while the pool
    /// shrinks. It falls with every frame that leaves, down to the size.
    pub(crate) fn capacity(&self) -> u64 {
        self.size.max(self.used)
    }

    /// Another size from now on. It may be smaller than what is in use.
    pub(crate) fn resize(&mut self, size: u64) {
        assert!(size.is_multiple_of(4096), "a pool is made of whole pages");
        self.size = size;
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// The most that was ever used at one time.
    pub(crate) fn used_max(&self) -> u64 {
        self.used_max
    }

    pub(crate) fn free(&self) -> u64 {
        self.size.saturating_sub(self.used)
    }

    pub(crate) fn take(&mut self, bytes: u64) {
        assert!(bytes <= self.free(), "room is looked for before it is taken");
        self.used += bytes;
        self.used_max = self.used_max.max(self.used);
    }

    pub(crate) fn put_back(&mut self, bytes: u64) {
        assert!(bytes <= self.used, "no frame is given back twice");
        self.used -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pool_is_rounded_down_to_whole_pages() {
        assert_eq!(Pool::new(ByteCount::new(8191)).capacity(), 4096);
        assert_eq!(Pool::new(ByteCount::new(4095)).free(), 0);
    }

    #[test]
    fn a_pool_that_shrinks_gives_nothing_and_its_ceiling_falls_with_what_leaves() {
        let mut pool = Pool::new(ByteCount::new(4 * 4096));
        pool.take(3 * 4096);
        pool.resize(4096);
        assert_eq!((pool.capacity(), pool.free()), (3 * 4096, 0));
        pool.put_back(4096);
        assert_eq!((pool.capacity(), pool.free()), (2 * 4096, 0));
        pool.put_back(2 * 4096);
        assert_eq!((pool.capacity(), pool.free()), (4096, 4096));
    }

    #[test]
    #[should_panic(expected = "room is looked for")]
    fn one_byte_more_than_is_free_cannot_be_taken() {
        Pool::new(ByteCount::new(4096)).take(4097);
    }

    #[test]
    #[should_panic(expected = "no frame is given back twice")]
    fn what_was_not_taken_cannot_be_put_back() {
        Pool::new(ByteCount::new(4096)).put_back(1);
    }

    proptest! {
        #[test]
        fn used_and_free_add_up(steps in proptest::collection::vec(1_u64..9, 0..100)) {
            let mut pool = Pool::new(ByteCount::new(1 << 16));
            let mut taken = Vec::new();
            let mut most = 0;
            for count in steps {
                if count * 4096 <= pool.free() {
                    pool.take(count * 4096);
                    taken.push(count * 4096);
                } else if let Some(bytes) = taken.pop() {
                    pool.put_back(bytes);
                }
                let used: u64 = taken.iter().sum();
                most = most.max(used);
                prop_assert_eq!(pool.used(), used);
                prop_assert_eq!(pool.free(), pool.capacity() - used);
                prop_assert_eq!(pool.used_max(), most);
            }
        }
    }
}
