//! `io_uring` on managed memory, one operation at a time.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use bo_client::Mapping;
use io_uring::{IoUring, opcode, squeue, types};

use crate::{PAGE, PAGE_LEN};

/// One direction of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From memory to the file.
    Write,
    /// From the file to memory.
    Read,
}

/// A ring with room for one operation.
pub struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The kernel's; a machine that forbids `io_uring` fails the test that needs it.
    pub fn new() -> io::Result<Ring> {
        IoUring::new(2).map(Ring)
    }

    /// Moves a page between a mapping and the same place in a file.
    ///
    /// # Errors
    ///
    /// The kernel's, or `UnexpectedEof` if it was not a whole page.
    pub fn page(
        &mut self,
        transfer: Transfer,
        file: impl AsFd,
        mapping: &Mapping,
        index: u64,
    ) -> io::Result<()> {
        let (fd, start) = (types::Fd(file.as_fd().as_raw_fd()), super::place(mapping, index));
        let len = u32::try_from(PAGE_LEN).expect("a page is small");
        let entry = match transfer {
            Transfer::Write => opcode::Write::new(fd, start, len).offset(index * PAGE).build(),
            Transfer::Read => opcode::Read::new(fd, start, len).offset(index * PAGE).build(),
        };
        self.run(&entry)
    }

    /// The same, by way of a registered buffer, which is given back afterwards.
    ///
    /// # Errors
    ///
    /// As [`Ring::page`].
    pub fn fixed_page(
        &mut self,
        transfer: Transfer,
        file: impl AsFd,
        mapping: &Mapping,
        index: u64,
    ) -> io::Result<()> {
        let (fd, start) = (types::Fd(file.as_fd().as_raw_fd()), super::place(mapping, index));
        let len = u32::try_from(PAGE_LEN).expect("a page is small");
        let buffer = libc::iovec { iov_base: start.cast(), iov_len: PAGE_LEN };
        // SAFETY: the mapping outlives the registration, which ends below.
        unsafe { self.0.submitter().register_buffers(&[buffer]) }?;
        let offset = index * PAGE;
        let entry = match transfer {
            Transfer::Write => opcode::WriteFixed::new(fd, start, len, 0).offset(offset).build(),
            Transfer::Read => opcode::ReadFixed::new(fd, start, len, 0).offset(offset).build(),
        };
        let moved = self.run(&entry);
        self.0.submitter().unregister_buffers()?;
        moved
    }

    fn run(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: file and memory are borrowed by our caller until the operation is complete,
        // which is awaited here.
        unsafe { self.0.submission().push(entry) }.expect("the ring is empty");
        self.0.submit_and_wait(1)?;
        let done = self.0.completion().next().expect("one was waited for");
        match usize::try_from(done.result()) {
            Ok(PAGE_LEN) => Ok(()),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-done.result())),
        }
    }
}
