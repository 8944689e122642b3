//! An object, as the program sees it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bo_units::{ByteCount, PageCount, PageRange, PageSize};
use bo_wire::{Access, Label, ObjectStat, Placement, Priority, Reply, Request};

use crate::byte_range::{covering_pages, whole_pages};
use crate::error::{Cause, Doing, Error, Misuse};
use crate::exclusive::{ExclusiveError, ExclusiveMapping};
use crate::export::ExportedObject;
use crate::handle::Handle;
use crate::mapping::Mapping;

/// A buffer object: bytes that can be mapped, shared, and are moved between VRAM and RAM by the
/// daemon while they are in use.
///
/// When the `Object` and all its [`Mapping`]s are dropped, this process lets go of it; once nobody
/// holds it, its bytes are gone.
///
/// # Example
///
/// ```no_run
/// use bo_client::{AllocSpec, Client};
///
/// let client = Client::builder().connect_default()?;
/// let object = client.allocate(AllocSpec::new(10_000))?;
/// assert!(object.requested_size() < object.size());
/// let mapping = object.map()?;
/// drop(object); // The mapping holds on to it.
/// mapping.write_at(0, b"still here")?;
/// # Ok::<(), bo_client::Error>(())
/// ```
pub struct Object {
    handle: Arc<Handle>,
    requested: ByteCount,
    label: Label,
}

impl Object {
    pub(crate) fn new(handle: Handle, requested: ByteCount, label: Label) -> Object {
        Object { handle: Arc::new(handle), requested, label }
    }

