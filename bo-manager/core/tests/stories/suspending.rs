//! Clients that are suspended: what waits, what leaves, what comes back.

use bo_core::{Access, Action, ClientState, ControlRefusal, Prefetch, Refusal};
use bo_units::{ClientId, MappingId, ObjectId, PageIndex, PageRange};

use crate::desk::{Desk, NOW, names, range};

/// A client with an object of so many pages in a pool of 32, each of them stored to.
fn desk(count: u64) -> (Desk, ClientId, ObjectId, MappingId) {
    let mut desk = Desk::new(32, 64);
    let client = desk.client();
    let object = desk.object(client, count);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..u32::try_from(count).expect("it is small"));
    (desk, client, object, mapping)
}

/// What the reclaimer does when it is rung for.
fn reclaim(desk: &mut Desk) {
    while desk.manager.wants_reclaim() && desk.manager.handle_reclaim(desk.now) {
        desk.work();
    }
}

fn suspend(desk: &mut Desk, client: ClientId) {
    desk.manager.suspend(NOW, client).expect("it runs");
    desk.take();
    reclaim(desk);
}

fn resume(desk: &mut Desk, client: ClientId) -> bo_core::Resumed {
    let resumed = desk.manager.resume(NOW, client).expect("it is suspended");
    desk.take();
    resumed
}

fn state(desk: &Desk, client: ClientId) -> ClientState {
    desk.manager.client_state(client).expect("it is there")
}

fn used(desk: &Desk) -> u64 {
    desk.manager.gauges().vram_used_bytes / 4096
}

/// Each fault that was heard has one verdict.
#[track_caller]
fn assert_all_are_answered(desk: &Desk) {
    let stats = desk.manager.stats();
    let heard = stats.faults_read + stats.faults_write + stats.faults_protect;
    let answered = stats.verdicts_refault + stats.verdicts_gone + stats.verdicts_oom;
    assert_eq!((heard, desk.manager.gauges().faults_parked), (answered, 0));
}

#[test]
fn all_pages_leave_and_come_back_when_they_are_touched() {
    let (mut desk, client, _, mapping) = desk(8);
    desk.manager.suspend(NOW, client).expect("it runs");
    assert_eq!(state(&desk, client), ClientState::Suspending);
    assert_eq!(desk.manager.gauges().clients_suspending, 1);
    reclaim(&mut desk);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspended, 0));
    assert_eq!(desk.manager.stats().evictions_asked, 8);
    assert_eq!(desk.manager.gauges().clients_suspending, 0);
    let resumed = resume(&mut desk, client);
    assert_eq!((resumed.parked_faults, resumed.left_out_pages), (0, 0));
    desk.load(mapping, 3);
    desk.settle();
    assert_eq!(used(&desk), 1);
}

#[test]
fn a_fault_of_a_suspended_client_waits_and_is_answered_when_it_goes_on() {
    let (mut desk, client, _, mapping) = desk(4);
    suspend(&mut desk, client);
    desk.load(mapping, 0);
    desk.store(mapping, 1);
    assert!(desk.todo.is_empty(), "nothing is done for it");
    assert_eq!(desk.manager.gauges().faults_parked, 2);
    assert_eq!(resume(&mut desk, client).parked_faults, 2);
    assert_eq!(names(&desk.settle()), ["fill", "fill"]);
    assert_eq!((used(&desk), desk.manager.gauges().faults_parked), (2, 0));
    assert_all_are_answered(&desk);
}

#[test]
fn many_faults_that_waited_are_answered_in_steps() {
    let (mut desk, client, _, mapping) = desk(30);
    suspend(&mut desk, client);
    (0..30).for_each(|page| desk.load(mapping, page));
    assert_eq!(resume(&mut desk, client).parked_faults, 30);
    assert_eq!(desk.todo.len(), 17, "so many, and then others have their turn");
    // Suspended again in between, the rest goes on waiting.
    desk.manager.suspend(NOW, client).expect("it runs");
    desk.work();
    assert_eq!(desk.manager.gauges().faults_parked, 14);
    resume(&mut desk, client);
    desk.settle();
    assert_eq!(used(&desk), 30);
    assert_all_are_answered(&desk);
}

