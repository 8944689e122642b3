//! What a client may not reach.

use std::os::fd::AsFd;

use bo_sys::memfd::ObjectFile;
use bo_tests::{Actor, Answer, Order, PAGE, Pool, RawClient, Station, User, by_each_user};
use bo_wire::{Access, ClaimedMapping, ClaimedObject, InvalidKind, Refusal, Reply, Request, Token};

use crate::{PROGRAMS, SEED, SMALL, SMALL_KIB};

/// Every request that names an object.
fn naming(object: u64) -> [Request; 6] {
    let object = ClaimedObject::new(object);
    let (first_page, pages, address) = (0, 1, 1 << 30);
    [
        Request::Map { object, address, first_page, pages, access: Access::ReadOnly },
        Request::Release { object },
        Request::Export { object, access: Access::ReadOnly },
        Request::Touch { object, first_page, pages },
        Request::Prefetch { object, first_page, pages },
        Request::Stat { object },
    ]
}

#[track_caller]
fn assert_gone(actor: &mut Actor, request: Request) {
    let answer = actor.ask(&Order::RawCall { request: request.clone() });
    assert_eq!(answer, Answer::Reply(Reply::Refused(Refusal::Gone)), "{request:?}");
}

/// An owner with an object of this number, and somebody else with a raw connection.
fn owner_and_stranger(station: &Station, user: User) -> (Actor, usize, u64, Actor) {
    let mut owner = station.client(user);
    let order = Order::Allocate { bytes: SMALL / 2, page_bytes: Some(PAGE) };
    let Answer::Object { slot, id, .. } = owner.ask(&order) else { panic!("no object") };
    let mut stranger = station.actor(user);
    stranger.must(&Order::RawConnect { socket: station.socket().to_owned() });
    (owner, slot, id, stranger)
}

