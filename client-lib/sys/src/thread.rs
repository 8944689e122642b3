//! What a thread may set about itself: its name, its processor, its signals.

// UNSAFETY: `rustix` has no safe way to block signals under a libc, so pthread_sigmask(3) it is.
#![expect(unsafe_code, reason = "pthread_sigmask")]

use std::{ffi::CString, io, mem::MaybeUninit, ptr};

use rustix::thread::CpuSet;

/// The kernel keeps sixteen bytes of a thread's name, the closing NUL among them.
const NAME_BYTES_MAX: usize = 15;

/// Keeps the calling thread on processor `cpu`, a number out of [`allowed_cpus`].
///
/// # Errors
///
/// If there is no such processor, or this process may not use it. The thread stays where it was
/// allowed to run before.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut only = CpuSet::new();
    only.set(cpu);
    rustix::thread::sched_setaffinity(None, &only)?;
    Ok(())
}

/// The processors that the calling thread may run on, in ascending order, at least one.
///
/// # Errors
///
/// If the kernel has more processors than fit its own smallest mask (1024).
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect())
}

/// Names the calling thread for `ps` and debuggers. The kernel keeps 15 bytes; what is longer is
/// cut at a character, and NULs are left out.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn set_name(name: &str) -> io::Result<()> {
    let mut kept = String::with_capacity(NAME_BYTES_MAX);
    for character in name.chars().filter(|&character| character != '\0') {
        if kept.len() + character.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    let name = CString::new(kept).expect("NULs were filtered out");
    rustix::thread::set_name(&name)?;
    Ok(())
}

/// Blocks every signal that can be blocked in the calling thread and in those it starts later.
///
/// A thread that answers faults calls it first, so that no handler runs on it.
///
/// # Errors
///
/// None on a kernel that is not broken.
pub fn block_all_signals() -> io::Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is large enough for a signal set; sigfillset(3) writes nothing else.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set was initialised by sigfillset just above and is only read; a null pointer
    // says that the old mask is not wanted.
    let code = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut()) };
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_line(field: &str) -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a known field");
        line[field.len()..].trim().to_owned()
    }

    fn on_a_new_thread(body: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(body);
        });
    }

    #[test]
    fn a_pinned_thread_has_one_processor() {
        on_a_new_thread(|| {
            let last = *allowed_cpus().unwrap().last().unwrap();
            pin_to_cpu(last).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [last]);
        });
    }

    #[test]
    fn a_thread_cannot_be_pinned_to_a_processor_that_is_not_there() {
        on_a_new_thread(|| {
            let before = allowed_cpus().unwrap();
            assert!(pin_to_cpu(1023).is_err());
            assert!(pin_to_cpu(usize::MAX).is_err());
            assert_eq!(allowed_cpus().unwrap(), before);
        });
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        on_a_new_thread(|| {
            set_name("fourteen bytes\u{e4}").unwrap();
            assert_eq!(status_line("Name:"), "fourteen bytes");
            set_name("a\0b").unwrap();
            assert_eq!(status_line("Name:"), "ab");
        });
    }

    #[test]
    fn all_but_the_unblockable_signals_are_blocked() {
        on_a_new_thread(|| {
            block_all_signals().unwrap();
            let blocked = u64::from_str_radix(&status_line("SigBlk:"), 16).unwrap();
            let bit = |signal: i32| 1_u64 << (signal - 1);
            let wanted = bit(libc::SIGTERM) | bit(libc::SIGUSR1) | bit(libc::SIGPROF);
            assert_eq!(blocked & wanted, wanted);
            assert_eq!(blocked & (bit(libc::SIGKILL) | bit(libc::SIGSTOP)), 0);
        });
    }
}
