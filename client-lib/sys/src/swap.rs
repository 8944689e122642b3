//! Swap areas: which device the kernel moves pages of its own accord to.

// UNSAFETY: `rustix` has no swapon(2) and no swapoff(2).
#![expect(unsafe_code, reason = "swapon and swapoff")]

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

/// Takes the lowest 15 bits of the flags for the priority (linux/swap.h).
const SWAP_FLAG_PREFER: i32 = 0x8000;

/// The highest priority that the kernel knows.
pub const SWAP_PRIORITY_MAX: u16 = 0x7fff;

/// Lets the kernel swap to `area`, a device or a file that begins with a swap header. Areas of a
/// higher `priority`, at most [`SWAP_PRIORITY_MAX`], are used first.
///
/// # Errors
///
/// `InvalidInput` if there is no swap header or the priority is too high, `PermissionDenied`
/// without CAP_SYS_ADMIN, `ResourceBusy` if it is in use already, otherwise the host's.
pub fn swap_on(area: &Path, priority: u16) -> io::Result<()> {
    if SWAP_PRIORITY_MAX < priority {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let area = CString::new(area.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a NUL and is only read during the call.
    let code = unsafe { libc::swapon(area.as_ptr(), SWAP_FLAG_PREFER | i32::from(priority)) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Brings everything back from `area` and stops swapping to it, which may take long.
///
/// # Errors
///
/// `InvalidInput` if it is no swap area in use, `PermissionDenied` without CAP_SYS_ADMIN,
/// `OutOfMemory` if what it holds does not fit into memory.
pub fn swap_off(area: &Path) -> io::Result<()> {
    let area = CString::new(area.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a NUL and is only read during the call.
    if unsafe { libc::swapoff(area.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_swapped_to_a_path_that_is_not_there() {
        let nowhere = Path::new("/nonexistent/swap");
        // As root `NotFound`, as anybody else `PermissionDenied`: never done.
        swap_on(nowhere, 0).unwrap_err();
        swap_off(nowhere).unwrap_err();
    }

    #[test]
    fn a_priority_above_the_highest_is_refused_before_the_kernel_is_asked() {
        let error = swap_on(Path::new("/nonexistent/swap"), SWAP_PRIORITY_MAX + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_without_a_swap_header_is_refused() {
        // This program itself: a file that is there, and no swap area.
        swap_on(Path::new("/proc/self/exe"), 0).unwrap_err();
        swap_off(Path::new("/proc/self/exe")).unwrap_err();
    }

    #[test]
    fn a_path_with_a_nul_cannot_be_meant() {
        let path = Path::new("/dev/zram\0");
        assert_eq!(swap_on(path, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(swap_off(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
