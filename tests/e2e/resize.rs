//! A pool that takes other sizes while it is in use.

use bo_tests::{Actor, Answer, Control, Order, PAGE, Slot, Station, by_each_user, until};

use crate::{PROGRAMS, SEED, small, small_pool};

/// An object with pages of which sixteen are a quarter of the pool, whatever that is made of: no
/// pool can be smaller than sixteen of its pages.
pub(crate) fn allocate_and_map(actor: &mut Actor, bytes: u64) -> (Slot, Slot) {
    let page_bytes = Some((small() / 512).max(PAGE));
    let object = actor.object(&Order::Allocate { bytes, page_bytes });
    (object, actor.map(object))
}

fn resize(control: &Control, bytes: u64) {
    let pool = control.order("/api/v1/pool/resize", &format!("{{\"bytes\":{bytes}}}"));
    assert_eq!(pool["target_bytes"].as_u64(), Some(bytes));
}

by_each_user! {
    fn a_pool_shrinks_and_grows_under_load_and_is_never_overdrawn(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let control = Control::of(&station);
        let mut actor = station.client(user);
        // One object only: several could not be looked at in one instant.
        let (_, mapping) = allocate_and_map(&mut actor, 3 * small());
        actor.fill(mapping, SEED);
        let sizes = [2 * small(), small() / 2, 3 * small(), small() / 4];
        for size in sizes.into_iter().cycle().take(24) {
            let pages = u64::MAX;
            let check = actor.spawn(Order::Check { mapping, seed: SEED, first: 0, pages });
            resize(&control, size);
            until("the pool has its size", || {
                // The capacity only falls from here on: read first, it is the larger of two.
                let (capacity, target) = control.pool();
                let (populated, _) = station.populated();
                assert!(populated <= capacity, "{populated} bytes in a pool of {capacity}");
                assert!(target <= capacity);
                (capacity == size).then_some(())
            });
            for _ in 0..20 {
                let (populated, _) = station.populated();
                assert!(populated <= size, "{populated} bytes in a pool of {size}");
            }
            let answer = actor.join(check);
            assert_eq!(answer, Answer::Checked(bo_tests::Checked::default()));
            actor.fill(mapping, SEED);
        }
        assert_eq!(station.books().counter("resizes"), 24);
        assert_eq!(station.metrics()["bo_pool_target_bytes"], small() / 4);
    }

    fn a_pool_too_small_for_what_is_promised_is_refused(user) {
        let pool = small_pool();
        let ram = bo_units::ByteCount::new(2 * small());
        let station = Station::embedded(&PROGRAMS, bo_tests::Pool { ram, ..pool });
        let control = Control::of(&station);
        let mut actor = station.client(user);
        let (_, mapping) = allocate_and_map(&mut actor, 5 * small() / 2);
        actor.fill(mapping, SEED);
        let half = format!("{{\"bytes\":{}}}", small() / 2);
        let refused = control.refused("/api/v1/pool/resize", &half);
        assert_eq!(refused, (409, "pool_too_small".to_owned()));
        let (_, answer) = control.call("POST", "/api/v1/pool/resize", &half);
        let error = answer["error"].as_str().expect("a reason");
        assert!(error.contains("committed") && error.contains("the least is"), "{error}");
        assert_eq!(control.pool(), (small(), small()));
        resize(&control, 3 * small() / 4);
        actor.check(mapping, SEED);
    }
}
