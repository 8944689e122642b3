//! Whose pages make way, and in which order.

use bo_client::Priority;
use bo_tests::{Order, Station, by_each_user};

use crate::{PROGRAMS, SEED, small, small_pool};

by_each_user! {
    fn pages_of_a_high_priority_stay_while_others_of_the_client_come_and_go(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (dear, here) = actor.allocate_and_map(small() / 4);
        let (cheap, there) = actor.allocate_and_map(4 * small());
        actor.fill(here, SEED);
        actor.must(&Order::SetPriority { object: dear, priority: Priority::Highest });
        for round in 1..4 {
            actor.fill(there, SEED + round);
            actor.check(there, SEED + round);
        }
        assert_eq!(actor.stat(dear).evictions, 0, "it is cheaper to let others go");
        assert_ne!(actor.stat(cheap).evictions, 0);
        // With no priority any more it goes like any other, although nothing else has changed.
        actor.must(&Order::SetPriority { object: dear, priority: Priority::Low });
        actor.check(there, SEED + 3);
        assert_ne!(actor.stat(dear).evictions, 0);
        actor.check(here, SEED);
    }

    fn who_may_only_read_an_object_cannot_make_it_cheap(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let (mut maker, mut reader) = (station.client(user), station.client(user));
        let object = maker.allocate(4096);
        let token = maker.export(object, true);
        let imported = reader.import(&token, true);
        let order = Order::SetPriority { object: imported, priority: Priority::Low };
        let refused = reader.refused(&order);
        assert!(refused.is("is_permission"), "{refused:?}");
    }
}