    /// The number by which operators know the object. It grants nothing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.handle.number().raw()
    }

    /// The size: what was asked for, rounded up to whole pages.
    #[must_use]
    pub fn size(&self) -> ByteCount {
        self.handle.size()
    }

    /// The size as it was asked for; [`size`](Object::size) for an imported object.
    #[must_use]
    pub fn requested_size(&self) -> ByteCount {
        self.requested
    }

    /// The unit in which the object moves.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.handle.page_size()
    }

    /// Where its pages would rather be, as the daemon granted it.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.handle.placement()
    }

    /// What may be done with it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.handle.access()
    }

    /// The name it was allocated under; empty for an imported object.
    #[must_use]
    pub fn label(&self) -> &str {
        self.label.as_str()
    }

    /// Maps the whole object, for all that its [`access`](Object::access) allows.
    ///
    /// # Errors
    ///
    /// [`Error::is_quota`], [`Error::is_gone`], [`Error::is_draining`]; or this process is out of
    /// address space or mappings.
    pub fn map(&self) -> Result<Mapping, Error> {
        self.map_pages(PageRange::whole(self.handle.pages()), self.access())
    }

    /// Maps the whole object for reading only.
    ///
    /// # Errors
    ///
    /// As [`map`](Object::map).
    pub fn map_read_only(&self) -> Result<Mapping, Error> {
        self.map_pages(PageRange::whole(self.handle.pages()), Access::ReadOnly)
    }

    /// Maps the bytes in `range`, which are whole pages of [`page_size`](Object::page_size).
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for any other range, [`Error::is_permission`] for more than the
    /// object's access, else as [`map`](Object::map).
    pub fn map_range(&self, range: Range<u64>, access: Access) -> Result<Mapping, Error> {
        let pages = whole_pages(&self.handle, &range);
        let pages = pages.map_err(|cause| {
            let bytes = ByteCount::new(range.end.saturating_sub(range.start));
            cause.while_doing(Doing::Map(bytes))
        })?;
        self.map_pages(pages, access)
    }

    fn map_pages(&self, pages: PageRange, access: Access) -> Result<Mapping, Error> {
        Mapping::create(&self.handle, pages, access)
            .map_err(|cause| cause.while_doing(Doing::Map(pages.count().bytes(self.page_size()))))
    }

    /// Maps the whole object for this process alone, as a plain slice of bytes.
    ///
    /// A slice must not change under its reader, so this is only for objects that nobody else can
    /// have: allocated by this client, never exported, and not mapped otherwise.
    ///
    /// # Errors
    ///
    /// [`ExclusiveError`], which holds the object and the reason: [`Error::is_invalid`] if others
    /// may have the object or it is mapped already, else as [`map`](Object::map).
    ///
    /// # Example
    ///
    /// ```no_run
    /// use bo_client::{AllocSpec, Client};
    ///
    /// let client = Client::builder().connect_default()?;
    /// let object = client.allocate(AllocSpec::new(1 << 20))?;
    /// let mut bytes = object.into_exclusive()?;
    /// bytes[..3].copy_from_slice(b"cba");
    /// bytes[..3].sort_unstable();
    /// assert_eq!(&bytes[..3], b"abc");
    /// # Ok::<(), bo_client::Error>(())
    /// ```
    pub fn into_exclusive(mut self) -> Result<ExclusiveMapping, ExclusiveError> {
        match self
            .check_alone()
            .and_then(|pages| Mapping::create(&self.handle, pages, Access::ReadWrite))
        {
            Ok(mapping) => Ok(ExclusiveMapping::new(mapping, self)),
            Err(cause) => Err(ExclusiveError::new(self, cause.while_doing(Doing::TakeExclusively))),
        }
    }

    /// Checks that nobody but the caller can reach the object's bytes.
    fn check_alone(&mut self) -> Result<PageRange, Cause> {
        // Each mapping holds the handle too. `get_mut` also makes what their threads did to the
        // mark before they let go visible here.
        let Some(handle) = Arc::get_mut(&mut self.handle) else {
            return Err(Cause::Misuse(Misuse::Mapped));
        };
        if handle.is_shared() {
            return Err(Cause::Misuse(Misuse::Shared));
        }
        Ok(PageRange::whole(handle.pages()))
    }

    /// Makes it possible for other processes to import the object, with at most `access`.
    ///
    /// # Errors
    ///
    /// [`Error::is_permission`] for more than the object's own access, [`Error::is_quota`],
    /// [`Error::is_gone`], [`Error::is_draining`].
    ///
    /// # Example
    ///
    /// ```no_run
    /// use bo_client::{Access, AllocSpec, Client};
    ///
    /// let client = Client::builder().connect_default()?;
    /// let object = client.allocate(AllocSpec::new(1 << 20))?;
    /// let exported = object.export(Access::ReadOnly)?;
    /// println!("import it by {}", exported.token());
    /// # Ok::<(), bo_client::Error>(())
    /// ```
    pub fn export(&self, access: Access) -> Result<ExportedObject, Error> {
        self.try_export(access).map_err(|cause| cause.while_doing(Doing::Export))
    }

    fn try_export(&self, access: Access) -> Result<ExportedObject, Cause> {
        check_access(self.access(), access)?;
        // Before asking: whatever comes of it, the object is not known to be ours alone any more.
        self.handle.mark_shared();
        let object = self.handle.number();
        let mut answer = self.handle.connection().call(&Request::Export { object, access })?;
        let Reply::Exported { token } = answer.reply else {
            return Err(self.handle.connection().link().unexpected(&answer));
        };
        Ok(ExportedObject::new(token, answer.descriptor()?, access))
    }

    /// Says that the whole object was used, for the daemon to consider when it evicts.
    ///
    /// # Errors
    ///
    /// [`Error::is_gone`].
    pub fn touch(&self) -> Result<(), Error> {
        self.touch_pages(PageRange::whole(self.handle.pages()))
            .map_err(|cause| cause.while_doing(Doing::Touch))
    }

    /// Says that the pages around the bytes in `range` were used.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if the range is not within the object, [`Error::is_gone`].
    pub fn touch_range(&self, range: Range<u64>) -> Result<(), Error> {
        covering_pages(&self.handle, &range)
            .and_then(|pages| self.touch_pages(pages))
            .map_err(|cause| cause.while_doing(Doing::Touch))
    }

    fn touch_pages(&self, pages: PageRange) -> Result<(), Cause> {
        if pages.is_empty() {
            return Ok(());
        }
        let (first_page, count) = (pages.first().get(), pages.count().get());
        let object = self.handle.number();
        let request = Request::Touch { object, first_page, pages: count };
        self.handle.connection().call_for_done(&request)
    }

    /// Brings the pages around the bytes in `range` into VRAM, and says how many of their bytes are
    /// resident now.
    ///
    /// What was used longest ago makes way for them, whoever has it, up to half of the pool in one
    /// call; the rest of a longer range stays where it is. It returns when that is done. Pages can
    /// be evicted again at any time; to keep them, use them.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if the range is not within the object, [`Error::is_gone`],
    /// [`Error::is_draining`].
    pub fn prefetch(&self, range: Range<u64>) -> Result<ByteCount, Error> {
        covering_pages(&self.handle, &range)
            .and_then(|pages| self.prefetch_pages(pages))
            .map_err(|cause| cause.while_doing(Doing::Prefetch))
    }

    fn prefetch_pages(&self, pages: PageRange) -> Result<ByteCount, Cause> {
        if pages.is_empty() {
            return Ok(ByteCount::ZERO);
        }
        let (first_page, count) = (pages.first().get(), pages.count().get());
        let object = self.handle.number();
        let request = Request::Prefetch { object, first_page, pages: count };
        let answer = self.handle.connection().call(&request)?;
        let Reply::Prefetched { resident_pages } = answer.reply else {
            return Err(self.handle.connection().link().unexpected(&answer));
        };
        Ok(PageCount::new(resident_pages).bytes(self.page_size()))
    }

    /// Says how dear the object's pages are from now on, also those that are in VRAM already.
    ///
    /// When pages must make way that are charged to the client that made this object, those of its
    /// objects with a lower priority go first. Other clients' pages are not measured by it.
    ///
    /// # Errors
    ///
    /// [`Error::is_permission`] if the object can only be read, [`Error::is_gone`].
    pub fn set_priority(&self, priority: Priority) -> Result<(), Error> {
        self.try_set_priority(priority).map_err(|cause| cause.while_doing(Doing::SetPriority))
    }

    fn try_set_priority(&self, priority: Priority) -> Result<(), Cause> {
        check_access(self.access(), Access::ReadWrite)?;
        let object = self.handle.number();
        self.handle.connection().call_for_done(&Request::SetPriority { object, priority })
    }

    /// The object's numbers at this instant.
    ///
    /// # Errors
    ///
    /// [`Error::is_gone`].
    pub fn stat(&self) -> Result<ObjectStat, Error> {
        self.try_stat().map_err(|cause| cause.while_doing(Doing::Stat))
    }

    fn try_stat(&self) -> Result<ObjectStat, Cause> {
        let request = Request::Stat { object: self.handle.number() };
        let answer = self.handle.connection().call(&request)?;
        let Reply::Stat(stat) = answer.reply else {
            return Err(self.handle.connection().link().unexpected(&answer));
        };
        Ok(stat)
    }
}

/// Checks `wanted` against what there is.
pub(crate) fn check_access(granted: Access, wanted: Access) -> Result<(), Cause> {
    if granted.allows(wanted) {
        return Ok(());
    }
    Err(Cause::Misuse(Misuse::ReadOnly { granted }))
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.id())
            .field("label", &self.label())
            .field("size", &self.size())
            .field("page_size", &self.page_size())
            .field("access", &self.access())
            .finish_non_exhaustive()
    }
}
