//! How threads wait: in system calls, under signals, and when everybody has gone.

// UNSAFETY: system calls on watched memory, and signals.
#![expect(unsafe_code, reason = "write, vmsplice and pthread_kill")]

use std::{os::unix::thread::JoinHandleExt, sync::Once};

use rustix::fd::AsRawFd;

use super::*;

/// write(2) of the first page to a pipe: the kernel itself takes the fault.
fn write_from(mapping: &ClientMapping, pipe: &OwnedFd) -> Result<isize, Option<i32>> {
    // SAFETY: the mapping is open for reading, and 4096 bytes long at least.
    let count = unsafe { libc::write(pipe.as_raw_fd(), mapping.as_ptr().cast(), 4096) };
    if count < 0 { Err(io::Error::last_os_error().raw_os_error()) } else { Ok(count) }
}

fn user_mode_only_world() -> World {
    let object = ObjectFile::create("world", PAGE).unwrap();
    let mut mapping = view(&object, 1);
    let uffd = Uffd::adopt(create_by_syscall(true).unwrap()).unwrap();
    assert!(matches!(uffd.register(mapping.range()), RegisterOutcome::Registered));
    mapping.open(true).unwrap();
    World { object, mapping: Arc::new(mapping), uffd }
}

#[test]
fn a_system_call_on_an_absent_page_waits_for_it() {
    let world = World::new(1);
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    let mapping = Arc::clone(&world.mapping);
    let writer = work(move || write_from(&mapping, &write_end));
    world.expect_fault(0, FaultKind::Missing, false);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(writer.done(), Ok(4096));
    let mut bytes = [0; 4096];
    assert_eq!(rustix::io::read(&read_end, &mut bytes).unwrap(), 4096);
    assert!(bytes == [10; 4096]);
}

#[test]
fn in_user_mode_only_a_system_call_on_an_absent_page_fails() {
    let world = user_mode_only_world();
    let (_read_end, write_end) = rustix::pipe::pipe().unwrap();
    assert_eq!(write_from(&world.mapping, &write_end), Err(Some(libc::EFAULT)));
    world.expect_no_fault();
    let reader = world.read(0);
    world.expect_fault(0, FaultKind::Missing, false);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(reader.done(), 10);
}

#[test]
fn the_last_close_lets_readers_have_zeros() {
    let world = World::new(1);
    let reader = world.read(0);
    world.expect_fault(0, FaultKind::Missing, false);
    let duplicate = world.uffd.try_clone().unwrap();
    let World { object, mapping: _mapping, uffd } = world;
    drop(uffd);
    reader.waits();
    drop(duplicate);
    assert_eq!(reader.done(), 0);
    assert_eq!(object.populated_bytes().unwrap(), PAGE);
}

/// Does nothing, but interrupts system calls.
fn install_a_handler() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: the handler does nothing, which is safe in any context.
        let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        assert_ne!(before, libc::SIG_ERR);
    });
}

#[test]
fn one_signal_makes_a_fault_in_a_system_call_report_itself_again_and_again() {
    install_a_handler();
    let world = World::new(1);
    let (_read_end, write_end) = rustix::pipe::pipe().unwrap();
    let mapping = Arc::clone(&world.mapping);
    let writer = thread::spawn(move || write_from(&mapping, &write_end));
    world.expect_fault(0, FaultKind::Missing, false);
    world.expect_no_fault();
    // SAFETY: the thread has not been joined, and the handler is installed.
    assert_eq!(unsafe { libc::pthread_kill(writer.as_pthread_t(), libc::SIGUSR1) }, 0);
    (0..100).for_each(|_| world.expect_fault(0, FaultKind::Missing, false));
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(writer.join().unwrap(), Ok(4096));
}

#[test]
fn one_signal_makes_a_fault_in_user_mode_report_itself_once_more() {
    install_a_handler();
    let world = World::new(1);
    let mapping = Arc::clone(&world.mapping);
    let reader = thread::spawn(move || mapping.read(0, &mut [0]));
    world.expect_fault(0, FaultKind::Missing, false);
    // SAFETY: the thread has not been joined, and the handler is installed.
    assert_eq!(unsafe { libc::pthread_kill(reader.as_pthread_t(), libc::SIGUSR1) }, 0);
    world.expect_fault(0, FaultKind::Missing, false);
    thread::sleep(GLANCE);
    world.expect_no_fault();
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(reader.join().unwrap(), Ok(()));
}

#[test]
fn a_page_that_the_kernel_holds_on_to_keeps_its_old_frame() {
    let world = World::new(1);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    let piece = libc::iovec { iov_base: world.mapping.as_ptr().cast(), iov_len: 4096 };
    // SAFETY: the mapping is open for reading, and 4096 bytes long.
    let count = unsafe { libc::vmsplice(write_end.as_raw_fd(), &raw const piece, 1, 0) };
    assert_eq!(count, 4096);
    world.object.punch(0, PAGE).unwrap();
    assert_eq!(world.object.data_runs().unwrap(), []);
    world.fill(0, 11);
    let mut bytes = [0; 4096];
    assert_eq!(rustix::io::read(&read_end, &mut bytes).unwrap(), 4096);
    assert!(bytes == [10; 4096]);
}
