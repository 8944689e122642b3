//! Descriptors and ranges: what can be watched, and by whom.

// UNSAFETY: to be a client that does odd things to its mappings.
#![expect(unsafe_code, reason = "mmap and mprotect")]

use super::*;

fn kind_of(fd: OwnedFd) -> AdoptError {
    Uffd::adopt(fd).expect_err("it was adopted")
}

#[test]
fn this_host_has_all_that_is_needed() {
    let probe = probe();
    assert_eq!(probe.device, Availability::Available);
    assert_eq!(probe.syscall, Availability::Available);
    assert_eq!(probe.user_mode_only, Availability::Available);
    assert!(probe.features.missing().is_empty(), "it lacks {}", probe.features.missing());
}

#[test]
fn only_a_fresh_userfaultfd_is_adopted() {
    let object = ObjectFile::create("anon_inode:[userfaultfd]", PAGE).unwrap();
    assert!(matches!(kind_of(object.try_clone_fd().unwrap()), AdoptError::NotUserfaultfd));
    let (read_end, _write_end) = rustix::pipe::pipe().unwrap();
    assert!(matches!(kind_of(read_end), AdoptError::NotUserfaultfd));
    let device = UffdDevice::open().unwrap().as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(kind_of(device), AdoptError::NotUserfaultfd));
    let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    assert!(matches!(kind_of(eventfd), AdoptError::NotUserfaultfd));

    let fresh = fresh();
    let duplicate = fresh.try_clone().unwrap();
    assert!(Uffd::adopt(fresh).is_ok());
    assert!(matches!(kind_of(duplicate), AdoptError::AlreadyInitialised));
}

#[test]
fn features_that_events_need_cannot_be_smuggled_in() {
    let fresh = fresh();
    ioctl::negotiate(fresh.as_fd(), userfaultfd_sys::UFFD_FEATURE_EVENT_REMOVE).unwrap();
    assert!(matches!(kind_of(fresh), AdoptError::AlreadyInitialised));
}

#[test]
fn user_mode_only_descriptors_are_adopted_too() {
    assert!(Uffd::adopt(create_by_syscall(true).unwrap()).is_ok());
    assert!(Uffd::adopt(create_by_syscall(false).unwrap()).is_ok());
}

#[test]
fn a_duplicate_can_be_rejoined() {
    let world = World::new(1);
    let duplicate = world.uffd.as_fd().try_clone_to_owned().unwrap();
    let second = Uffd::rejoin(duplicate).unwrap();
    let reader = world.read(0);
    assert_eq!(next_fault(&second).unwrap().address, world.page(0).start());
    world.fill(0, 10);
    check_installed(&second.install(world.page(0), Protection::Writable), PAGE, 0);
    assert_eq!(reader.done(), 10);
    let (read_end, _write_end) = rustix::pipe::pipe().unwrap();
    assert!(matches!(Uffd::rejoin(read_end), Err(AdoptError::NotUserfaultfd)));
}

#[test]
fn reading_never_blocks_whatever_a_client_does_to_the_flag() {
    let world = World::new(1);
    let flags = rustix::fs::fcntl_getfl(&world.uffd).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    rustix::fs::fcntl_setfl(&world.uffd, flags - rustix::fs::OFlags::NONBLOCK).unwrap();
    let uffd = world.uffd.try_clone().unwrap();
    let reader = work(move || uffd.read_events(&mut EventBuffer::new(1)).unwrap());
    assert_eq!(reader.done(), 0);
}

