//! A pool of huge frames.

use std::os::fd::AsFd;

use bo_manager::Backing;
use bo_sys::mapping::{ClientMapping, Sharing};
use bo_sys::memfd::ObjectFile;
use bo_tests::raw::can_be_read;
use bo_tests::{Answer, Ended, Host, Lost, Order, PAGE, RawClient, User};
use bo_wire::{Access, ClaimedObject, InvalidKind, Label, Placement, Refusal, Reply, Request};

use super::*;

#[test]
fn objects_of_all_page_sizes_keep_their_bytes_in_one_pool() {
    let host = Host::alone();
    let before = host.pool();
    let mut station = station(Backing::Huge);
    assert_eq!(host.pool().available(), before.available().max(16));
    assert_two_clients_keep_their_bytes(&station);
    station.stop();
    until("the host has all of it", || (host.pool() == before).then_some(()));
}

#[test]
fn only_pages_of_two_mib_take_huge_frames() {
    let host = Host::alone();
    let station = station(Backing::Huge);
    let free = host.pool().free;
    let mut actor = station.client(User::Root);
    let (_, small) = object(&mut actor, HUGE, PAGE);
    actor.fill(small, SEED);
    assert_eq!(host.pool().free, free);
    let (_, huge) = object(&mut actor, 3 * HUGE, HUGE);
    actor.fill(huge, SEED);
    assert_eq!(host.pool().free, free - 3);
    // A page that is not touched has no frame.
    let (_, more) = object(&mut actor, 3 * HUGE, HUGE);
    actor.must(&Order::Store { mapping: more, offset: HUGE + 8, value: 1 });
    assert_eq!(host.pool().free, free - 4);
}

#[test]
fn objects_whose_maker_does_not_choose_have_huge_pages_where_little_is_wasted() {
    let _host = Host::alone();
    let station = station(Backing::Huge);
    let mut actor = station.client(User::Root);
    let mut pages_of = |bytes| {
        let answer = actor.ask(&Order::Allocate { bytes, page_bytes: None });
        let Answer::Object { page_bytes, bytes: taken, .. } = answer else { panic!("{answer:?}") };
        (page_bytes, taken)
    };
    assert_eq!(pages_of(HUGE), (HUGE, HUGE));
    assert_eq!(pages_of(HUGE + PAGE).0, 64 << 10);
    // Nearly a page of seven is more than an eighth, of eight it is less.
    assert_eq!(pages_of(6 * HUGE + PAGE), (64 << 10, 6 * HUGE + (64 << 10)));
    assert_eq!(pages_of(7 * HUGE + PAGE), (HUGE, 8 * HUGE));
    assert_eq!(pages_of(PAGE).0, PAGE);
}

#[test]
fn a_pool_that_others_have_emptied_costs_a_page_and_not_the_daemon() {
    let host = Host::alone();
    let station = station(Backing::Huge);
    let (mut actor, mut unlucky) = (station.client(User::Root), station.client(User::Root));
    let (_, mapping) = object(&mut actor, 4 * HUGE, HUGE);
    actor.fill(mapping, SEED);
    let (_, theirs) = object(&mut unlucky, 4 * HUGE, HUGE);
    let hoard = ObjectFile::create_huge("hoard", host.pool().free * HUGE).expect("a file");
    hoard.populate_zero(0, hoard.len()).expect("they are free");
    unlucky.order(&Order::Store { mapping: theirs, offset: 0, value: 1 });
    assert_eq!(unlucky.wait(), Ended::Signalled(7));
    assert_eq!(station.metrics()["bo_fill_failures_total"], 1);
    // Whoever has pages goes on, and frames that are free again are used again.
    actor.check(mapping, SEED);
    drop(hoard);
    let (_, next) = object(&mut actor, 32 * HUGE, HUGE);
    actor.fill(next, SEED + 1);
    actor.check(next, SEED + 1);
    actor.check(mapping, SEED);
}

