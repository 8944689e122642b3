//! A mapping that nobody else can have, as a plain slice of bytes.

// UNSAFETY: a slice of mapped memory needs the promise that nobody else writes there. The promise
// is kept by this crate's protocol with the daemon, which `bo-sys` knows nothing of: a safe
// function there could only believe it.
#![expect(unsafe_code, reason = "the proof that nobody else has the object is made here")]

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::Error;
use crate::mapping::Mapping;
use crate::object::Object;

/// A whole object, mapped for this process alone: a slice of bytes.
///
/// Made by [`Object::into_exclusive`], which makes sure that nobody else can have the object. It
/// has no way of mapping or exporting the object; [`into_object`](ExclusiveMapping::into_object)
/// ends it first.
pub struct ExclusiveMapping {
    /// Before `object`, so that it is unmapped first.
    ///
    /// Invariant: the only mapping of the object, which was allocated by this connection, never
    /// exported, and whose only handle is shared by these two fields.
    mapping: Mapping,
    object: Object,
}

impl ExclusiveMapping {
    /// `mapping` is a writable mapping of all of `object`, and [`Object::into_exclusive`] has seen
    /// that there was no other and that the object was never shared.
    pub(crate) fn new(mapping: Mapping, object: Object) -> ExclusiveMapping {
        ExclusiveMapping { mapping, object }
    }

    /// The number by which operators know the object.
    #[must_use]
    pub fn object_id(&self) -> u64 {
        self.object.id()
    }

    /// Unmaps the object, and gives it back to be mapped or exported otherwise.
    #[must_use]
    pub fn into_object(self) -> Object {
        drop(self.mapping);
        self.object
    }
}

impl Deref for ExclusiveMapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: (1) nobody writes to these pages while the slice borrows `self`. No process: the
        // object was never exported, so the daemon has given its file to nobody but this
        // connection, whose only handle is in `self`, and the daemon itself only moves bytes.
        // No other mapping: the invariant of `mapping`; `raw` of it is not handed out. No device:
        // nobody had its address but by a slice like this one.
        unsafe { self.mapping.raw().as_slice() }
    }
}

impl DerefMut for ExclusiveMapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: (1) nobody else reads or writes these pages, for the reasons given in `deref`;
        // and in this process every other slice of them borrows `self`, which is borrowed
        // exclusively here.
        unsafe { self.mapping.raw_mut().as_mut_slice() }
    }
}

impl fmt::Debug for ExclusiveMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: showing them would bring them all in.
        f.debug_struct("ExclusiveMapping").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}

/// An object that could not be taken exclusively, and why.
#[derive(Debug)]
pub struct ExclusiveError {
    /// The object, as it was.
    pub object: Object,
    /// Why not.
    pub error: Error,
}

impl ExclusiveError {
    pub(crate) fn new(object: Object, error: Error) -> ExclusiveError {
        ExclusiveError { object, error }
    }
}

impl fmt::Display for ExclusiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ExclusiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Lets go of the object.
impl From<ExclusiveError> for Error {
    fn from(error: ExclusiveError) -> Error {
        error.error
    }
}