#[test]
fn poll_reports_an_error_without_the_flag() {
    let world = World::new(1);
    let flags = rustix::fs::fcntl_getfl(&world.uffd).unwrap();
    rustix::fs::fcntl_setfl(&world.uffd, flags - rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut waiting = [PollFd::new(&world.uffd, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut waiting, Some(&Timespec::default())).unwrap(), 1);
    assert_eq!(waiting[0].revents(), PollFlags::ERR);
}

#[test]
fn a_range_is_watched_by_one_userfaultfd() {
    let world = World::new(2);
    let second = Uffd::adopt(fresh()).unwrap();
    assert!(matches!(second.register(world.page(1)), RegisterOutcome::Busy));
    assert!(matches!(world.uffd.register(world.page(1)), RegisterOutcome::Registered));
}

#[test]
fn what_is_not_mapped_cannot_be_watched() {
    let world = World::new(1);
    let nowhere = AddressRange::new(PAGE, PAGE).unwrap();
    assert!(matches!(world.uffd.register(nowhere), RegisterOutcome::NotMapped));
    assert!(matches!(world.uffd.protect(nowhere), ProtectOutcome::NotMapped));
    assert!(matches!(world.uffd.unprotect(nowhere), ProtectOutcome::NotMapped));
    assert!(matches!(world.uffd.poison(nowhere), PoisonOutcome::NotMapped));
    let outcome = world.uffd.install(nowhere, Protection::Writable);
    assert!(matches!(outcome.end, InstallEnd::NotMapped));
    assert!(world.uffd.wake(nowhere).is_ok());
}

#[test]
fn memory_of_another_kind_cannot_be_installed() {
    let uffd = Uffd::adopt(fresh()).unwrap();
    let memory = memmap2::MmapMut::map_anon(16384).unwrap();
    let range = AddressRange::new(memory.as_ptr().addr() as u64, 16384).unwrap();
    assert!(matches!(uffd.register(range), RegisterOutcome::NotMapped));
    let registered = uffd.register_for(range, RegisterMode::MISSING);
    assert!(matches!(registered, RegisterOutcome::Registered));
    let outcome = uffd.install(range, Protection::Writable);
    assert!(matches!(outcome.end, InstallEnd::NotMapped), "{outcome:?}");
    assert_eq!((outcome.installed, outcome.present), (0, 0));
}

#[test]
fn a_gap_does_not_keep_the_rest_from_being_served() {
    let world = World::new(4);
    (0..4).for_each(|page| world.fill(page, 10));
    let flags = rustix::mm::MapFlags::PRIVATE | rustix::mm::MapFlags::FIXED;
    let none = rustix::mm::ProtFlags::empty();
    // SAFETY: the page belongs to the mapping of this test, and no reference to it exists. It is
    // replaced and not unmapped, lest another thread's memory take its place.
    unsafe { rustix::mm::mmap_anonymous(pointer(world.page(1)), 4096, none, flags) }.unwrap();
    let outcome = world.uffd.install(world.pages(0, 4), Protection::Writable);
    assert!(matches!(outcome.end, InstallEnd::NotMapped));
    assert_eq!(outcome.installed, 3 * PAGE);
    world.protect(world.pages(0, 4));
    let writer = world.write(3, 11);
    world.expect_fault(3, FaultKind::WriteProtected, true);
    world.unprotect(world.pages(0, 4));
    writer.done();
    assert_eq!(world.read(2).done(), 10);
}

#[test]
fn a_client_that_splits_its_mapping_is_still_served() {
    let world = World::new(4);
    (0..4).for_each(|page| world.fill(page, 10));
    let read = rustix::mm::MprotectFlags::READ;
    // SAFETY: nobody writes to the page, and no reference to it exists.
    unsafe { rustix::mm::mprotect(pointer(world.page(2)), 4096, read) }.unwrap();
    world.install(world.pages(0, 4), Protection::Writable);
    assert_eq!(world.read(2).done(), 10);
}

#[test]
fn a_read_only_descriptor_is_watched_only_in_a_private_mapping() {
    let world = World::new(1);
    let reader = world.object.reopen(true).unwrap();
    let reserve = |sharing| ClientMapping::reserve(reader.as_fd(), 0, PAGE, PAGE, sharing).unwrap();
    let uffd = Uffd::adopt(fresh()).unwrap();
    let shared = reserve(Sharing::Shared);
    assert!(matches!(uffd.register(shared.range()), RegisterOutcome::NotPermitted));
    let private = reserve(Sharing::PrivateReadOnly);
    assert!(matches!(uffd.register(private.range()), RegisterOutcome::Registered));
}

#[test]
fn a_private_mapping_sees_updates_and_holes() {
    let world = World::new(1);
    let reader = world.object.reopen(true).unwrap();
    let private = ClientMapping::reserve(reader.as_fd(), 0, PAGE, PAGE, Sharing::PrivateReadOnly);
    let mut private = private.unwrap();
    let uffd = Uffd::adopt(fresh()).unwrap();
    assert!(matches!(uffd.register(private.range()), RegisterOutcome::Registered));
    private.open(false).unwrap();
    let client = World { object: world.object, mapping: Arc::new(private), uffd };

    let waiting = client.read(0);
    client.expect_fault(0, FaultKind::Missing, false);
    client.fill(0, 10);
    client.install(client.page(0), Protection::Writable);
    assert_eq!(waiting.done(), 10);
    client.fill(0, 11);
    assert_eq!(client.read(0).done(), 11);
    client.object.punch(0, PAGE).unwrap();
    let waiting = client.read(0);
    client.expect_fault(0, FaultKind::Missing, false);
    client.fill(0, 12);
    client.install(client.page(0), Protection::Writable);
    assert_eq!(waiting.done(), 12);
}