#[test]
fn more_faults_than_can_be_noted_are_woken() {
    let mut desk = Desk::new(32, 2048);
    let client = desk.client();
    let object = desk.object(client, 1030);
    let mapping = desk.map(client, object);
    suspend(&mut desk, client);
    (0..1030).for_each(|page| desk.load(mapping, page));
    assert_eq!(desk.manager.gauges().faults_parked, 1030);
    assert_eq!(resume(&mut desk, client).parked_faults, 1030);
    let woken = |done: &[Action]| {
        done.iter().filter(|action| matches!(action, Action::Wake { .. })).count()
    };
    assert_eq!(woken(&desk.settle()), 1, "their whole mapping at once");
    assert_all_are_answered(&desk);
}

#[test]
fn suspending_twice_and_resuming_who_runs_are_refused() {
    let (mut desk, client, ..) = desk(1);
    assert_eq!(desk.manager.resume(NOW, client).err(), Some(ControlRefusal::Running));
    suspend(&mut desk, client);
    assert_eq!(desk.manager.suspend(NOW, client), Err(ControlRefusal::Suspended));
    let nobody = ClientId::new(77, 1);
    assert_eq!(desk.manager.suspend(NOW, nobody), Err(ControlRefusal::NoSuchClient));
    assert_eq!(desk.manager.resume(NOW, nobody).err(), Some(ControlRefusal::NoSuchClient));
    assert_eq!(desk.manager.stats().suspensions, 1);
    desk.manager.drain();
    assert_eq!(desk.manager.suspend(NOW, client), Err(ControlRefusal::Draining));
}

#[test]
fn a_page_that_was_on_its_way_in_leaves_as_well() {
    let (mut desk, client, object, _) = desk(1);
    let start = desk.manager.start_prefetch();
    suspend(&mut desk, client);
    resume(&mut desk, client);
    desk.settle();
    let step = desk.manager.prefetch(NOW, client, object, range(0, 1), start);
    assert_eq!(step, Ok(Prefetch::Started { run: range(0, 1) }));
    desk.take();
    let fill = desk.next();
    desk.manager.suspend(NOW, client).expect("it runs");
    reclaim(&mut desk);
    assert_eq!(state(&desk, client), ClientState::Suspending, "it is still coming");
    desk.finish(&fill);
    assert!(desk.todo.is_empty(), "no entry is installed for who is suspended");
    reclaim(&mut desk);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspended, 0));
}

#[test]
fn who_waited_for_room_gives_up_the_place_in_the_queue() {
    let (mut desk, client, _, _) = desk(32);
    let object = desk.object(client, 1);
    let mapping = desk.map(client, object);
    desk.load(mapping, 0);
    assert_eq!(desk.manager.gauges().starved, 1);
    desk.manager.suspend(NOW, client).expect("it runs");
    assert_eq!(desk.manager.gauges().starved, 0);
    assert_eq!(desk.manager.gauges().faults_parked, 1);
    desk.settle();
    reclaim(&mut desk);
    assert_eq!(used(&desk), 0);
    resume(&mut desk, client);
    desk.settle();
    assert_eq!(used(&desk), 1, "now it is served");
}

#[test]
fn what_others_use_stays_until_they_are_suspended_or_gone() {
    let (mut desk, client, object, _) = desk(4);
    let other = desk.client();
    desk.manager.hold(other, object, Access::ReadWrite).expect("it lives");
    let mapping = desk.map(other, object);
    suspend(&mut desk, client);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspended, 4));
    desk.load(mapping, 0);
    assert_eq!(names(&desk.settle()), ["install"], "the other is served");
    let _mappings = desk.manager.client_gone(NOW, other);
    desk.settle();
    assert_eq!(state(&desk, client), ClientState::Suspending, "now nobody uses them");
    reclaim(&mut desk);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspended, 0));
}

