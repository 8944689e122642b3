//! Rights: who may do what with which object, and what a stale name is told.

use bo_core::{Access, CoreConfig, Limits, Placement, Refusal};
use bo_units::{ByteCount, ClientId, ObjectId};

use crate::desk::{Desk, NOW, SMALL, names, pages, range};

#[track_caller]
fn assert_told_gone(desk: &mut Desk, client: ClientId, object: ObjectId) {
    let all = range(0, 1);
    assert_eq!(desk.manager.access(client, object), Err(Refusal::Gone));
    assert_eq!(desk.manager.grant(client, object, all), Err(Refusal::Gone));
    assert_eq!(desk.manager.touch(client, object, all), Err(Refusal::Gone));
    let start = desk.manager.start_prefetch();
    assert_eq!(desk.manager.prefetch(NOW, client, object, all, start), Err(Refusal::Gone));
    assert_eq!(desk.manager.release(NOW, client, object), Err(Refusal::Gone));
    let attached = desk.manager.attach(client, object, all, Access::ReadOnly);
    assert_eq!(attached, Err(Refusal::Gone));
}

#[test]
fn an_object_of_another_client_cannot_be_told_from_none() {
    let mut desk = Desk::new(16, 16);
    let (owner, stranger) = (desk.client(), desk.client());
    let object = desk.object(owner, 1);
    assert_told_gone(&mut desk, stranger, object);
    assert_told_gone(&mut desk, stranger, ObjectId { slot: 77, generation: 1 });
}

#[test]
fn the_name_of_a_dead_object_cannot_reach_its_heir() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let dead = desk.object(client, 1);
    desk.manager.release(NOW, client, dead).expect("it has a handle");
    desk.settle();
    let heir = desk.object(client, 1);
    assert_eq!(heir.slot, dead.slot);
    assert_told_gone(&mut desk, client, dead);
    assert_eq!(desk.manager.hold(client, dead, Access::ReadOnly), Err(Refusal::Gone));
}

#[test]
fn a_mapping_of_another_client_cannot_be_detached() {
    let mut desk = Desk::new(16, 16);
    let (owner, stranger) = (desk.client(), desk.client());
    let object = desk.object(owner, 1);
    let mapping = desk.map(owner, object);
    assert_eq!(desk.manager.detach(NOW, stranger, mapping), Err(Refusal::Gone));
}

#[test]
fn a_read_only_holder_cannot_map_for_writing_until_it_gets_more() {
    let mut desk = Desk::new(16, 16);
    let (owner, reader) = (desk.client(), desk.client());
    let object = desk.object(owner, 1);
    desk.manager.hold(reader, object, Access::ReadOnly).expect("it was handed over");
    let refused = desk.manager.attach(reader, object, range(0, 1), Access::ReadWrite);
    assert_eq!(refused, Err(Refusal::ReadOnly));
    desk.manager.hold(reader, object, Access::ReadWrite).expect("it was handed over");
    assert!(desk.manager.attach(reader, object, range(0, 1), Access::ReadWrite).is_ok());
}

#[test]
fn a_range_that_leaves_its_object_cannot_be_mapped() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 4);
    for (first, count) in [(0, 5), (4, 1), (3, 2), (2, 0)] {
        let attached = desk.manager.attach(client, object, range(first, count), Access::ReadOnly);
        assert_eq!(attached, Err(Refusal::Range));
    }
}

#[test]
fn a_new_mapping_is_guarded_where_a_write_must_be_seen() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 20);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..17);
    // Page 0 is in the store now; page 1 is on its way.
    desk.load(mapping, 18);
    let copy = desk.next();
    let attached = desk.manager.attach(client, object, range(0, 20), Access::ReadWrite);
    assert_eq!(attached.expect("it may be mapped").guard.runs, [range(0, 2)]);
    let attached = desk.manager.attach(client, object, range(1, 4), Access::ReadWrite);
    assert_eq!(attached.expect("it may be mapped").guard.runs, [range(1, 1)]);
    let attached = desk.manager.attach(client, object, range(0, 20), Access::ReadOnly);
    assert_eq!(attached.expect("it may be mapped").guard.runs, []);
    desk.finish(&copy);
    desk.settle();
}

#[test]
fn each_limit_holds_and_gives_way_when_something_goes() {
    let mut config = CoreConfig::new(pages(16), pages(16));
    config.limits = Limits {
        clients: 1,
        objects: 1,
        mappings: 2,
        mappings_per_client: 2,
        mappings_per_object: 1,
        patterns: 1,
    };
    let mut desk = Desk::with(config);
    let client = desk.client();
    assert_eq!(desk.manager.connect("one more"), Err(Refusal::ClientLimit(1)));
    let object = desk.object(client, 1);
    let one_more = desk.ask(client, pages(1), SMALL, Placement::Vram);
    assert_eq!(one_more, Err(Refusal::ObjectLimit(1)));
    let mapping = desk.map(client, object);
    let one_more = desk.manager.attach(client, object, range(0, 1), Access::ReadOnly);
    assert_eq!(one_more, Err(Refusal::MappingLimit(1)));
    desk.manager.detach(NOW, client, mapping).expect("it is mapped");
    assert_eq!(names(&desk.settle()), ["detached"]);
    desk.map(client, object);
    desk.manager.client_gone(NOW, client);
    desk.settle();
    assert!(desk.manager.connect("the next").is_ok());
}

#[test]
fn a_page_size_cannot_be_more_than_a_sixteenth_of_the_pool() {
    let mut desk = Desk::new(32, 1024);
    let client = desk.client();
    assert!(desk.ask(client, pages(2), 8192, Placement::Vram).is_ok());
    let refused = desk.ask(client, pages(4), 16384, Placement::Vram);
    let (asked, possible) = (ByteCount::new(16384), ByteCount::new(8192));
    assert_eq!(refused, Err(Refusal::PageTooLarge { asked, possible }));
    let mut tiny = Desk::new(15, 1024);
    let client = tiny.client();
    let refused = tiny.ask(client, pages(1), SMALL, Placement::Vram);
    let (asked, possible) = (ByteCount::new(4096), ByteCount::new(0));
    assert_eq!(refused, Err(Refusal::PageTooLarge { asked, possible }));
}