by_each_user! {
    fn anothers_object_cannot_be_named(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut owner, object, id, mut stranger) = owner_and_stranger(&station, user);
        let mapping = owner.map(object);
        owner.fill(mapping, SEED);
        for request in naming(id) {
            assert_gone(&mut stranger, request);
        }
        owner.check(mapping, SEED);
        assert_eq!(owner.stat(object).holders, 1);
    }

    fn objects_cannot_be_guessed(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut owner, object, id, mut stranger) = owner_and_stranger(&station, user);
        let generations = (0..4).flat_map(|generation| {
            (0..8).map(move |slot| generation << 32 | slot)
        });
        let edges = [id + 1, id ^ 1 << 63, id ^ 1 << 32, u64::MAX, u64::from(u32::MAX)];
        for guess in generations.chain(edges) {
            for request in naming(guess) {
                assert_gone(&mut stranger, request);
            }
        }
        assert_eq!(owner.stat(object).holders, 1);
    }

    fn anothers_mapping_cannot_be_unmapped(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut owner, object, _, mut stranger) = owner_and_stranger(&station, user);
        let mapping = owner.map(object);
        owner.fill(mapping, SEED);
        for generation in 0..4 {
            for slot in 0..8 {
                let mapping = ClaimedMapping::new(generation << 32 | slot);
                assert_gone(&mut stranger, Request::Unmap { mapping });
            }
        }
        owner.check(mapping, SEED);
        assert_eq!(owner.stat(object).mappings, 1);
    }

    fn a_freed_object_cannot_be_named_by_its_old_owner(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut actor = station.actor(user);
        actor.must(&Order::RawConnect { socket: station.socket().to_owned() });
        let label = bo_wire::Label::default();
        let placement = bo_wire::Placement::Vram;
        let allocate = Request::Allocate { bytes: 4096, page_bytes: None, placement, label };
        let answer = actor.ask(&Order::RawCall { request: allocate.clone() });
        let Answer::Reply(Reply::Allocated { object: old, .. }) = answer else {
            panic!("{answer:?}")
        };
        let release = Request::Release { object: ClaimedObject::new(old) };
        let answer = actor.ask(&Order::RawCall { request: release });
        assert_eq!(answer, Answer::Reply(Reply::Done));
        for request in naming(old) {
            assert_gone(&mut actor, request);
        }
        // Nor when another one has its place.
        let answer = actor.ask(&Order::RawCall { request: allocate.clone() });
        assert!(matches!(answer, Answer::Reply(Reply::Allocated { .. })));
        for request in naming(old) {
            assert_gone(&mut actor, request);
        }
    }

    fn what_is_not_the_objects_cannot_be_mapped(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let mut actor = station.actor(user);
        actor.must(&Order::RawConnect { socket: station.socket().to_owned() });
        let (label, placement) = (bo_wire::Label::default(), bo_wire::Placement::Vram);
        let allocate = Request::Allocate { bytes: 8192, page_bytes: None, placement, label };
        let answer = actor.ask(&Order::RawCall { request: allocate });
        let Answer::Reply(Reply::Allocated { object, .. }) = answer else { panic!("{answer:?}") };
        let mut map = |address, first_page, pages| {
            let (object, access) = (ClaimedObject::new(object), Access::ReadWrite);
            let request = Request::Map { object, address, first_page, pages, access };
            let answer = actor.ask(&Order::RawCall { request });
            let Answer::Reply(Reply::Refused(Refusal::Invalid(kind))) = answer else {
                panic!("{answer:?}")
            };
            kind
        };
        // Nothing is mapped there, nothing can be, or nothing is aligned.
        for address in [0, 4096, 1 << 30, 1 << 46, (1 << 30) + 1, 1 << 47, 1 << 63, u64::MAX - 4095]
        {
            assert_eq!(map(address, 0, 2), InvalidKind::Address, "{address:#x}");
        }
        for (first, pages) in [(0, 0), (0, 3), (2, 1), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, 2)]
        {
            assert_eq!(map(1 << 30, first, pages), InvalidKind::Range, "{first} {pages}");
        }
        assert_eq!(station.books().population(), [1, 1, 0]);
    }

    fn tokens_cannot_be_guessed(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut owner, object, _, mut stranger) = owner_and_stranger(&station, user);
        let token: Token = owner.export(object, false).parse().expect("a token");
        let mut guesses = vec![[0; 16], [0xff; 16]];
        for at in 0..128 {
            let mut near = *token.as_bytes();
            near[at / 8] ^= 1 << (at % 8);
            guesses.push(near);
        }
        for guess in guesses {
            let token = Token::from_bytes(guess);
            assert_gone(&mut stranger, Request::ImportToken { token, access: Access::ReadOnly });
        }
        assert_eq!(owner.stat(object).holders, 1);
    }

    fn a_token_ends_with_its_object(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut owner, object, _, mut stranger) = owner_and_stranger(&station, user);
        let token: Token = owner.export(object, false).parse().expect("a token");
        owner.must(&Order::DropObject { object });
        assert_gone(&mut stranger, Request::ImportToken { token, access: Access::ReadOnly });
    }

    fn a_new_object_never_shows_old_bytes(user) {
        let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
        let (mut old, mut new) = (station.client(user), station.client(user));
        let bytes = 2 * SMALL;
        let pages = bytes / PAGE;
        for round in 0..8 {
            let (object, mapping) = old.allocate_and_map(bytes);
            old.fill(mapping, SEED + round);
            old.must(&Order::DropMapping { mapping });
            old.must(&Order::DropObject { object });
            let (object, mapping) = new.allocate_and_map(bytes);
            let order = Order::Check { mapping, seed: SEED + round, first: 0, pages };
            let Answer::Checked(checked) = new.ask(&order) else { panic!("no comparison") };
            assert_eq!((checked.wrong_pages, checked.zero_pages), (pages, pages));
            // Evicted and brought back, it shows no more.
            let Answer::Checked(checked) = new.ask(&order) else { panic!("no comparison") };
            assert_eq!((checked.wrong_pages, checked.zero_pages), (pages, pages));
            new.must(&Order::DropMapping { mapping });
            new.must(&Order::DropObject { object });
        }
    }
}

#[test]
fn descriptors_of_other_things_cannot_be_imported() {
    let station = Station::embedded(&PROGRAMS, Pool::kib(SMALL_KIB));
    let mut client = RawClient::greet(station.socket()).expect("a daemon listens");
    let (pipe, _writer) = rustix::pipe::pipe().expect("descriptors");
    let own = ObjectFile::create("forged", 1 << 20).expect("a memory file");
    let null = std::fs::File::open("/dev/null").expect("every machine has it");
    let mut import = |descriptor| {
        let request = Request::ImportDescriptor { access: Access::ReadOnly };
        let (reply, came) = client.call(&request, &[descriptor]).expect("an answer");
        assert!(came.is_none());
        reply
    };
    let refused = |refusal| Reply::Refused(refusal);
    let not_an_object =
        [refused(Refusal::Gone), refused(Refusal::Invalid(InvalidKind::Descriptor))];
    assert!(not_an_object.contains(&import(pipe.as_fd())));
    assert!(not_an_object.contains(&import(null.as_fd())));
    assert!(not_an_object.contains(&import(own.as_fd())));
}
