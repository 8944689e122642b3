//! Atomic additions to one page that is evicted all the time.

use bo_tests::{Actor, Answer, Order, Slot, Station, Task, User, by_each_user, scale, until};

use crate::{PROGRAMS, small, small_pool, start_pressure};

/// How often the counter's page must have been evicted meanwhile, or nearly.
fn evictions() -> u64 {
    if scale() == 1 { 200 } else { 20 }
}

/// Two processes with a counter in common, and in each a large mapping of its own.
struct Scene {
    station: Station,
    actors: [Actor; 2],
    counters: [Slot; 2],
    object: Slot,
    larges: [Slot; 2],
    _pressure: Actor,
}

impl Scene {
    fn new(user: User) -> Scene {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let pressure = start_pressure(&station);
        let mut actors = [station.client(user), station.client(user)];
        let object = actors[0].allocate(4096);
        let token = actors[0].export(object, false);
        let imported = actors[1].import(&token, false);
        let counters = [actors[0].map(object), actors[1].map(imported)];
        let larges = actors.each_mut().map(|actor| actor.allocate_and_map(4 * small()).1);
        Scene { station, actors, counters, object, larges, _pressure: pressure }
    }

    fn start(&mut self, between: [Option<Slot>; 2]) -> [[Task; 2]; 2] {
        [0, 1].map(|at| {
            let (mapping, between) = (self.counters[at], between[at]);
            [0, 1].map(|_| self.actors[at].spawn(Order::Add { mapping, offset: 8, between }))
        })
    }

    /// Both processes must find the sum of all that was added.
    #[track_caller]
    fn finish(&mut self, tasks: [[Task; 2]; 2]) {
        let mut expected = 0;
        for (actor, tasks) in self.actors.iter_mut().zip(tasks) {
            for task in tasks {
                let answer = actor.finish(task);
                let Answer::Number(count) = answer else { panic!("{answer:?}") };
                expected += count;
            }
        }
        let evictions = self.actors[0].stat(self.object).evictions;
        let rescued = self.station.books().counter("evictions_rescued");
        println!("{expected} additions, {evictions} evictions, {rescued} called off");
        for (actor, mapping) in self.actors.iter_mut().zip(self.counters) {
            assert_eq!(actor.number(&Order::Load { mapping, offset: 8 }), expected);
        }
    }
}

by_each_user! {
    fn no_addition_is_lost_under_constant_eviction(user) {
        let mut scene = Scene::new(user);
        let tasks = scene.start(scene.larges.map(Some));
        until("the counter is evicted often enough", || {
            (evictions() <= scene.actors[0].stat(scene.object).evictions).then_some(())
        });
        scene.finish(tasks);
    }

    /// Whoever writes all the time is in the way of each eviction, and calls some off; and of the
    /// cleaner, whose protection it meets before its page is cold enough to go.
    fn no_addition_is_lost_by_threads_that_do_nothing_else(user) {
        let mut scene = Scene::new(user);
        let tasks = scene.start([None, None]);
        until("the counter is evicted often enough, or nearly", || {
            let evicted = scene.actors[0].stat(scene.object).evictions;
            let books = scene.station.books();
            let nearly = ["evictions_rescued", "cleaned_wasted", "cleanings_called_off"];
            let nearly: u64 = nearly.iter().map(|name| books.counter(name)).sum();
            // They leave the others little of the machine: a fifth as often is several seconds.
            (evictions() / 5 <= evicted + nearly).then_some(())
        });
        scene.finish(tasks);
    }
}
