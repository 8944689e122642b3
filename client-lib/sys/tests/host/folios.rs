//! Huge folios in ordinary shared memory.

use std::os::fd::AsRawFd;

use bo_sys::window::Filler;
use memmap2::{Advice, MmapOptions};

use super::*;

/// Settings under which a write makes huge folios.
const WILLING: [ShmemHuge; 2] = [ShmemHuge::WithinSize, ShmemHuge::Always];

/// The bytes of the file's first huge page that are in one huge folio, as a mapping shows it.
fn huge_bytes(file: &ObjectFile) -> u64 {
    let len = usize::try_from(file.len()).unwrap();
    let view = MmapOptions::new().len(len).map_raw_read_only(file.as_fd().as_raw_fd()).unwrap();
    assert!((view.as_ptr().addr() as u64).is_multiple_of(HUGE), "the kernel aligns such mappings");
    view.advise(Advice::PopulateRead).unwrap();
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("\n{:x}-", view.as_ptr().addr());
    let entry = smaps.split_once(&start).expect("it is mapped").1;
    let line = entry.lines().find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn a_write_of_a_whole_huge_page_makes_one_huge_folio_and_its_punch_leaves_a_hole() {
    for setting in WILLING {
        let _host = Host::alone().with_shmem(setting);
        let Stock { file, store, slots } =
            Stock::new(ObjectFile::create("folios", 4 * HUGE).unwrap(), HUGE);
        store.copy_in(&file, 0, &slots).unwrap();
        assert_eq!(file.populated_bytes().unwrap(), 2 * HUGE);
        file.punch(0, HUGE).unwrap();
        assert_eq!(file.data_runs().unwrap(), [(HUGE, HUGE)]);
        assert_bytes(&file, HUGE, HUGE, 0xa5);
        file.populate_zero(0, HUGE).unwrap();
        assert_eq!(file.populated_bytes().unwrap(), 2 * HUGE);
        store.copy_in(&file, 2 * HUGE, &slots).unwrap();
        assert_eq!(huge_bytes(&file), 4 * HUGE, "{setting}");
    }
}

#[test]
fn a_write_of_a_small_page_takes_its_neighbours_along() {
    for setting in WILLING {
        let _host = Host::alone().with_shmem(setting);
        let Stock { file, store, slots } =
            Stock::new(ObjectFile::create("folios", 2 * HUGE).unwrap(), PAGE);
        store.copy_in(&file, 5 * PAGE, &slots[..1]).unwrap();
        // That is why small pages are filled by way of a window here.
        assert_eq!(file.populated_bytes().unwrap(), HUGE, "{setting}");
    }
}

#[test]
fn small_pages_filled_by_way_of_a_window_stay_small() {
    for setting in [WILLING.as_slice(), &[ShmemHuge::Never, ShmemHuge::Force]].concat() {
        let _host = Host::alone().with_shmem(setting);
        let Stock { file, store, slots } =
            Stock::new(ObjectFile::create("folios", 2 * HUGE).unwrap(), PAGE);
        let window = Filler::new().unwrap().open(&file).unwrap();
        store.copy_in_by(&window, &file, 5 * PAGE, &slots).unwrap();
        window.zero(9 * PAGE, 3 * PAGE).unwrap();
        assert_eq!(file.data_runs().unwrap(), [(5 * PAGE, 2 * PAGE), (9 * PAGE, 3 * PAGE)]);
        assert_eq!(file.populated_bytes().unwrap(), 5 * PAGE, "{setting}");
        assert_bytes(&file, 5 * PAGE, PAGE, 0x5a);
        assert_bytes(&file, 6 * PAGE, PAGE, 0xa5);
        assert_bytes(&file, 9 * PAGE, 3 * PAGE, 0);
        // A punched page is a hole.
        file.punch(6 * PAGE, PAGE).unwrap();
        file.punch(10 * PAGE, PAGE).unwrap();
        let rest = [(5 * PAGE, PAGE), (9 * PAGE, PAGE), (11 * PAGE, PAGE)];
        assert_eq!(file.data_runs().unwrap(), rest, "{setting}");
        assert_eq!(file.populated_bytes().unwrap(), 3 * PAGE);
        // Zeros keep what is there, a fill replaces it.
        window.zero(4 * PAGE, 3 * PAGE).unwrap();
        assert_bytes(&file, 5 * PAGE, PAGE, 0x5a);
        store.copy_in_by(&window, &file, 4 * PAGE, &slots).unwrap();
        assert_bytes(&file, 5 * PAGE, PAGE, 0xa5);
        assert_eq!(file.populated_bytes().unwrap(), 5 * PAGE);
    }
}

#[test]
fn a_store_keeps_to_small_pages() {
    for setting in WILLING {
        let _host = Host::alone().with_shmem(setting);
        let Stock { file, store, slots } =
            Stock::new(ObjectFile::create("folios", HUGE).unwrap(), PAGE);
        assert_eq!(store.populated_bytes().unwrap(), 2 * PAGE, "{setting}");
        let window = Filler::new().unwrap().open(&file).unwrap();
        store.copy_in_by(&window, &file, 0, &slots).unwrap();
        store.discard(slots[0]).unwrap();
        assert_eq!(store.populated_bytes().unwrap(), PAGE);
    }
}

#[test]
fn a_view_that_is_not_watched_cannot_keep_a_page_from_being_filled() {
    let _host = Host::alone().with_shmem(ShmemHuge::Always);
    let Stock { file, store, slots } =
        Stock::new(ObjectFile::create("folios", 2 * HUGE).unwrap(), PAGE);
    let window = Filler::new().unwrap().open(&file).unwrap();
    // A client reads a hole by hand, and the kernel puts a huge folio there.
    let len = usize::try_from(2 * HUGE).unwrap();
    let view = MmapOptions::new().len(len).map_raw_read_only(file.as_fd().as_raw_fd()).unwrap();
    view.advise(Advice::PopulateRead).unwrap();
    assert_eq!(file.populated_bytes().unwrap(), 2 * HUGE);
    store.copy_in_by(&window, &file, 3 * PAGE, &slots).unwrap();
    assert_bytes(&file, 3 * PAGE, PAGE, 0x5a);
    assert_bytes(&file, 4 * PAGE, PAGE, 0xa5);
}

#[test]
fn huge_pages_of_an_object_on_ordinary_pages_stay_ordinary_by_way_of_a_window() {
    let _host = Host::alone().with_shmem(ShmemHuge::Always);
    let Stock { file, store, slots } =
        Stock::new(ObjectFile::create("folios", 2 * HUGE).unwrap(), HUGE);
    let window = Filler::new().unwrap().open(&file).unwrap();
    store.copy_in_by(&window, &file, 0, &slots).unwrap();
    assert_eq!(file.populated_bytes().unwrap(), 2 * HUGE);
    assert_eq!(huge_bytes(&file), 0);
    file.punch(7 * PAGE, PAGE).unwrap();
    assert_eq!(file.data_runs().unwrap(), [(0, 7 * PAGE), (8 * PAGE, 2 * HUGE - 8 * PAGE)]);
}
