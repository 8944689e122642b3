//! What the books must say, and a file that is kept beside them.

use proptest::prelude::*;

use super::*;

const SMALL: u64 = 4096;

fn size(bytes: u64) -> PageSize {
    PageSize::new(bytes).expect("a page size")
}

#[test]
fn a_full_store_cannot_take_one_more_page() {
    let mut store = StoreBook::new(2 * SMALL);
    let mut exchange = Exchange::default();
    assert!(store.take(size(SMALL), &mut exchange).is_some());
    assert!(store.take(size(SMALL), &mut exchange).is_some());
    assert!(store.take(size(SMALL), &mut exchange).is_none());
    assert_eq!(store.held(), 2 * SMALL);
}

#[test]
fn free_slots_of_one_size_give_way_to_another() {
    let mut store = StoreBook::new(65536);
    let mut exchange = Exchange::default();
    let numbers: Vec<u32> =
        (0..16).map(|_| store.take(size(SMALL), &mut exchange).expect("room")).collect();
    for number in numbers {
        store.put_back(size(SMALL), number);
    }
    assert!(exchange.slots.is_empty());
    assert!(store.take(size(65536), &mut exchange).is_some());
    assert_eq!(exchange.slots.len(), 16);
    assert_eq!(store.present(), 65536);
}

#[test]
fn slots_of_different_sizes_never_overlap() {
    let mut store = StoreBook::new(8 << 20);
    let mut exchange = Exchange::default();
    let small = store.take(size(SMALL), &mut exchange).expect("room");
    let large = store.take(size(2 << 20), &mut exchange).expect("room");
    let (small, large) = (store.slot(size(SMALL), small), store.slot(size(2 << 20), large));
    assert!(small.offset + small.len <= large.offset || large.offset + large.len <= small.offset);
    assert!(large.offset + large.len <= store.file_bytes());
}

#[test]
fn surplus_is_what_is_beyond_the_reserve() {
    let mut store = StoreBook::new(256 << 20);
    let mut exchange = Exchange::default();
    let count = (WARM_BYTES_MAX >> 21) + 3;
    let numbers: Vec<u32> =
        (0..count).map(|_| store.take(size(2 << 20), &mut exchange).expect("room")).collect();
    for number in numbers {
        store.put_back(size(2 << 20), number);
    }
    let slots = store.surplus();
    assert_eq!(slots.len(), 3);
    assert_eq!(store.present(), count << 21);
    store.discarded(&slots);
    assert_eq!(store.present(), WARM_BYTES_MAX);
    assert!(store.surplus().is_empty());
}

/// A store of `count` slots of 2 MiB, all of them free and kept.
fn warm(count: usize) -> StoreBook {
    let mut store = StoreBook::new((count as u64) << 21);
    let mut exchange = Exchange::default();
    let numbers: Vec<u32> =
        (0..count).map(|_| store.take(size(2 << 20), &mut exchange).expect("room")).collect();
    for number in numbers {
        store.put_back(size(2 << 20), number);
    }
    store
}

#[test]
fn ram_that_is_still_being_given_back_cannot_be_taken_by_others() {
    let mut store = warm(1);
    let mut exchange = Exchange::default();
    assert!(store.take(size(SMALL), &mut exchange).is_some());
    assert_eq!(exchange.slots.len(), 1);
    // The 2 MiB are there until this exchange is done; its own next page may have of them.
    assert!(store.take(size(SMALL), &mut Exchange::default()).is_none());
    assert!(store.take(size(SMALL), &mut exchange).is_some());
    assert_eq!(store.present(), 2 << 20);
    store.exchanged(&exchange);
    assert_eq!(store.present(), 2 * SMALL);
    assert!(store.take(size(SMALL), &mut Exchange::default()).is_some());
}

#[test]
fn a_slot_beyond_its_arena_cannot_be_taken() {
    let large = size(2 << 20);
    let mut store = warm(2);
    // One after the other, both large slots give way to small ones that are then free again.
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut exchange = Exchange::default();
        let mut numbers = Vec::new();
        while exchange.slots.len() < 2 && numbers.len() < 512 {
            numbers.extend(store.take(size(SMALL), &mut exchange));
        }
        open.push((exchange, numbers));
    }
    for number in open.iter().flat_map(|(_, numbers)| numbers) {
        store.put_back(size(SMALL), *number);
    }
    let mut exchange = Exchange::default();
    while let Some(number) = store.take(large, &mut exchange) {
        let slot = store.slot(large, number);
        assert!(slot.offset + slot.len <= store.file_bytes(), "outside of the file");
    }
}

proptest! {
    /// What is really in the file, byte for byte, while exchanges end in any order.
    #[test]
    fn the_file_never_holds_more_than_the_books_or_the_capacity(
        steps in proptest::collection::vec((0_u8..5, any::<usize>(), 0_usize..5), 1..200),
    ) {
        let capacity = 64 * SMALL;
        let mut store = StoreBook::new(capacity);
        let mut held: Vec<(PageSize, u32)> = Vec::new();
        let mut open: Vec<(Exchange, Vec<(PageSize, u32)>)> = Vec::new();
        let mut shed: Vec<Vec<Slot>> = Vec::new();
        let mut file = std::collections::BTreeSet::new();
        let parts = |slot: Slot| (slot.offset..slot.offset + slot.len).step_by(4096);
        for (what, chance, class) in steps {
            match what {
                0 | 1 => {
                    let page_size = size(SMALL << class);
                    let mut exchange = Exchange::default();
                    let take = |_| store.take(page_size, &mut exchange);
                    let run: Vec<u32> = (0..=chance % 3).map_while(take).collect();
                    if !run.is_empty() {
                        open.push((exchange, run.iter().map(|at| (page_size, *at)).collect()));
                    }
                }
                2 if !open.is_empty() => {
                    let (exchange, run) = open.swap_remove(chance % open.len());
                    for part in exchange.slots.iter().flat_map(|slot| parts(*slot)) {
                        file.remove(&part);
                    }
                    for (page_size, number) in &run {
                        for part in parts(store.slot(*page_size, *number)) {
                            file.insert(part);
                            prop_assert!(file.len() as u64 * SMALL <= store.present());
                        }
                    }
                    store.exchanged(&exchange);
                    held.extend(run);
                }
                3 if !held.is_empty() => {
                    let (page_size, number) = held.swap_remove(chance % held.len());
                    store.put_back(page_size, number);
                }
                4 if chance % 4 == 0 => shed.extend(Some(store.shed())),
                4 if !shed.is_empty() => {
                    let slots = shed.swap_remove(chance % shed.len());
                    for part in slots.iter().flat_map(|slot| parts(*slot)) {
                        file.remove(&part);
                    }
                    store.discarded(&slots);
                }
                _ => {}
            }
            let mut used: Vec<u64> = (held.iter())
                .chain(open.iter().flat_map(|(_, run)| run))
                .flat_map(|(page_size, number)| parts(store.slot(*page_size, *number)))
                .collect();
            prop_assert_eq!(used.len() as u64 * SMALL, store.held());
            used.sort_unstable();
            prop_assert!(used.windows(2).all(|pair| pair[0] < pair[1]), "a slot used twice");
            prop_assert!(store.present() <= capacity);
            prop_assert!(file.len() as u64 * SMALL <= store.present());
        }
    }
}
