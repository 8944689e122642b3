//! Processes and their threads: fork, signals, the memory of others.

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::process::{Pid, WaitOptions};

use crate::order::Ended;

static SIGNALS: AtomicU64 = AtomicU64::new(0);
static SIGNALLED_THREAD: AtomicI32 = AtomicI32::new(0);

/// From now on SIGUSR1 is counted, and interrupted system calls are restarted.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn count_signals() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(c_int) = note_signal;
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does only what a handler may: atomics and gettid(2).
    match unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn note_signal(_: c_int) {
    // SAFETY: a system call without arguments.
    let thread = unsafe { libc::gettid() };
    SIGNALLED_THREAD.store(thread, Ordering::Relaxed);
    SIGNALS.fetch_add(1, Ordering::Release);
}

/// How many signals have come.
#[must_use]
pub fn signals() -> u64 {
    SIGNALS.load(Ordering::Acquire)
}

/// The thread that handled the last one.
#[must_use]
pub fn signalled_thread() -> i32 {
    SIGNALLED_THREAD.load(Ordering::Acquire)
}

/// Sends SIGUSR1 to one thread of a process.
///
/// # Errors
///
/// The kernel's: there is no such thread, or it is another user's.
pub fn signal_thread(process: Pid, thread: i32) -> io::Result<()> {
    let process = process.as_raw_nonzero().get();
    // SAFETY: tgkill(2) takes three integers.
    match unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks; the child loads a word from `address` and exits with it. Says how the child ended.
///
/// # Errors
///
/// The kernel's.
pub fn fork_and_load(address: u64) -> io::Result<Ended> {
    // SAFETY: the child uses nothing that another thread may hold: one load and _exit(2).
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(super::load_at(address) != 0);
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) };
    }
    let Some(pid) = Pid::from_raw(child).filter(|_| 0 < child) else {
        return Err(io::Error::last_os_error());
    };
    let waited = rustix::process::waitpid(Some(pid), WaitOptions::empty())?;
    let (_, status) = waited.ok_or(io::ErrorKind::NotFound)?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(Ended::Exited(code)),
        (None, Some(signal)) => Ok(Ended::Signalled(signal)),
        (None, None) => Err(io::Error::other("the child neither exited nor was killed")),
    }
}

/// process_vm_readv(2) of what process `pid` has at `address`.
///
/// # Errors
///
/// The kernel's, or `UnexpectedEof` if not all could be read.
pub fn process_vm_read(pid: Pid, address: u64, target: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: target.as_mut_ptr().cast(), iov_len: target.len() };
    let remote = libc::iovec { iov_base: super::pointer(address).cast(), iov_len: target.len() };
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: the kernel writes to `target`, which is ours; what it reads may be anything.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(read) {
        Ok(read) if read == target.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
