//! Export, import, and who may do what.

use std::os::fd::AsFd;

use bo_sys::mapping::{ClientMapping, Sharing};
use bo_tests::{Actor, Answer, Order, PAGE, RawClient, Slot, Station, User, by_each_user};
use bo_wire::{Access, Request};

use crate::{PROGRAMS, SEED, pages, small_pool, start_pressure};

const EACCES: u64 = 13;

/// How an object gets from one process to another.
#[derive(Clone, Copy)]
enum Way {
    Token,
    Descriptor,
}

fn hand_over(
    station: &Station,
    (from, object): (&mut Actor, Slot),
    to: &mut Actor,
    way: Way,
    read_only: bool,
) -> Slot {
    match way {
        Way::Token => {
            let token = from.export(object, read_only);
            to.import(&token, read_only)
        }
        Way::Descriptor => {
            let path = station.path("offer");
            let offer = Order::Offer { object, read_only, path: path.clone() };
            let offering = from.spawn(offer);
            let imported = to.object(&Order::Accept { path, read_only });
            assert_eq!(from.join(offering), Answer::Done);
            imported
        }
    }
}

fn both_write(users: [User; 2], way: Way) {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let _pressure = start_pressure(&station);
    let [mut maker, mut taker] = users.map(|user| station.client(user));
    let (object, here) = maker.allocate_and_map(pages() * PAGE);
    maker.fill(here, SEED);
    let imported = hand_over(&station, (&mut maker, object), &mut taker, way, false);
    let there = taker.map(imported);
    taker.check(there, SEED);
    taker.fill(there, SEED + 1);
    maker.check(here, SEED + 1);
    maker.must(&Order::Fill { mapping: here, seed: SEED + 2, first: 0, pages: pages() / 2 });
    taker.check_pages(there, SEED + 2, 0, pages() / 2);
    taker.check_pages(there, SEED + 1, pages() / 2, pages() / 2);
}

fn one_reads(users: [User; 2], way: Way) {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let _pressure = start_pressure(&station);
    let [mut maker, mut reader] = users.map(|user| station.client(user));
    let (object, here) = maker.allocate_and_map(pages() * PAGE);
    maker.fill(here, SEED);
    let imported = hand_over(&station, (&mut maker, object), &mut reader, way, true);
    let there = reader.map(imported);
    for round in 1..4 {
        reader.check(there, SEED + round - 1);
        maker.fill(here, SEED + round);
    }
    reader.check(there, SEED + 3);

    // Nor can it be handed on with more than that.
    let order = Order::Export { object: imported, read_only: false };
    assert!(reader.refused(&order).is("is_permission"));
    let token = maker.export(object, true);
    let order = Order::Import { token, read_only: false };
    let refused = reader.refused(&order);
    assert!(refused.is("is_permission"), "{refused:?}");

    // By force: either the kernel says no, or what is written stays with the writer.
    let order = Order::ForceStore { mapping: there, offset: 0, value: 1 };
    let errno = reader.number(&order);
    assert!(errno == 0 || errno == EACCES, "{errno}");
    maker.check(here, SEED + 3);
    if users[1] == User::Nobody {
        assert_eq!(reader.number(&Order::ReopenAll), 0);
    }
}

by_each_user! {
    fn an_object_is_shared_by_token(user) { both_write([user, user], Way::Token); }
    fn an_object_is_shared_by_descriptor(user) { both_write([user, user], Way::Descriptor); }
    fn what_is_shared_by_token_for_reading_cannot_be_written(user) {
        one_reads([user, user], Way::Token);
    }
    fn what_is_shared_by_descriptor_for_reading_cannot_be_written(user) {
        one_reads([user, user], Way::Descriptor);
    }

    fn the_last_handle_frees(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let mut actor = station.client(user);
        let (object, mapping) = actor.allocate_and_map(pages() * PAGE);
        let second = actor.map(object);
        actor.fill(mapping, SEED);
        actor.must(&Order::DropObject { object });
        actor.must(&Order::DropMapping { mapping });
        actor.check(second, SEED);
        assert_eq!(station.books().gauge("objects"), 1);
        actor.must(&Order::DropMapping { mapping: second });
        station.wait_until("the object is freed", |books| {
            books.population() == [1, 0, 0] && books.gauge("vram_used_bytes") == 0
        });
    }

    fn freeing_while_another_holds_keeps_the_bytes_for_it(user) {
        let station = Station::embedded(&PROGRAMS, small_pool());
        let _pressure = start_pressure(&station);
        let (mut maker, mut heir) = (station.client(user), station.client(user));
        let (object, here) = maker.allocate_and_map(pages() * PAGE);
        maker.fill(here, SEED);
        let token = maker.export(object, false);
        let imported = heir.import(&token, false);
        maker.must(&Order::DropMapping { mapping: here });
        maker.must(&Order::DropObject { object });
        let there = heir.map(imported);
        heir.check(there, SEED);
        maker.kill();
        station.wait_until("its maker is gone", |books| books.gauge("clients") == 2);
        heir.check(there, SEED);
        heir.fill(there, SEED + 1);
        heir.check(there, SEED + 1);
    }
}

/// Its descriptor alone is enough to map the file once more, where the daemon does not watch.
#[test]
fn who_may_only_read_cannot_turn_evicted_pages_into_zeros() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let mut maker = station.client(User::Nobody);
    let (object, here) = maker.allocate_and_map(pages() * PAGE);
    maker.fill(here, SEED);
    let token = maker.export(object, true).parse().expect("a token");
    let mut reader = RawClient::greet(station.socket()).expect("a daemon listens");
    let request = Request::ImportToken { token, access: Access::ReadOnly };
    let (reply, file) = reader.call(&request, &[]).expect("an answer");
    let file = file.unwrap_or_else(|| panic!("{reply:?}"));
    let sharing = Sharing::PrivateReadOnly;
    let alias =
        ClientMapping::reserve(file.as_fd(), 0, pages() * PAGE, station.page_bytes(), sharing);
    let mut alias = alias.expect("room for a mapping");
    alias.open(false).expect("reading is allowed");
    let mut seen = [0; 8];
    for page in 0..pages() {
        alias.read(page * PAGE, &mut seen).expect("inside");
    }
    maker.check(here, SEED);
}

#[test]
fn an_object_is_shared_from_root_to_nobody() {
    both_write([User::Root, User::Nobody], Way::Token);
    both_write([User::Root, User::Nobody], Way::Descriptor);
}

#[test]
fn an_object_is_shared_from_nobody_to_root() {
    both_write([User::Nobody, User::Root], Way::Token);
    both_write([User::Nobody, User::Root], Way::Descriptor);
}

#[test]
fn nobody_cannot_write_what_root_shared_for_reading() {
    one_reads([User::Root, User::Nobody], Way::Token);
    one_reads([User::Root, User::Nobody], Way::Descriptor);
}
