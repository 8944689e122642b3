//! Clients that treat their memory roughly, behind the library's back.

use bo_tests::{
    Actor, Answer, Checked, Ended, Lost, Order, PAGE, Pool, Slot, Station, User, by_each_user,
    scale,
};

use crate::{PROGRAMS, SEED, SMALL_KIB, pages, small, small_pool, start_pressure};

const SIGSEGV: i32 = 11;

/// An object of four times the pool, which a rough client and a gentle one have in common, while
/// a third one evicts.
struct Scene {
    station: Station,
    rough: Actor,
    mapping: Slot,
    gentle: Actor,
    theirs: Slot,
    _pressure: Actor,
}

impl Scene {
    fn new(user: User) -> Scene {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let pressure = start_pressure(&station);
        let (mut rough, mut gentle) = (station.client(user), station.client(user));
        let (object, mapping) = rough.allocate_and_map(pages() * PAGE);
        rough.fill(mapping, SEED);
        let token = rough.export(object, false);
        let imported = gentle.import(&token, false);
        let theirs = gentle.map(imported);
        Scene { station, rough, mapping, gentle, theirs, _pressure: pressure }
    }

    fn rest_is_right(&mut self) {
        self.gentle.check(self.theirs, SEED);
    }
}

by_each_user! {
    fn a_forked_child_is_killed_and_its_parent_unharmed(user) {
        let mut scene = Scene::new(user);
        for page in 0..32 {
            let offset = page * PAGE * scale();
            let order = Order::ForkAndLoad { mapping: scene.mapping, offset };
            assert_eq!(scene.rough.ask(&order), Answer::Ended(Ended::Signalled(SIGSEGV)));
        }
        scene.rough.check(scene.mapping, SEED);
        scene.rest_is_right();
    }

    fn a_program_that_becomes_another_gives_everything_back(user) {
        let mut scene = Scene::new(user);
        let (_, own) = scene.rough.allocate_and_map(small());
        scene.rough.fill(own, SEED + 1);
        let [clients, objects, mappings] = scene.station.books().population();
        scene.rough.must(&Order::Exec);
        // The connection, one object of its own, and its mapping of the shared one with it.
        let left = [clients - 1, objects - 1, mappings - 2];
        scene.station.wait_until("everything is back", |books| books.population() == left);
        scene.rest_is_right();

        // It is a client like any other afterwards.
        scene.rough.connect(scene.station.socket(), Lost::Wait);
        let (_, anew) = scene.rough.allocate_and_map(pages() * PAGE);
        scene.rough.fill(anew, SEED + 2);
        scene.rough.check(anew, SEED + 2);
    }

    fn a_part_can_be_unmapped(user) {
        let mut scene = Scene::new(user);
        let (first, pages) = (pages() / 4, pages() / 2);
        let busy = scene.rough.spawn(Order::Fill {
            mapping: scene.mapping,
            seed: SEED,
            first: 0,
            pages: first,
        });
        scene.rough.must(&Order::Unmap { mapping: scene.mapping, first, pages });
        assert_eq!(scene.rough.join(busy), Answer::Done);
        scene.rest_is_right();
        scene.rough.check_pages(scene.mapping, SEED, 0, first);
        scene.rough.check_pages(scene.mapping, SEED, first + pages, u64::MAX);
        // Writing goes on beside the gap.
        for (first, pages) in [(0, first), (first + pages, u64::MAX)] {
            let mapping = scene.mapping;
            scene.rough.must(&Order::Fill { mapping, seed: SEED + 1, first, pages });
        }
        scene.gentle.check_pages(scene.theirs, SEED + 1, 0, first);
        scene.gentle.check_pages(scene.theirs, SEED, first, pages);
        scene.gentle.check_pages(scene.theirs, SEED + 1, first + pages, u64::MAX);
        scene.rough.must(&Order::Disconnect);
        scene.gentle.check_pages(scene.theirs, SEED + 1, 0, first);
    }

    /// What is moved is not watched any more, says the documentation of `Mapping`. Whoever moves
    /// pages and does not touch them harms nobody, and all that was not moved is as before.
    fn a_part_can_be_moved_away(user) {
        let mut scene = Scene::new(user);
        // Within one half: mremap(2) takes no range that two userfaultfds watch.
        let (first, pages) = (pages() / 4, pages() / 4);
        scene.rough.number(&Order::Move { mapping: scene.mapping, first, pages });
        scene.rest_is_right();
        scene.rough.check_pages(scene.mapping, SEED, 0, first);
        scene.rough.check_pages(scene.mapping, SEED, first + pages, u64::MAX);
        scene.rest_is_right();
        scene.rough.must(&Order::Disconnect);
        scene.rest_is_right();
    }

    fn discarding_ones_own_view_loses_nothing(user) {
        let mut scene = Scene::new(user);
        for round in 0..if scale() == 1 { 32 } else { 4 } {
            let (mapping, seed) = (scene.mapping, SEED + round);
            scene.rough.fill(mapping, seed);
            scene.rough.must(&Order::DontNeed { mapping, first: 0, pages: pages() });
            scene.rough.check(mapping, seed);
            scene.rough.must(&Order::DontNeed { mapping, first: 0, pages: pages() / 2 });
            scene.gentle.check(scene.theirs, seed);
        }
    }

    fn pages_that_a_client_removes_are_zeros_and_all_others_as_before(user) {
        let station = Station::embedded(&PROGRAMS, Pool::scaled_kib(4 * SMALL_KIB));
        let (mut rough, mut gentle) = (station.client(user), station.client(user));
        let (object, mapping) = rough.allocate_and_map(pages() * PAGE / 2);
        rough.fill(mapping, SEED);
        let token = rough.export(object, false);
        let imported = gentle.import(&token, false);
        let theirs = gentle.map(imported);
        gentle.check(theirs, SEED);

        let hole = 8 * scale() * 4;
        rough.must(&Order::Remove { mapping, first: hole, pages: hole });

        // Only the first few are listed.
        let wrong = (hole..2 * hole).take(16).collect();
        let zeros = Checked { wrong, wrong_pages: hole, zero_pages: hole };
        let order = Order::Check { mapping: theirs, seed: SEED, first: 0, pages: u64::MAX };
        assert_eq!(gentle.ask(&order), Answer::Checked(zeros));
        // The pages go on living.
        let refill = Order::Fill { mapping: theirs, seed: SEED + 1, first: hole, pages: hole };
        gentle.must(&refill);
        rough.check_pages(mapping, SEED + 1, hole, hole);
        rough.check_pages(mapping, SEED, 2 * hole, u64::MAX);
        // And so do the books.
        station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
        assert_eq!(station.populated(), station.books().used());
    }
}
