//! The client process: one thread that does what it is told.

// UNSAFETY: fork(2), and a system call on memory that is watched.
#![expect(unsafe_code, reason = "fork and write")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use bo_sys::{
    KERNEL_PAGE_BYTES as PAGE,
    mapping::{ClientMapping, Sharing},
    socket,
    uffd::{UffdDevice, create_by_syscall},
};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, WaitOptions},
};

use crate::link::{Answer, Order};

/// What the orders have built so far.
#[derive(Default)]
struct State {
    /// Kept open: the last close would let readers have zeros.
    uffd: Option<OwnedFd>,
    mapping: Option<ClientMapping>,
}

/// Obeys until the other end is closed.
pub(crate) fn run() {
    let socket = io::stdin();
    let mut state = State::default();
    loop {
        let mut bytes = [0; 9];
        let mut received = socket::receive(&socket, &mut bytes).expect("a socket as stdin");
        if received.len == 0 {
            return;
        }
        let [order, operand @ ..] = bytes;
        let order = Order::ALL[usize::from(order)];
        let operand = u64::from_ne_bytes(operand);
        let result = state.obey(order, operand, received.descriptors.pop());
        let answer = match result {
            Ok(number) => Answer::Number(number),
            Err(error) => Answer::Failed(error.kind()),
        };
        let passed = match order {
            Order::CreateUffd => state.uffd.as_ref().map(AsFd::as_fd),
            Order::OpenDevice
            | Order::CallUserfaultfd
            | Order::Map
            | Order::Open
            | Order::Read
            | Order::Write
            | Order::WriteToPipe
            | Order::ForkAndRead
            | Order::ReopenForWriting => None,
        };
        socket::send(&socket, &answer.to_bytes(), passed.as_slice()).expect("the test waits");
    }
}

impl State {
    fn obey(&mut self, order: Order, operand: u64, passed: Option<OwnedFd>) -> io::Result<u64> {
        match order {
            Order::OpenDevice => UffdDevice::open().map(|_| 0),
            Order::CallUserfaultfd => create_by_syscall(false).map(|_| 0),
            Order::CreateUffd => {
                let device = UffdDevice::from(passed.expect("the device comes along"));
                self.uffd = Some(device.create()?);
                Ok(0)
            }
            Order::Map => {
                let file = passed.expect("the file comes along");
                let bytes = rustix::fs::fstat(&file)?.st_size.cast_unsigned();
                let shared = Sharing::Shared;
                let mapping = ClientMapping::reserve(file.as_fd(), 0, bytes, PAGE, shared)?;
                Ok(self.mapping.insert(mapping).address())
            }
            Order::Open => self.mapping.as_mut().expect("mapped before").open(true).map(|()| 0),
            Order::Read => {
                let mut byte = [0];
                self.mapping().read(operand, &mut byte).map_err(io::Error::other)?;
                Ok(u64::from(byte[0]))
            }
            Order::Write => {
                self.mapping().write(operand, &[1]).map_err(io::Error::other)?;
                Ok(0)
            }
            Order::WriteToPipe => self.write_to_pipe(operand),
            Order::ForkAndRead => self.fork_and_read(operand),
            Order::ReopenForWriting => {
                let file = passed.expect("the file comes along");
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::open(path, OFlags::RDWR, Mode::empty())?;
                Ok(0)
            }
        }
    }

    fn mapping(&self) -> &ClientMapping {
        self.mapping.as_ref().expect("mapped before")
    }

    /// The first byte of the page at `offset`, as write(2) has seen it.
    fn write_to_pipe(&self, offset: u64) -> io::Result<u64> {
        let (read_end, write_end) = rustix::pipe::pipe()?;
        let offset = usize::try_from(offset).expect("64 bits");
        let start = self.mapping().as_ptr().wrapping_add(offset);
        // SAFETY: the page is inside the mapping, which is open for reading.
        let count = unsafe { libc::write(write_end.as_raw_fd(), start.cast(), 1) };
        if count != 1 {
            return Err(io::Error::last_os_error());
        }
        let mut byte = [0];
        rustix::io::read(&read_end, &mut byte)?;
        Ok(u64::from(byte[0]))
    }

    /// The signal that a forked child dies of when it reads the mapping, or zero.
    fn fork_and_read(&self, offset: u64) -> io::Result<u64> {
        // SAFETY: this process has one thread, so the child may do whatever it could.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let seen = self.mapping().read(offset, &mut [0]);
            std::process::exit(i32::from(seen.is_err()));
        }
        let child = Pid::from_raw(child).filter(|_| 0 < child).ok_or(io::ErrorKind::Other)?;
        let found = rustix::process::waitpid(Some(child), WaitOptions::empty())?;
        let (_, status) = found.expect("waited without NOHANG");
        Ok(status.terminating_signal().map_or(0, |signal| u64::from(signal.unsigned_abs())))
    }
}
