//! The owner of every frame: how many bytes may be present, and how many are.

use bo_units::ByteCount;

/// A budget of bytes. `used` covers frames from before their first byte is written until after
/// their hole is punched, so what is really present is never more.
#[derive(Debug)]
pub(crate) struct Pool {
    capacity: u64,
    used: u64,
    used_max: u64,
}

impl Pool {
    pub(crate) fn new(capacity: ByteCount) -> Self {
        Self { capacity: capacity.get() & !4095, used: 0, used_max: 0 }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// The most that was ever used at one time.
    pub(crate) fn used_max(&self) -> u64 {
        self.used_max
    }

    pub(crate) fn free(&self) -> u64 {
        self.capacity - self.used
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
