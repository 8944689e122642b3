//! Accounts: what is promised, to the byte.

use bo_core::{Action, Placement, Refusal};
use bo_units::ByteCount;
use proptest::prelude::*;

use crate::desk::{Desk, NOW, SMALL, names, pages};

#[test]
fn one_page_more_than_the_limit_is_refused_with_the_numbers() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    // Two pages stay free of promises, so that what comes and what goes never wait for each other.
    let most = desk.object(client, 30);
    let refused = desk.ask(client, pages(1), SMALL, Placement::Vram);
    assert_eq!(refused, Err(Refusal::OutOfMemory { asked: pages(1), left: pages(0) }));
    desk.manager.release(NOW, client, most).expect("it has a handle");
    assert!(desk.ask(client, pages(1), SMALL, Placement::Vram).is_err(), "it is not yet gone");
    assert_eq!(names(&desk.settle()), ["destroy", "freed"]);
    assert!(desk.ask(client, pages(30), SMALL, Placement::Vram).is_ok());
}

#[test]
fn what_can_never_fit_is_told_so() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    desk.object(client, 10);
    let refused = desk.ask(client, pages(31), SMALL, Placement::Vram);
    assert_eq!(refused, Err(Refusal::NeverFits { asked: pages(31), possible: pages(30) }));
}

#[test]
fn nothing_at_all_and_far_too_much_cannot_be_asked_for() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let refused = desk.ask(client, ByteCount::new(0), SMALL, Placement::Vram);
    assert_eq!(refused, Err(Refusal::SizeZero));
    let (asked, possible) = ((1 << 40) + 1, 1 << 40);
    let refused = desk.ask(client, ByteCount::new(asked), SMALL, Placement::Vram);
    assert_eq!(refused, Err(Refusal::SizeTooLarge { asked, possible }));
}

#[test]
fn an_object_in_ram_takes_its_bytes_from_the_store() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let made = desk.ask(client, pages(10), SMALL, Placement::Ram).expect("there is room");
    assert_eq!(made.placement, Placement::Ram);
    assert_eq!(desk.manager.gauges().commit_limit_bytes, pages(22).get());
    let mapping = desk.map(client, made.object);
    desk.dirty(mapping, 0..10);
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.vram_used_bytes, gauges.ram_placed_bytes), (0, pages(10).get()));
    desk.manager.client_gone(NOW, client);
    desk.settle();
    let gauges = desk.manager.gauges();
    assert_eq!((gauges.ram_placed_bytes, gauges.ram_reserved_bytes), (0, 0));
}

#[test]
fn an_object_that_ram_cannot_promise_is_placed_in_vram() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let made = desk.ask(client, pages(17), SMALL, Placement::Ram).expect("there is room");
    assert_eq!(made.placement, Placement::Vram);
}

#[test]
fn ram_that_another_request_is_giving_back_cannot_be_promised_yet() {
    let mut desk = Desk::new(16, 16);
    let client = desk.client();
    let object = desk.object(client, 30);
    let mapping = desk.map(client, object);
    desk.dirty(mapping, 0..30);
    // Room for all sixteen: pages that were dropped leave their slots warm.
    desk.dirty(mapping, 0..16);
    desk.manager.client_gone(NOW, client);
    desk.settle();
    let warm = desk.manager.gauges().store_present_bytes;
    assert!(pages(14).get() <= warm, "free slots are kept");
    let client = desk.client();
    let first = desk.ask(client, pages(4), SMALL, Placement::Ram).expect("there is room");
    assert_eq!(first.placement, Placement::Ram);
    let discard = desk.next();
    assert!(matches!(discard.action, Action::Discard { .. }));
    let second = desk.ask(client, pages(12), SMALL, Placement::Ram).expect("there is room");
    assert_eq!(second.placement, Placement::Vram);
    desk.finish(&discard);
    desk.settle();
    let third = desk.ask(client, pages(8), SMALL, Placement::Ram).expect("there is room");
    assert_eq!(third.placement, Placement::Ram);
}

proptest! {
    #[test]
    fn promises_add_up_whatever_comes_and_goes(
        asks in proptest::collection::vec((1_u64..20 * 4096, 0_usize..3, 0_usize..20), 1..60),
    ) {
        let mut desk = Desk::new(64, 64);
        let client = desk.client();
        let mut live = Vec::new();
        for (bytes, class, release) in asks {
            // Half of the steps give something back first.
            if release < live.len().min(10) {
                let (object, _) = live.swap_remove(release);
                desk.manager.release(NOW, client, object).expect("it has a handle");
                desk.settle();
            }
            let page_bytes = SMALL << class;
            let committed: u64 = live.iter().map(|(_, bytes)| bytes).sum();
            let largest = live.iter().map(|(object, _)| {
                desk.manager.object_view(*object).expect("it lives").page_bytes
            });
            let largest = largest.max().unwrap_or(0).max(page_bytes);
            let left = 128 * SMALL - 2 * largest;
            let rounded = bytes.next_multiple_of(page_bytes);
            match desk.ask(client, ByteCount::new(bytes), page_bytes, Placement::Vram) {
                Ok(made) => {
                    prop_assert_eq!(made.bytes.get(), rounded);
                    prop_assert!(committed + rounded <= left);
                    live.push((made.object, rounded));
                }
                Err(Refusal::OutOfMemory { asked, left: told }) => {
                    prop_assert_eq!(asked.get(), rounded);
                    prop_assert_eq!(told.get(), left.saturating_sub(committed));
                    prop_assert!(told < asked);
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            }
            let sum: u64 = live.iter().map(|(_, bytes)| bytes).sum();
            prop_assert_eq!(desk.manager.gauges().committed_bytes, sum);
        }
    }
}
