//! A mapping of an object, as the program sees it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use bo_sys::KERNEL_PAGE_BYTES;
use bo_sys::mapping::{ClientMapping, Sharing};
use bo_units::{ByteCount, PageRange};
use bo_wire::{Access, ClaimedMapping, Reply, Request};

use crate::error::{Cause, Doing, Error, Misuse};
use crate::handle::Handle;
use crate::link::Link;
use crate::object::check_access;
use crate::watch::LiveMapping;

/// From this length on a mapping starts at a multiple of it, so that the kernel can use one entry
/// of a page middle directory for each such piece.
const LARGE_BYTES: u64 = 2 << 20;

/// Pages of an object at addresses of this process.
///
/// The addresses stay the same and stay valid until the mapping is dropped, wherever the daemon
/// moves the pages meanwhile. Touching a page that is not in VRAM takes as long as it takes to
/// bring it in; touching one that is costs nothing.
///
/// Others may have the object too and write to it at any time. So there is no `&[u8]` here, only
/// copies and atomics; see [`Object::into_exclusive`](crate::Object::into_exclusive) for slices.
///
/// Do not change what is mapped there by other means (mremap(2), mmap(2) with `MAP_FIXED`,
/// madvise(2)): the daemon goes on serving what is no longer there. Memory that the kernel holds on
/// to while nobody looks (`io_uring` fixed buffers, RDMA) may be evicted under it.
pub struct Mapping {
    /// There until the mapping is dropped, and then taken out by hand: a forked child has nothing
    /// there to unmap.
    raw: Option<ClientMapping>,
    number: ClaimedMapping,
    access: Access,
    handle: Arc<Handle>,
}

impl Mapping {
    /// Maps `pages`, which are pages of the object.
    ///
    /// In an order that leaves no instant at which somebody could touch a page that the daemon
    /// does not watch: such a touch would fill the hole with zeros, for everybody.
    pub(crate) fn create(
        handle: &Arc<Handle>,
        pages: PageRange,
        access: Access,
    ) -> Result<Mapping, Cause> {
        check_access(handle.access(), access)?;
        let reserved = reserve(handle, pages)?;
        let number = match watch(handle, &reserved, pages, access) {
            Ok(number) => number,
            Err(cause) if Link::leaves_doubt(&cause) => {
                // The daemon may yet watch these addresses, so they can never be anybody else's.
                // This costs no memory, and the connection has ended, so it happens once.
                let _for_ever = ManuallyDrop::new(reserved);
                return Err(cause);
            }
            Err(cause) => return Err(cause),
        };
        let handle = Arc::clone(handle);
        let mut mapping = Mapping { raw: Some(reserved), number, access, handle };
        let opened = mapping.raw_mut().open(access.is_writable());
        opened.map_err(Cause::host("allow access to a mapping"))?;
        Ok(mapping)
    }