#[test]
fn what_would_bring_pages_is_refused_and_the_rest_is_not() {
    let (mut desk, client, object, mapping) = desk(4);
    suspend(&mut desk, client);
    let start = desk.manager.start_prefetch();
    let prefetch = desk.manager.prefetch(NOW, client, object, range(0, 1), start);
    assert_eq!(prefetch, Err(Refusal::Suspended));
    assert_eq!(desk.manager.touch(client, object, range(0, 1)), Err(Refusal::Suspended));
    let another = desk.object(client, 2);
    let mapped = desk.map(client, another);
    desk.load(mapped, 0);
    desk.manager.detach(NOW, client, mapped).expect("it is attached");
    desk.manager.detach(NOW, client, mapping).expect("it is attached");
    desk.settle();
    assert_eq!(desk.manager.gauges().faults_parked, 0, "they went with their mapping");
    desk.manager.release(NOW, client, object).expect("it is held");
    desk.manager.release(NOW, client, another).expect("it is held");
    desk.settle();
    assert_eq!(desk.manager.gauges().objects, 0);
    assert_all_are_answered(&desk);
}

#[test]
fn the_working_set_comes_back_without_evicting_what_is_younger() {
    let (mut desk, client, object, _) = desk(20);
    suspend(&mut desk, client);
    let other = desk.client();
    let theirs = desk.object(other, 20);
    let mapping = desk.map(other, theirs);
    let resumed = resume(&mut desk, client);
    assert_eq!(resumed.working_set, [(object, range(0, 20))]);
    desk.dirty(mapping, 0..20);
    let mut rest = Some(range(0, 20));
    while let Some(left) = rest {
        let step = desk.manager.prefetch(NOW, client, object, left, resumed.start);
        desk.settle();
        rest = match step.expect("it runs") {
            Prefetch::Started { run } => PageRange::between(run.end(), left.end()),
            Prefetch::MakingRoom => Some(left),
            Prefetch::Full | Prefetch::Done => None,
        };
        rest = rest.filter(|left| !left.is_empty());
    }
    assert_eq!(desk.manager.stats().evictions_direct, 0, "all that is there is younger");
    assert_eq!(used(&desk), 32);
}

#[test]
fn a_store_without_room_makes_a_suspension_wait_and_not_spin() {
    let mut desk = Desk::new(32, 4);
    let client = desk.client();
    let object = desk.object(client, 30);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..30);
    suspend(&mut desk, client);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspending, 26));
    assert!(!desk.manager.wants_reclaim(), "it waits");
    desk.now = desk.manager.next_wakeup().expect("and looks again later");
    desk.same = Some(0);
    desk.manager.handle_reclaim(desk.now);
    desk.settle();
    assert_eq!(used(&desk), 26, "there is still no slot to copy to");
    resume(&mut desk, client);
    desk.settle();
    assert_eq!(desk.manager.next_wakeup(), None);
}

#[test]
fn a_client_that_goes_while_it_is_suspended_leaves_nothing() {
    let (mut desk, client, _, mapping) = desk(8);
    suspend(&mut desk, client);
    desk.load(mapping, 0);
    let _mappings = desk.manager.client_gone(NOW, client);
    desk.settle();
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.clients, gauges.clients_suspended, gauges.faults_parked), (0, 0, 0));
    assert_eq!(desk.manager.stats().verdicts_gone, 1);
    assert_all_are_answered(&desk);
}

#[test]
fn who_drains_lets_everybody_go_on() {
    let (mut desk, client, _, mapping) = desk(8);
    suspend(&mut desk, client);
    desk.load(mapping, 0);
    desk.manager.drain();
    assert_eq!(names(&desk.settle()), ["fill"]);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Running, 1));
    assert_all_are_answered(&desk);
}

#[test]
fn a_write_that_waits_cannot_call_pages_of_a_suspended_client_back() {
    let (mut desk, client, _, mapping) = desk(4);
    assert!(desk.manager.evict_some(NOW, object_of(&desk, mapping), PageIndex::ZERO).is_ok());
    desk.take();
    let copy = desk.next();
    assert!(matches!(copy.action, Action::CopyOut { .. }));
    desk.store_protected(mapping, 0);
    desk.manager.suspend(NOW, client).expect("it runs");
    desk.finish(&copy);
    desk.work();
    reclaim(&mut desk);
    assert_eq!(desk.manager.stats().evictions_rescued, 0);
    assert_eq!((state(&desk, client), used(&desk)), (ClientState::Suspended, 0));
}

fn object_of(desk: &Desk, mapping: MappingId) -> ObjectId {
    desk.manager.mapping_view(mapping).expect("it is attached").object
}
