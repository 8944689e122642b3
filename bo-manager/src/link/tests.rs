//! The threads around the model. What the model promises is tested with it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bo_core::{Install, InstallEnd, Slot};
use bo_units::{ByteCount, ByteRate, ObjectId, PageCount, PageIndex, PageRange};

use super::*;

/// Far beyond what any of this takes on any machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn link(bytes_per_second: u64, latency: Duration) -> Link<u64> {
    let bandwidth = ByteRate::per_second(ByteCount::new(bytes_per_second)).expect("not zero");
    Link::new(LinkConfig { bandwidth, latency, queues: 1 }, &Registry::new())
}

/// Runs `story` while `workers` threads take what arrives and pass it on.
fn with_workers(link: &Link<u64>, workers: usize, story: impl FnOnce(Receiver<u64>)) {
    let take_all = |sender: Sender<u64>| {
        while let Some(cargo) = link.next() {
            // The story may have heard enough.
            let _ = sender.send(cargo);
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..workers {
            let sender = sender.clone();
            scope.spawn(move || take_all(sender));
        }
        drop(sender);
        story(receiver);
        link.give_up();
    });
}

#[test]
fn what_is_put_on_the_link_arrives_in_its_order_and_not_before_its_time() {
    // 1 MB/s: ten transfers of 1000 bytes take ten milliseconds at least.
    let link = link(1_000_000, Duration::from_millis(5));
    with_workers(&link, 1, |arrivals| {
        let start = Instant::now();
        for cargo in 0..10 {
            assert_eq!(link.submit(Direction::In, 1000, cargo), None);
        }
        for expected in 0..10 {
            assert_eq!(arrivals.recv_timeout(DEADLINE), Ok(expected));
            assert!(start.elapsed() >= Duration::from_millis(expected + 6));
        }
    });
    let totals = link.totals(Direction::In);
    assert_eq!((totals.transfers, totals.bytes, totals.in_flight), (10, 10_000, 0));
    assert_eq!(totals.busy, Duration::from_millis(10));
    assert_eq!(link.late.get_sample_count(), 10);
    assert_eq!(link.waits[0].get_sample_count(), 10);
    // Nine have waited for those before them: 1 + 2 + … + 9 ms.
    assert!(link.waits[0].get_sample_sum() > 0.001, "{}", link.waits[0].get_sample_sum());
}

#[test]
fn what_arrives_sooner_is_not_held_by_what_arrives_later() {
    let link = link(1000, Duration::ZERO);
    with_workers(&link, 1, |arrivals| {
        // 17 minutes in, a millisecond out: the worker that waits for the first is told.
        assert_eq!(link.submit(Direction::In, 1_000_000, 1), None);
        assert_eq!(link.submit(Direction::Out, 1, 2), None);
        assert_eq!(arrivals.recv_timeout(DEADLINE), Ok(2));
        assert_eq!(link.totals(Direction::In).in_flight, 1);
    });
}

#[test]
fn a_worker_that_is_busy_holds_up_nobody() {
    let link = link(1 << 40, Duration::ZERO);
    assert_eq!(link.submit(Direction::In, 1, 1), None);
    assert_eq!(link.submit(Direction::In, 1, 2), None);
    // This thread is the busy one: it has taken a transfer and does not come back.
    let first = link.next().expect("it has arrived");
    with_workers(&link, 1, |arrivals| {
        assert_eq!(arrivals.recv_timeout(DEADLINE), Ok(3 - first));
    });
}

#[test]
fn when_the_link_is_given_up_all_has_arrived_and_nothing_is_taken_any_more() {
    let link = link(1, Duration::from_secs(1));
    let mut all = Vec::new();
    with_workers(&link, 2, |arrivals| {
        for cargo in 0..100 {
            // A hundred days of work.
            let returned = link.submit(Direction::ALL[usize::from(cargo % 2 == 0)], 86_400, cargo);
            assert_eq!(returned, None);
        }
        link.give_up();
        all.extend((0..100).map(|_| arrivals.recv_timeout(DEADLINE).expect("it is let go")));
        assert_eq!(link.submit(Direction::In, 1, 100), Some(100));
    });
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
}

fn range(pages: u32) -> PageRange {
    PageRange::checked_new(PageIndex::new(0), PageCount::new(pages)).expect("it is short")
}

#[test]
fn only_bytes_of_the_store_cross_on_their_way_in() {
    let slot = Slot { offset: 0, len: 4096 };
    let crossing = |sources: &[Source]| {
        let install: Option<Install> = None;
        let object = ObjectId::new(0, 1);
        let range = range(u32::try_from(sources.len()).expect("few"));
        Crossing::of(&Action::Fill { object, range, sources: sources.into(), install })
    };
    assert_eq!(crossing(&[Source::Zero, Source::Zero]), Crossing::None);
    let mixed = [Source::Stored(slot), Source::Zero, Source::Stored(slot)];
    assert_eq!(crossing(&mixed), Crossing::Before { bytes: 8192 });
}

#[test]
fn zeros_and_failures_do_not_cross_on_their_way_out() {
    let word = |same: &bool| same.then_some(0);
    let done =
        |zero: &[bool]| Outcome::CopiedOut(Copied::Done { same: zero.iter().map(word).collect() });
    assert_eq!(pages_moved(&done(&[true, false, true, false, false])), 3);
    assert_eq!(pages_moved(&done(&[true, true])), 0);
    assert_eq!(pages_moved(&Outcome::CopiedOut(Copied::Failed)), 0);
    assert_eq!(pages_moved(&Outcome::Filled { installed: InstallEnd::Complete }), 0);
    let punch = Action::Punch { object: ObjectId::new(0, 1), runs: [range(1)].as_slice().into() };
    assert_eq!(Crossing::of(&punch), Crossing::None);
}
