//! Answering faults: what maps pages, what wakes, and what poisons.

use super::*;

#[test]
fn one_continue_installs_a_run_without_minor_registration() {
    let world = World::new(8);
    let reader = world.read(3);
    world.expect_fault(3, FaultKind::Missing, false);
    (0..8).for_each(|page| world.fill(page, 10));
    world.install(world.pages(0, 8), Protection::Writable);
    assert_eq!(reader.done(), 10);
    assert_eq!(world.read(7).done(), 10);
    world.write(0, 11).done();
    world.expect_no_fault();
}

#[test]
fn a_page_installed_protected_reports_its_first_write() {
    let world = World::new(1);
    world.fill(0, 10);
    world.install(world.page(0), Protection::WriteProtected);
    assert_eq!(world.read(0).done(), 10);
    let writer = world.write(0, 11);
    world.expect_fault(0, FaultKind::WriteProtected, true);
    assert_eq!(world.file_byte(0), 10);
    world.unprotect(world.page(0));
    writer.done();
    assert_eq!(world.file_byte(0), 11);
}

#[test]
fn a_hole_cannot_be_installed_and_its_waiter_faults_again() {
    let world = World::new(3);
    world.fill(0, 10);
    let reader = world.read(1);
    world.expect_fault(1, FaultKind::Missing, false);
    let outcome = world.uffd.install(world.pages(0, 3), Protection::Writable);
    assert!(matches!(outcome.end, InstallEnd::Absent));
    assert_eq!((outcome.installed, outcome.present), (PAGE, 0));
    world.expect_fault(1, FaultKind::Missing, false);
    world.fill(1, 11);
    world.install(world.page(1), Protection::Writable);
    assert_eq!(reader.done(), 11);
}

#[test]
fn a_present_page_does_not_wake_by_itself_but_install_does() {
    let world = World::new(1);
    let reader = world.read(0);
    world.expect_fault(0, FaultKind::Missing, false);
    world.fill(0, 10);
    let page = world.page(0);
    world.uffd.inner.r#continue(pointer(page), 4096, false).unwrap();
    let again = ioctl::install(world.uffd.as_fd(), page, Protection::Writable);
    assert_eq!(again, Progress { bytes: 0, stop: Some(Errno::EXIST) });
    reader.waits();
    check_installed(&world.uffd.install(page, Protection::Writable), 0, PAGE);
    assert_eq!(reader.done(), 10);
}

#[test]
fn install_steps_over_present_pages() {
    let world = World::new(6);
    (0..6).for_each(|page| world.fill(page, 10));
    world.install(world.page(1), Protection::Writable);
    world.install(world.pages(3, 2), Protection::Writable);
    let outcome = world.uffd.install(world.pages(0, 6), Protection::Writable);
    check_installed(&outcome, 3 * PAGE, 3 * PAGE);
    assert_eq!(world.read(5).done(), 10);
    world.expect_no_fault();
}

#[test]
fn a_populated_page_can_be_installed_without_a_copy() {
    let world = World::new(2);
    world.object.populate_zero(0, 2 * PAGE).unwrap();
    world.install(world.pages(0, 2), Protection::Writable);
    assert_eq!(world.read(1).done(), 0);
    world.expect_no_fault();
}

#[test]
fn a_fault_is_reported_once_and_again_after_a_wake() {
    let world = World::new(1);
    let writer = world.write(0, 12);
    world.expect_fault(0, FaultKind::Missing, true);
    writer.waits();
    world.expect_no_fault();
    world.uffd.wake(world.page(0)).unwrap();
    world.expect_fault(0, FaultKind::Missing, true);
    world.fill(0, 10);
    world.uffd.wake(world.page(0)).unwrap();
    writer.done();
    assert_eq!(world.file_byte(0), 12);
}

#[test]
fn events_come_in_one_read() {
    let world = World::new(4);
    let readers: Vec<_> = (0..4).map(|page| world.read(page)).collect();
    world.expect_pending(4);
    let mut buffer = EventBuffer::new(3);
    assert_eq!(world.uffd.read_events(&mut buffer).unwrap(), 3);
    let first: Vec<u64> = buffer.events().map(|fault| fault.address).collect();
    assert_eq!(world.uffd.read_events(&mut buffer).unwrap(), 1);
    let mut all: Vec<u64> = first.into_iter().chain(buffer.events().map(|f| f.address)).collect();
    all.sort_unstable();
    assert_eq!(all, world.pages(0, 4).pages().map(AddressRange::start).collect::<Vec<_>>());
    assert_eq!(buffer.foreign(), 0);
    (0..4).for_each(|page| world.fill(page, 10));
    world.install(world.pages(0, 4), Protection::Writable);
    assert!(readers.iter().all(|reader| reader.done() == 10));
}

#[test]
fn the_crates_own_read_gives_the_same_events() {
    let world = World::new(1);
    let writer = world.write(0, 1);
    let mut waiting = [PollFd::new(&world.uffd, PollFlags::IN)];
    rustix::event::poll(&mut waiting, None).unwrap();
    let mut buffer = EventBuffer::new(4);
    buffer.fill_classic(&world.uffd.inner).unwrap();
    let address = world.page(0).start();
    let [fault] = buffer.events().collect::<Vec<_>>()[..] else { panic!("not one fault") };
    assert_eq!((fault.address, fault.write, fault.kind), (address, true, FaultKind::Missing));
    assert_ne!(fault.thread, 0);
    world.object.populate_zero(0, PAGE).unwrap();
    world.install(world.page(0), Protection::Writable);
    writer.done();
}

#[test]
fn poisoning_leaves_present_pages_alone() {
    let world = World::new(3);
    world.fill(1, 10);
    world.install(world.page(1), Protection::Writable);
    assert!(matches!(world.uffd.poison(world.page(1)), PoisonOutcome::Present));
    assert!(matches!(world.uffd.poison(world.pages(0, 3)), PoisonOutcome::Poisoned));
    assert_eq!(world.read(1).done(), 10);
    // Only what is poisoned counts as present when it is poisoned again.
    assert!(matches!(world.uffd.poison(world.pages(0, 3)), PoisonOutcome::Present));
}

#[test]
fn installing_a_poisoned_page_heals_it() {
    let world = World::new(1);
    assert!(matches!(world.uffd.poison(world.page(0)), PoisonOutcome::Poisoned));
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(world.read(0).done(), 10);
}

#[test]
fn poison_gets_past_the_markers_of_an_eviction() {
    let world = World::new(2);
    (0..2).for_each(|page| world.fill(page, 10));
    world.install(world.pages(0, 2), Protection::Writable);
    world.protect(world.pages(0, 2));
    world.object.punch(0, PAGE).unwrap();
    let refused = ioctl::poison(world.uffd.as_fd(), world.page(0));
    assert_eq!(refused.stop, Some(Errno::EXIST));
    assert!(matches!(world.uffd.poison(world.pages(0, 2)), PoisonOutcome::Poisoned));
    // The page that is still there can be used for good, without anybody to answer.
    world.write(1, 11).done();
    world.expect_no_fault();
}
