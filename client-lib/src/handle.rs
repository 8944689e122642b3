//! One hold on one object, given back when it is dropped.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bo_sys::memfd::{self, DescriptorAccess};
use bo_units::{ByteCount, PageCount, PageSize};
use bo_wire::{Access, ClaimedObject, Placement, Request};

use crate::connection::Connection;
use crate::error::Cause;
use crate::link::Answer;

/// What the daemon says that it gave us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) object: u64,
    pub(crate) bytes: u64,
    pub(crate) page_bytes: u32,
    pub(crate) placement: Placement,
    pub(crate) access: Access,
}

/// A hold on an object. The object and each of its mappings share it; the last one lets go.
#[derive(Debug)]
pub(crate) struct Handle {
    connection: Arc<Connection>,
    number: ClaimedObject,
    pages: PageCount,
    page_size: PageSize,
    placement: Placement,
    access: Access,
    file: Arc<OwnedFd>,
    /// Whether anybody but this handle's holders may have the object. Never goes back to false.
    shared: AtomicBool,
}

impl Handle {
    /// Takes what `answer` brought along as the hold that `grant` describes.
    pub(crate) fn take(
        connection: &Arc<Connection>,
        grant: Grant,
        mut answer: Answer,
    ) -> Result<Handle, Cause> {
        let number = ClaimedObject::new(grant.object);
        let file = match answer.descriptor() {
            Ok(file) => file,
            Err(cause) => {
                // We hold the object and have no use for it. If that fails too, the connection
                // has ended, and with it every hold.
                let _gone_then = connection.call_for_done(&Request::Release { object: number });
                return Err(cause);
            }
        };
        match grant.check(&file) {
            Ok((pages, page_size)) => Ok(Handle {
                connection: Arc::clone(connection),
                number,
                pages,
                page_size,
                placement: grant.placement,
                access: grant.access,
                file: Arc::new(file),
                shared: AtomicBool::new(false),
            }),
            Err(what) => Err(connection.link().fail(Cause::implausible(what))),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn number(&self) -> ClaimedObject {
        self.number
    }

    pub(crate) fn pages(&self) -> PageCount {
        self.pages
    }

    pub(crate) fn page_size(&self) -> PageSize {
        self.page_size
    }

    pub(crate) fn size(&self) -> ByteCount {
        self.pages.bytes(self.page_size)
    }

    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    pub(crate) fn mark_shared(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Asks for a handle that nobody else can be using, so that no order is needed.
    pub(crate) fn is_shared(&mut self) -> bool {
        *self.shared.get_mut()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // If it fails, the connection has ended, and the daemon takes everything back by itself;
        // or we are a forked child, and the object is still our parent's.
        let _gone_then = self.connection.call_for_done(&Request::Release { object: self.number });
    }
}

impl Grant {
    /// Checks that the numbers are those of an object, and that `file` may be what holds it.
    ///
    /// The daemon is trusted not to lie. But a mapping that is longer than its file raises
    /// `SIGBUS` far from here, so that a mistake is better found now.
    fn check(&self, file: &OwnedFd) -> Result<(PageCount, PageSize), &'static str> {
        let page_size = PageSize::new(self.page_bytes.into());
        let page_size = page_size.map_err(|_| "the page size of the object is none")?;
        let bytes = ByteCount::new(self.bytes);
        let pages = bytes.pages_ceil(page_size).ok_or("the object has too many pages")?;
        if pages.is_zero() || !bytes.is_whole_pages(page_size) {
            return Err("the object is not a number of whole pages");
        }
        let status = rustix::fs::fstat(file).map_err(|_| "the descriptor has no status")?;
        if u64::try_from(status.st_size).is_ok_and(|len| len < self.bytes) {
            return Err("the descriptor is of something smaller than the object");
        }
        let expected = match self.access {
            Access::ReadOnly => DescriptorAccess::ReadOnly,
            Access::ReadWrite => DescriptorAccess::ReadWrite,
        };
        match memfd::identify(file.as_fd()) {
            Ok((_, access)) if access == expected => Ok((pages, page_size)),
            Ok(_) | Err(_) => Err("the descriptor has not the access that was granted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bo_sys::memfd::ObjectFile;

    use super::*;

    const HONEST: Grant = Grant {
        object: 1,
        bytes: 128 << 10,
        page_bytes: 64 << 10,
        placement: Placement::Vram,
        access: Access::ReadWrite,
    };

    fn check(grant: Grant) -> Result<(PageCount, PageSize), &'static str> {
        let file = ObjectFile::create("grant", 128 << 10).expect("a memory file");
        grant.check(&file.try_clone_fd().expect("a descriptor"))
    }

    #[test]
    fn an_honest_grant_is_taken() {
        assert_eq!(check(HONEST), Ok((PageCount::new(2), PageSize::KIB_64)));
    }

    #[test]
    fn an_implausible_grant_cannot_be_taken() {
        assert!(check(Grant { page_bytes: 5, ..HONEST }).is_err());
        assert!(check(Grant { bytes: 0, ..HONEST }).is_err());
        assert!(check(Grant { bytes: 4096, ..HONEST }).is_err());
        assert!(check(Grant { bytes: 192 << 10, ..HONEST }).is_err());
        assert!(check(Grant { bytes: u64::MAX, ..HONEST }).is_err());
        assert!(check(Grant { access: Access::ReadOnly, ..HONEST }).is_err());
    }
}
