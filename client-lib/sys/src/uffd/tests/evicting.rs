//! Taking pages away from under writers.

use std::sync::{
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    mpsc::TryRecvError,
};

use super::*;
use crate::store::{Slot, StoreFile};

#[test]
fn protection_covers_pages_that_are_not_mapped_yet() {
    let world = World::new(1);
    world.fill(0, 10);
    world.protect(world.page(0));
    let writer = world.write(0, 11);
    world.expect_fault(0, FaultKind::WriteProtected, true);
    assert_eq!(world.read(0).done(), 10);
    world.unprotect(world.page(0));
    writer.done();
}

#[test]
fn punching_takes_the_page_from_the_client() {
    let world = World::new(1);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    world.object.punch(0, PAGE).unwrap();
    let reader = world.read(0);
    world.expect_fault(0, FaultKind::Missing, false);
    world.fill(0, 11);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(reader.done(), 11);
}

/// A page that was protected and then punched, and a writer of it.
fn evicted() -> (World, Worker<()>) {
    let world = World::new(1);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    world.protect(world.page(0));
    world.object.punch(0, PAGE).unwrap();
    let writer = world.write(0, 11);
    world.expect_fault(0, FaultKind::Missing, true);
    (world, writer)
}

#[test]
fn markers_survive_the_hole() {
    let (world, writer) = evicted();
    world.fill(0, 10);
    world.uffd.wake(world.page(0)).unwrap();
    world.expect_fault(0, FaultKind::WriteProtected, true);
    world.uffd.wake(world.page(0)).unwrap();
    world.expect_fault(0, FaultKind::WriteProtected, true);
    world.unprotect(world.page(0));
    writer.done();
}

#[test]
fn lifting_the_protection_of_a_hole_removes_its_markers() {
    let (world, writer) = evicted();
    world.unprotect(world.page(0));
    world.expect_fault(0, FaultKind::Missing, true);
    world.fill(0, 10);
    world.uffd.wake(world.page(0)).unwrap();
    writer.done();
    world.expect_no_fault();
}

#[test]
fn installing_overwrites_markers() {
    let (world, writer) = evicted();
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    writer.done();
    world.expect_no_fault();
}

#[test]
fn a_marker_makes_the_kernel_map_a_filled_page_protected_by_itself() {
    let world = World::new(1);
    world.fill(0, 10);
    world.protect(world.page(0));
    world.object.punch(0, PAGE).unwrap();
    world.fill(0, 10);
    assert_eq!(world.read(0).done(), 10);
    world.expect_no_fault();
    check_installed(&world.uffd.install(world.page(0), Protection::Writable), 0, PAGE);
    let writer = world.write(0, 11);
    world.expect_fault(0, FaultKind::WriteProtected, true);
    world.unprotect(world.page(0));
    writer.done();
}

#[test]
fn a_writer_caught_by_protection_faults_as_missing_after_the_punch() {
    let world = World::new(1);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    world.protect(world.page(0));
    let writer = world.write(0, 11);
    world.expect_fault(0, FaultKind::WriteProtected, true);
    world.object.punch(0, PAGE).unwrap();
    writer.waits();
    world.uffd.wake(world.page(0)).unwrap();
    world.expect_fault(0, FaultKind::Missing, true);
    world.fill(0, 10);
    world.install(world.page(0), Protection::Writable);
    writer.done();
    assert_eq!(world.file_byte(0), 11);
}

#[test]
fn an_unwatched_view_fills_a_hole_for_everybody() {
    let world = World::new(1);
    let mut alias = view(&world.object, 1);
    alias.open(false).unwrap();
    alias.read(0, &mut [0]).unwrap();
    assert_eq!(world.object.populated_bytes().unwrap(), PAGE);
    assert_eq!(world.read(0).done(), 0);
    world.expect_no_fault();
}

#[test]
fn an_unwatched_view_cannot_fill_a_hole_for_who_watches_minor_faults() {
    let world = World::strict(1);
    let mut alias = view(&world.object, 1);
    alias.open(false).unwrap();
    alias.read(0, &mut [0]).unwrap();
    assert_eq!(world.object.populated_bytes().unwrap(), PAGE);
    let reader = world.read(0);
    world.expect_fault(0, FaultKind::Minor, false);
    world.fill(0, 7);
    world.install(world.page(0), Protection::Writable);
    assert_eq!(reader.done(), 7);
}

#[test]
fn a_marker_does_not_make_the_kernel_map_a_page_by_itself_where_minor_faults_are_watched() {
    let world = World::strict(1);
    world.fill(0, 1);
    world.protect(world.page(0));
    world.object.punch(0, PAGE).unwrap();
    world.fill(0, 2);
    let writer = world.write(0, 3);
    world.expect_fault(0, FaultKind::Minor, true);
    world.install(world.page(0), Protection::Writable);
    writer.done();
    assert_eq!(world.file_byte(0), 3);
}

/// A thread that counts in the first page, and gives up when its last count is not there.
struct Counting {
    worker: Worker<bool>,
    progress: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Counting {
    fn start(world: &World) -> Counting {
        let progress = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&progress), Arc::clone(&stop));
        let mapping = Arc::clone(&world.mapping);
        let worker = work(move || {
            let counter = mapping.atomic_u64(8).unwrap();
            // A load and a store, not one locked instruction: the store is what may get lost.
            let mut counts = (0..).take_while(|_| !stopped.load(Relaxed));
            counts.all(|count| {
                let kept = counter.load(Relaxed) == count;
                counter.store(count + 1, Relaxed);
                told.store(count + 1, Relaxed);
                kept
            })
        });
        Counting { worker, progress, stop }
    }

    /// Waits until the thread has counted on, or given up.
    fn goes_on(&self) -> bool {
        let before = self.progress.load(Relaxed);
        while self.progress.load(Relaxed) == before {
            match self.worker.0.try_recv() {
                Ok(_) => return false,
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(TryRecvError::Disconnected) => panic!("the thread has failed"),
            }
        }
        true
    }
}

/// Evicts and refills the page under a busy writer, and says whether every write was kept.
fn keeps_writes(evictions: u32, protect: impl Fn(&World)) -> bool {
    let world = World::new(1);
    let store = StoreFile::create("store", PAGE).unwrap();
    let slot = [Slot { offset: 0, len: PAGE }];
    world.object.populate_zero(0, PAGE).unwrap();
    world.install(world.page(0), Protection::Writable);
    let counting = Counting::start(&world);
    for _ in 0..evictions {
        if !counting.goes_on() {
            return false;
        }
        protect(&world);
        store.copy_out(&world.object, 0, &slot).unwrap();
        world.object.punch(0, PAGE).unwrap();
        store.copy_in(&world.object, 0, &slot).unwrap();
        let outcome = world.uffd.install(world.page(0), Protection::Writable);
        assert!(matches!(outcome.end, InstallEnd::Complete), "{outcome:?}");
        // The writer may have come between the filling and the installing: the kernel maps the
        // page for it, by its marker, protected, and then there is nothing left to install.
        world.unprotect(world.page(0));
    }
    counting.stop.store(true, Relaxed);
    counting.worker.done()
}

#[test]
fn no_write_is_lost_to_an_eviction_that_protects_first() {
    assert!(keeps_writes(300, |world| world.protect(world.page(0))));
}

#[test]
fn writes_are_lost_to_an_eviction_that_does_not_protect() {
    assert!(!keeps_writes(100_000, |_| {}));
}
