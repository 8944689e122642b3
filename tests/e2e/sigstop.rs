//! Clients that stand still.

use std::time::Instant;

use bo_tests::{Order, Station, by_each_user, until};

use crate::{PROGRAMS, SEED, small, small_pool};

by_each_user! {
    fn a_stopped_client_delays_nobody_and_finds_its_bytes_afterwards(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let (mut still, mut busy) = (station.client(user), station.client(user));
        let (own, own_mapping) = still.allocate_and_map(small() / 2);
        still.fill(own_mapping, SEED);
        let (shared, here) = still.allocate_and_map(small() / 2);
        still.fill(here, SEED + 1);
        let token = still.export(shared, false);
        let imported = busy.import(&token, false);
        let there = busy.map(imported);
        let label = |slot| format!("{}.{slot}", still.pid().as_raw_nonzero());
        let labels = [label(own), label(shared)];
        // It stops in the middle of writes and faults.
        still.spawn(Order::Sweep { mapping: own_mapping, write: true });
        still.spawn(Order::Sweep { mapping: here, write: false });
        let (_, large) = busy.allocate_and_map(4 * small());
        busy.fill(large, SEED + 2);

        still.freeze();
        let start = Instant::now();
        busy.check(large, SEED + 2);
        busy.check(there, SEED + 1);
        busy.fill(there, SEED + 3);
        busy.fill(large, SEED + 4);
        println!("went round twice in {:?} while another stood still", start.elapsed());
        let resident = |label: &str| station.books().of_object(label, "resident_bytes");
        // Clean pages leave before dirty ones that are a little colder: it may take another round.
        until("its pages have gone while it stood still", || {
            busy.check(large, SEED + 4);
            (resident(&labels[0]) == Some(0)).then_some(())
        });
        still.thaw();

        still.check(own_mapping, SEED);
        still.check(here, SEED + 3);
        busy.check(there, SEED + 3);
    }
}