/// Whoever has a descriptor can map it unwatched, and so put pages into its holes without the
/// daemon's knowing. Here that takes frames which others need.
#[test]
fn frames_that_a_client_has_conjured_up_are_taken_back_when_others_need_them() {
    let host = Host::alone();
    let station = station(Backing::Huge);
    let mut actor = station.client(User::Nobody);
    let (_, mapping) = object(&mut actor, 4 * HUGE, HUGE);
    actor.must(&Order::Fill { mapping, seed: SEED, first: 0, pages: HUGE / PAGE });
    let mut raw = RawClient::greet(station.socket()).expect("a daemon listens");
    let (label, placement) = (Label::default(), Placement::Vram);
    let bytes = VRAM;
    let request = Request::Allocate { bytes, page_bytes: Some(2 << 20), placement, label };
    let (_, file) = raw.call(&request, &[]).expect("an answer");
    let file = file.expect("an object's file");
    let mut view = ClientMapping::reserve(file.as_fd(), 0, bytes, HUGE, Sharing::Shared)
        .expect("room for a mapping");
    view.open(true).expect("nobody watches");
    for _ in 0..3 {
        // One more would be a signal.
        for page in 0..host.pool().free.min(bytes / HUGE) {
            view.write(page * HUGE, b"x").expect("inside");
        }
        assert_eq!(host.pool().free, 0);
        actor.fill(mapping, SEED + 1);
        actor.check(mapping, SEED + 1);
        // Next time from the store.
        let (large, all) = object(&mut actor, VRAM, HUGE);
        actor.fill(all, SEED + 2);
        actor.must(&Order::DropMapping { mapping: all });
        actor.must(&Order::DropObject { object: large });
        station.wait_until("it is freed", |books| books.gauge("objects") == 2);
        assert_eq!(station.metrics()["bo_fill_failures_total"], 0);
    }
    actor.check(mapping, SEED + 1);
}

#[test]
fn a_stop_leaves_present_huge_pages_and_sigbus_for_the_rest() {
    let _host = Host::alone();
    for on_lost in [Lost::Wait, Lost::Sigbus] {
        let mut station = station(Backing::Huge);
        let mut actor = station.client_who(User::Nobody, on_lost);
        let (_, mapping) = object(&mut actor, 2 * VRAM, HUGE);
        actor.fill(mapping, SEED);
        station.stop();
        let peeked = actor.peek(mapping, SEED);
        println!("{} kernel pages right, {} lost", peeked.right.len(), peeked.lost.len());
        assert!(peeked.wrong.is_empty() && !peeked.right.is_empty() && !peeked.lost.is_empty());
        assert!((peeked.right.len() as u64).is_multiple_of(HUGE / PAGE));
        let first = peeked.lost.first().expect("not empty");
        actor.order(&Order::Load { mapping, offset: first * PAGE });
        assert_eq!(actor.wait(), Ended::Signalled(7));
    }
}

/// The daemon does not know the mappings of a process whose connection is over, nor how large the
/// pages in them are, and must answer its faults all the same.
#[test]
fn an_outcast_loses_its_huge_pages_and_is_not_kept_waiting() {
    let _host = Host::alone();
    let station = station(Backing::Huge);
    let mut raw = RawClient::greet(station.socket()).expect("a daemon listens");
    let (label, placement) = (Label::default(), Placement::Vram);
    let page_bytes = Some(2 << 20);
    let request = Request::Allocate { bytes: 3 * HUGE, page_bytes, placement, label };
    let (reply, file) = raw.call(&request, &[]).expect("an answer");
    let Reply::Allocated { object, .. } = reply else { panic!("{reply:?}") };
    let file = file.expect("an object's file");
    let view = ClientMapping::reserve(file.as_fd(), 0, 3 * HUGE, HUGE, Sharing::Shared);
    let mut view = view.expect("room for a mapping");
    let (object, access) = (ClaimedObject::new(object), Access::ReadWrite);
    let map = |address, pages| Request::Map { object, address, first_page: 0, pages, access };
    // Addresses that are no whole huge pages are refused.
    let (reply, _) = raw.call(&map(view.address() + PAGE, 1), &[]).expect("an answer");
    assert_eq!(reply, Reply::Refused(Refusal::Invalid(InvalidKind::Address)));
    let (reply, _) = raw.call(&map(view.address(), 3), &[]).expect("an answer");
    assert!(matches!(reply, Reply::Mapped { .. }), "{reply:?}");
    view.open(true).expect("it is watched");
    view.write(5, b"x").expect("inside");
    assert!(can_be_read(view.address()));

    let _uffd = raw.hang_up();
    station.wait_until("it is cast out", |books| books.population() == [0, 0, 0]);
    for page in 0..3 {
        let address = view.address() + page * HUGE + 3 * PAGE;
        assert!(!can_be_read(address), "page {page}");
    }
}
