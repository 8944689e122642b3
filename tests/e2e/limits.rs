//! What cannot be had is refused when it is asked for, with the numbers.

use bo_manager::Backing;
use bo_tests::{Order, PAGE, Pool, Station, by_each_user};
use bo_units::ByteCount;

use crate::{PROGRAMS, SEED, SMALL, SMALL_KIB};

const TIGHT: Pool = Pool {
    vram: ByteCount::kib(SMALL_KIB),
    ram: ByteCount::mib(1),
    page_bytes: PAGE,
    backing: Backing::Auto,
};

/// The largest object then, with pages of 4 KiB: two of them are kept for moving.
const LARGEST: u64 = (1 << 20) + (SMALL) - (8 << 10);

#[track_caller]
fn assert_names(message: &str, numbers: &[&str]) {
    for number in numbers {
        assert!(message.contains(number), "{number} is not in: {message}");
    }
}

by_each_user! {
    fn what_can_never_fit_is_refused_with_the_numbers(user) {
        let station = Station::embedded(&PROGRAMS, TIGHT);
        let mut actor = station.client(user);
        let refused = actor.refused(&Order::Allocate { bytes: 3 << 30, page_bytes: None });
        assert!(refused.is("is_never_fits") && refused.is("is_out_of_memory"), "{refused:?}");
        assert_names(&refused.message, &["3 GiB", "1272 KiB"]);
        // The largest is granted, and its every byte is real.
        let (_, mapping) = actor.allocate_and_map(LARGEST);
        actor.fill(mapping, SEED);
        actor.check(mapping, SEED);
    }

    fn memory_runs_out_at_allocation_and_freeing_restores_it(user) {
        let station = Station::embedded(&PROGRAMS, TIGHT);
        let mut actor = station.client(user);
        let (first, mapping) = actor.allocate_and_map(1 << 20);
        actor.fill(mapping, SEED);
        let order = Order::Allocate { bytes: 512 << 10, page_bytes: Some(4096) };
        let refused = actor.refused(&order);
        assert!(refused.is("is_out_of_memory") && !refused.is("is_never_fits"), "{refused:?}");
        assert_names(&refused.message, &["512 KiB", "248 KiB"]);
        actor.check(mapping, SEED);
        actor.must(&Order::DropMapping { mapping });
        actor.must(&Order::DropObject { object: first });
        let second = actor.object(&order);
        let mapping = actor.map(second);
        actor.fill(mapping, SEED + 1);
        actor.check(mapping, SEED + 1);
    }

    fn what_a_dead_client_had_can_be_had_by_another(user) {
        let station = Station::embedded(&PROGRAMS, TIGHT);
        let mut first = station.client(user);
        let (_, mapping) = first.allocate_and_map(LARGEST);
        first.fill(mapping, SEED);
        first.kill();
        station.wait_until("it is gone", |books| books.population() == [0, 0, 0]);
        let mut second = station.client(user);
        let (_, mapping) = second.allocate_and_map(LARGEST);
        second.fill(mapping, SEED);
        second.check(mapping, SEED);
    }

    fn pages_too_large_for_the_pool_are_refused_with_the_numbers(user) {
        let station = Station::embedded(&PROGRAMS, TIGHT);
        let mut actor = station.client(user);
        let order = Order::Allocate { bytes: 1 << 20, page_bytes: Some(64 << 10) };
        let refused = actor.refused(&order);
        assert!(refused.is("is_never_fits"), "{refused:?}");
        assert_names(&refused.message, &["64 KiB", "16 KiB"]);
        let (object, mapping) = {
            let order = Order::Allocate { bytes: 1 << 20, page_bytes: Some(16 << 10) };
            let object = actor.object(&order);
            (object, actor.map(object))
        };
        actor.fill(mapping, SEED);
        actor.check(mapping, SEED);
        assert_ne!(actor.stat(object).evictions, 0);
    }

    fn a_size_of_nothing_is_refused(user) {
        let station = Station::embedded(&PROGRAMS, TIGHT);
        let mut actor = station.client(user);
        let refused = actor.refused(&Order::Allocate { bytes: 0, page_bytes: None });
        assert!(refused.is("is_invalid"), "{refused:?}");
        let refused = actor.refused(&Order::Allocate { bytes: u64::MAX, page_bytes: None });
        assert!(refused.is("is_never_fits") || refused.is("is_invalid"), "{refused:?}");
    }
}