    /// The length in bytes, never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> u64 {
        self.raw().len()
    }

    /// Where it begins. A multiple of 4 KiB, and of 2 MiB if it is that long.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.raw().address()
    }

    /// What may be done with it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Copies bytes out, from `offset` on.
    ///
    /// Others may write meanwhile. Every byte is read once and is whole; two neighbours may come
    /// from different writes.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if they are not all within the mapping. `target` is untouched then.
    pub fn read_at(&self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.raw().read(offset, target).map_err(|_| {
            let size = ByteCount::new(self.len());
            let cause = Cause::Misuse(Misuse::OutOfBounds { size });
            cause.while_doing(Doing::Read { offset, len: target.len() })
        })
    }

    /// Copies bytes in, from `offset` on.
    ///
    /// Others may read and write meanwhile. Every byte is written once; who reads may see some of
    /// them and not yet others, in any order.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if they are not all within the mapping, [`Error::is_permission`] if
    /// it is for reading only. Nothing is written then.
    pub fn write_at(&self, offset: u64, source: &[u8]) -> Result<(), Error> {
        let write = || {
            check_access(self.access, Access::ReadWrite)?;
            self.raw().write(offset, source).map_err(|_| {
                let size = ByteCount::new(self.len());
                Cause::Misuse(Misuse::OutOfBounds { size })
            })
        };
        write().map_err(|cause| cause.while_doing(Doing::Write { offset, len: source.len() }))
    }

    /// The four bytes at `offset` as an atomic, if they are aligned, inside, and may be written.
    ///
    /// Do not race accesses of different sizes to the same bytes, nor atomics with copies, where
    /// the outcome matters.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::sync::atomic::Ordering;
    ///
    /// # let client = bo_client::Client::builder().connect_default()?;
    /// let mapping = client.allocate(bo_client::AllocSpec::new(4096))?.map()?;
    /// let counter = mapping.atomic_u32(64).expect("aligned and inside");
    /// counter.fetch_add(1, Ordering::Relaxed);
    /// # Ok::<(), bo_client::Error>(())
    /// ```
    #[must_use]
    pub fn atomic_u32(&self, offset: u64) -> Option<&AtomicU32> {
        self.raw().atomic_u32(offset)
    }

    /// The eight bytes at `offset` as an atomic, if they are aligned, inside, and may be written.
    ///
    /// See [`atomic_u32`](Mapping::atomic_u32) on mixing sizes.
    #[must_use]
    pub fn atomic_u64(&self, offset: u64) -> Option<&AtomicU64> {
        self.raw().atomic_u64(offset)
    }

    /// All bytes as atomics, if they may be written: a store to a mapping for reading only would
    /// end the process.
    ///
    /// See [`atomic_u32`](Mapping::atomic_u32) on mixing sizes.
    #[must_use]
    pub fn atomics(&self) -> Option<&[AtomicU8]> {
        self.raw().atomic_u8s()
    }

    /// Where it begins, as a pointer for C or for a device. It is good for
    /// [`len`](Mapping::len) bytes, until the mapping is dropped.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.raw().as_ptr()
    }

    /// The mapping underneath, whose `unsafe` methods give slices to those who can promise that
    /// nobody else writes.
    #[must_use]
    pub fn raw(&self) -> &ClientMapping {
        self.raw.as_ref().expect("taken out by `drop` only")
    }

    pub(crate) fn raw_mut(&mut self) -> &mut ClientMapping {
        self.raw.as_mut().expect("taken out by `drop` only")
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let connection = self.handle.connection();
        let raw = self.raw.take();
        if connection.link().is_forked() {
            // A child does not inherit the mapping; something of its own may be there by now.
            let _not_ours = ManuallyDrop::new(raw);
            return;
        }
        // First the daemon lets go, then the addresses become free for others. If it is gone, it
        // has let go already.
        let _gone_then = connection.call_for_done(&Request::Unmap { mapping: self.number });
        if let (Some(watch), Some(raw)) = (connection.watch(), &raw) {
            watch.remove(raw.range());
        }
    }
}

/// Takes addresses for `pages`, which nobody can access yet.
fn reserve(handle: &Handle, pages: PageRange) -> Result<ClientMapping, Cause> {
    let offset = pages.first().offset(handle.page_size());
    let len = pages.count().bytes(handle.page_size()).get();
    let alignment = if len < LARGE_BYTES { KERNEL_PAGE_BYTES } else { LARGE_BYTES };
    // The kernel does not watch a shared mapping of a read-only descriptor. A private one, never
    // written to, shows the same pages.
    let sharing = match handle.access() {
        Access::ReadOnly => Sharing::PrivateReadOnly,
        Access::ReadWrite => Sharing::Shared,
    };
    ClientMapping::reserve(handle.file().as_fd(), offset, len, alignment, sharing)
        .map_err(Cause::host("reserve addresses for a mapping"))
}

/// Has the daemon watch `reserved`, and our own thread, if there is one.
fn watch(
    handle: &Handle,
    reserved: &ClientMapping,
    pages: PageRange,
    access: Access,
) -> Result<ClaimedMapping, Cause> {
    let connection = handle.connection();
    if let Some(watch) = connection.watch() {
        let offset = pages.first().offset(handle.page_size());
        let file = Arc::clone(handle.file());
        watch.add(LiveMapping { range: reserved.range(), file, offset });
    }
    let number = ask_for_mapping(handle, reserved.address(), pages, access);
    if let (Err(_), Some(watch)) = (&number, connection.watch()) {
        watch.remove(reserved.range());
    }
    number
}

fn ask_for_mapping(
    handle: &Handle,
    address: u64,
    pages: PageRange,
    access: Access,
) -> Result<ClaimedMapping, Cause> {
    let (object, connection) = (handle.number(), handle.connection());
    let (first_page, pages) = (pages.first().get(), pages.count().get());
    let request = Request::Map { object, address, first_page, pages, access };
    let answer = connection.call(&request)?;
    let Reply::Mapped { mapping } = answer.reply else {
        return Err(connection.link().unexpected(&answer));
    };
    Ok(ClaimedMapping::new(mapping))
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("object", &self.handle.number().raw())
            .field("range", &self.raw().range())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
