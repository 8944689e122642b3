//! Whose pages make way: shares, priorities, and a policy that is exchanged.

use bo_core::{Access, PolicyRefusal, Priority, Refusal};
use bo_units::{ClientId, MappingId, ObjectId};

use crate::desk::{Desk, pages};

/// A client with an object of so many pages, mapped.
fn client(desk: &mut Desk, count: u64) -> (ClientId, ObjectId, MappingId) {
    let client = desk.client();
    let object = desk.object(client, count);
    (client, object, desk.map(client, object))
}

fn resident(desk: &Desk, object: ObjectId) -> u64 {
    desk.manager.object_view(object).expect("it lives").resident_bytes / 4096
}

fn set_priority(desk: &mut Desk, client: ClientId, object: ObjectId, priority: Priority) {
    let mut rest = Some(desk.manager.set_priority(client, object, priority).expect("it may"));
    while let Some(range) = rest {
        rest = desk.manager.rerank_some(object, range);
    }
}

#[test]
fn who_has_more_than_its_share_makes_room_for_itself() {
    let mut desk = Desk::new(100, 400);
    let (_, small, here) = client(&mut desk, 100);
    let (_, large, there) = client(&mut desk, 200);
    desk.dirty(here, 0..30);
    desk.dirty(there, 0..70);
    // The pages of the small one are the coldest.
    desk.dirty(there, 70..100);
    assert_eq!((resident(&desk, small), resident(&desk, large)), (30, 70));
    // It is entitled to half, and takes what it lacks from who has more.
    desk.dirty(here, 30..60);
    assert_eq!((resident(&desk, small), resident(&desk, large)), (50, 50));
}

#[test]
fn who_is_quiet_for_a_whole_pool_makes_way_first() {
    let mut desk = Desk::new(100, 400);
    let (_, quiet, here) = client(&mut desk, 30);
    let (_, busy, there) = client(&mut desk, 300);
    desk.dirty(here, 0..30);
    desk.dirty(there, 0..90);
    assert_eq!(resident(&desk, quiet), 30, "a pool has not gone by yet");
    desk.dirty(there, 90..250);
    assert_eq!((resident(&desk, quiet), resident(&desk, busy)), (0, 100));
}

#[test]
fn who_comes_back_is_left_alone_for_longer() {
    let mut desk = Desk::new(100, 400);
    let (_, own, here) = client(&mut desk, 30);
    let (_, _, there) = client(&mut desk, 300);
    desk.dirty(here, 0..30);
    desk.dirty(there, 0..160);
    assert_eq!(resident(&desk, own), 0);
    // It uses its pages all the time, which shows only now.
    desk.dirty(here, 0..30);
    desk.dirty(there, 0..150);
    assert_eq!(resident(&desk, own), 30, "one pool is too short now");
}

#[test]
fn pages_of_a_low_priority_leave_before_older_ones_of_the_same_client() {
    let mut desk = Desk::new(100, 400);
    let (owner, dear, here) = client(&mut desk, 50);
    let cheap = desk.object(owner, 100);
    let there = desk.map(owner, cheap);
    desk.dirty(here, 0..50);
    desk.dirty(there, 0..50);
    set_priority(&mut desk, owner, cheap, Priority::Low);
    desk.dirty(there, 50..90);
    assert_eq!((resident(&desk, dear), resident(&desk, cheap)), (50, 50));
    // It can be changed at any time.
    set_priority(&mut desk, owner, dear, Priority::Low);
    set_priority(&mut desk, owner, cheap, Priority::Highest);
    desk.dirty(there, 90..100);
    assert_eq!((resident(&desk, dear), resident(&desk, cheap)), (40, 60));
}

#[test]
fn a_priority_protects_from_nobody_else() {
    let mut desk = Desk::new(100, 400);
    let (owner, dear, here) = client(&mut desk, 100);
    let (_, other, there) = client(&mut desk, 100);
    set_priority(&mut desk, owner, dear, Priority::Highest);
    desk.dirty(here, 0..100);
    desk.dirty(there, 0..60);
    assert_eq!((resident(&desk, dear), resident(&desk, other)), (50, 50));
}

#[test]
fn who_may_only_read_cannot_change_a_priority() {
    let mut desk = Desk::new(16, 16);
    let (_, object, _) = client(&mut desk, 2);
    let (reader, stranger) = (desk.client(), desk.client());
    desk.manager.hold(reader, object, Access::ReadOnly).expect("it was handed over");
    let mut change = |client| desk.manager.set_priority(client, object, Priority::Low).map(drop);
    assert_eq!(change(reader), Err(Refusal::ReadOnly));
    assert_eq!(change(stranger), Err(Refusal::Gone));
}

#[test]
fn what_a_client_leaves_behind_is_charged_until_it_is_freed() {
    let mut desk = Desk::new(100, 400);
    let (maker, object, here) = client(&mut desk, 60);
    let heir = desk.client();
    desk.manager.hold(heir, object, Access::ReadWrite).expect("it was handed over");
    desk.dirty(here, 0..60);
    desk.manager.client_gone(desk.now, maker);
    desk.settle();
    assert_eq!(resident(&desk, object), 60);
    let (_, _, there) = client(&mut desk, 200);
    desk.dirty(there, 0..70);
    assert_eq!(resident(&desk, object), 50, "an equal share");
    desk.manager.client_gone(desk.now, heir);
    desk.settle();
    assert_eq!(desk.manager.gauges().vram_used_bytes, pages(50).get());
}

#[test]
fn a_policy_is_exchanged_while_pages_move_and_keeps_the_order() {
    let mut desk = Desk::new(100, 400);
    let (_, object, here) = client(&mut desk, 300);
    desk.dirty(here, 0..100);
    assert_eq!(desk.manager.change_policy("no such"), Err(PolicyRefusal::Unknown));
    desk.manager.change_policy("lru").expect("there is one of this name");
    assert_eq!(desk.manager.change_policy("lru"), Err(PolicyRefusal::Changing));
    desk.dirty(here, 100..110);
    assert!(desk.manager.change_policy_some());
    desk.dirty(here, 110..120);
    while desk.manager.change_policy_some() {}
    desk.dirty(here, 120..130);
    assert_eq!(resident(&desk, object), 100);
    assert_eq!(desk.manager.change_policy("lru"), Ok(()));
    // Everything was exchanged: nothing that was there is forgotten.
    desk.dirty(here, 130..240);
    assert_eq!(desk.manager.stats().evictions_direct, 140);
}
