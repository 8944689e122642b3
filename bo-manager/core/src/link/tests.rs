//! The link is never faster than it may be, and never slower than it must be.

use std::time::Duration;

use bo_units::{ByteCount, ByteRate, Tick};
use proptest::prelude::*;

use super::{Arrival, Direction, LinkConfig, LinkModel};

/// One byte each nanosecond.
const BYTE_A_NANO: u64 = 1_000_000_000;

fn config(bytes_per_second: u64, latency_nanos: u64, queues: u32) -> LinkConfig {
    let bandwidth = ByteRate::per_second(ByteCount::new(bytes_per_second)).expect("not zero");
    LinkConfig { bandwidth, latency: Duration::from_nanos(latency_nanos), queues }
}

fn tick(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

/// Lets everything arrive, looking only when the model says that there is something to see.
fn run<T>(model: &mut LinkModel<T>) -> Vec<Arrival<T>> {
    let mut arrivals = Vec::new();
    while let Some(next) = model.next_completion() {
        let arrival = model.pop(next);
        arrivals.extend(arrival);
    }
    arrivals
}

/// Submits transfers in one direction, `(at, bytes)` each, and says when each was complete.
#[track_caller]
fn check(config: LinkConfig, transfers: &[(u64, u64)], completed: &[u64]) {
    let mut model = LinkModel::new(config);
    for (number, (at, bytes)) in transfers.iter().enumerate() {
        model.submit(tick(*at), Direction::In, *bytes, number);
    }
    let mut arrivals = run(&mut model);
    arrivals.sort_by_key(|arrival| arrival.cargo);
    let found: Vec<u64> = arrivals.iter().map(|arrival| arrival.completed.nanos()).collect();
    assert_eq!(found, completed);
}

#[test]
fn a_lone_transfer_takes_its_bytes_and_the_latency() {
    check(config(BYTE_A_NANO, 50, 1), &[(1000, 100)], &[1150]);
}

#[test]
fn the_next_one_waits_for_the_queue_and_not_for_the_latency() {
    check(config(BYTE_A_NANO, 50, 1), &[(0, 100), (0, 100), (10, 100)], &[150, 250, 350]);
}

#[test]
fn two_queues_share_the_bandwidth() {
    // Both at half the speed until the small one is through, then the large one alone.
    check(config(BYTE_A_NANO, 0, 2), &[(0, 1000), (0, 100)], &[1100, 200]);
    // The second comes when the first has 500 left.
    check(config(BYTE_A_NANO, 0, 2), &[(0, 1000), (500, 100)], &[1100, 700]);
}

#[test]
fn a_transfer_joins_the_queue_with_the_least_to_do() {
    // The third one is behind the second, which has less to do than the first.
    check(config(BYTE_A_NANO, 0, 2), &[(0, 1000), (0, 100), (0, 100)], &[1200, 200, 400]);
}

#[test]
fn the_directions_do_not_share() {
    let mut model = LinkModel::new(config(BYTE_A_NANO, 0, 1));
    for direction in Direction::ALL {
        model.submit(tick(0), direction, 100, direction);
    }
    let arrivals = run(&mut model);
    assert!(arrivals.iter().all(|arrival| arrival.completed == tick(100)), "{arrivals:?}");
}

#[test]
fn nothing_arrives_before_its_time() {
    let mut model = LinkModel::new(config(BYTE_A_NANO, 50, 1));
    model.submit(tick(0), Direction::Out, 100, ());
    assert_eq!(model.next_completion(), Some(tick(150)));
    assert_eq!(model.pop(tick(149)), None);
    let arrival = model.pop(tick(200)).expect("it is complete");
    // Late is the one who asks, not the transfer.
    assert_eq!(arrival.completed, tick(150));
    assert_eq!(model.next_completion(), None);
}

#[test]
fn parts_of_a_nanosecond_are_not_lost_between_transfers() {
    // Three bytes a nanosecond: ten transfers of one byte take four nanoseconds, not ten.
    let mut model = LinkModel::new(config(3 * BYTE_A_NANO, 0, 1));
    for number in 0..10 {
        model.submit(tick(0), Direction::In, 1, number);
    }
    let arrivals = run(&mut model);
    assert_eq!(arrivals.last().expect("ten").completed, tick(4));
    assert!(arrivals.iter().map(|arrival| arrival.cargo).eq(0..10));
}

#[test]
fn a_transfer_of_nothing_has_the_latency_alone() {
    check(config(1, 50, 1), &[(7, 0)], &[57]);
}

#[test]
fn a_time_that_lies_back_counts_as_the_latest() {
    check(config(BYTE_A_NANO, 0, 1), &[(100, 10), (50, 10)], &[110, 120]);
}

#[test]
fn what_is_given_up_comes_out_whole_and_is_not_counted() {
    let mut model = LinkModel::new(config(BYTE_A_NANO, 50, 2));
    for number in 0..6 {
        model.submit(tick(0), Direction::ALL[number % 2], 100, number);
    }
    assert_eq!(model.totals(tick(250), Direction::In).transfers, 2);
    let mut taken: Vec<_> = std::iter::from_fn(|| model.take()).collect();
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..6));
    let totals = model.totals(tick(10_000), Direction::In);
    assert_eq!((totals.transfers, totals.bytes, totals.in_flight), (2, 200, 0));
}

#[test]
fn the_extremes_do_not_overflow() {
    for (rate, queues) in [(1, 1), (1, 16), (u64::MAX, 1), (u64::MAX, 16), (7, 11)] {
        let mut model = LinkModel::new(config(rate, u64::MAX, queues));
        for _ in 0..40 {
            model.submit(tick(u64::MAX - 1), Direction::In, u64::MAX, ());
            model.submit(tick(u64::MAX), Direction::Out, 0, ());
        }
        assert_eq!(model.next_completion(), Some(tick(u64::MAX)));
        let totals = model.totals(tick(u64::MAX), Direction::In);
        assert!(totals.busy <= Duration::from_nanos(1), "{totals:?}");
        assert_eq!(totals.in_flight, 40);
        let arrived = std::iter::from_fn(|| model.pop(tick(u64::MAX))).count();
        let taken = std::iter::from_fn(|| model.take()).count();
        assert_eq!(arrived + taken, 80);
    }
}

/// Times between submissions, and bytes.
fn traffic() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let bytes = prop_oneof![Just(0), 1_u64..100, Just(4096), 1_u64..1 << 22];
    proptest::collection::vec((0_u64..100_000, bytes), 1..60)
}

fn links() -> impl Strategy<Value = LinkConfig> {
    (1_u64..1 << 36, 0_u64..1 << 20, 1_u32..=16)
        .prop_map(|(rate, latency, queues)| config(rate, latency, queues))
}

/// Submits all traffic one way while time goes on, with looks in between, and lets it arrive.
fn drive(link: LinkConfig, traffic: &[(u64, u64)]) -> Vec<Arrival<usize>> {
    let mut model = LinkModel::new(link);
    let (mut now, mut arrivals) = (0, Vec::new());
    for (number, (pause, bytes)) in traffic.iter().enumerate() {
        now += pause;
        if number % 3 == 0 {
            arrivals.extend(std::iter::from_fn(|| model.pop(tick(now))));
        }
        model.submit(tick(now), Direction::Out, *bytes, number);
    }
    arrivals.extend(run(&mut model));
    arrivals
}

fn rate_of(link: LinkConfig) -> u128 {
    u128::from(link.bandwidth.bytes_per_second().get())
}

/// When the last byte had left.
fn left<T>(link: LinkConfig, arrival: &Arrival<T>) -> u64 {
    arrival.completed.nanos() - u64::try_from(link.latency.as_nanos()).expect("it is short")
}

proptest! {
    #[test]
    fn everything_arrives_once_with_its_latency_and_in_order_of_time(
        link in links(),
        traffic in traffic(),
    ) {
        let arrivals = drive(link, &traffic);
        prop_assert_eq!(arrivals.len(), traffic.len());
        prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.completed));
        for arrival in &arrivals {
            prop_assert!(arrival.submitted <= arrival.started);
            // Latency adds once, and no single one beats the bandwidth.
            let moving = u128::from(left(link, arrival) - arrival.started.nanos());
            let bytes = u128::from(arrival.bytes) * 1_000_000_000;
            // The first nanosecond may have been shared with the one before.
            prop_assert!(bytes <= (moving + 1) * rate_of(link));
        }
    }

    #[test]
    fn a_queue_is_first_in_first_out(link in links(), traffic in traffic()) {
        let arrivals = drive(link, &traffic);
        for queue in 0..16 {
            let mine = || arrivals.iter().filter(|arrival| arrival.queue == queue);
            prop_assert!(mine().is_sorted_by_key(|arrival| arrival.cargo));
            // One at a time.
            for (first, second) in mine().zip(mine().skip(1)) {
                prop_assert!(left(link, first) <= second.started.nanos());
            }
        }
    }

    /// Between any two instants, at most so many bytes leave.
    #[test]
    fn the_link_is_never_faster_than_its_bandwidth(link in links(), traffic in traffic()) {
        let arrivals = drive(link, &traffic);
        for from in 0..traffic.len() {
            let start = arrivals.iter().map(|arrival| arrival.started).nth(from);
            let start = start.expect("as many as were submitted");
            let mut bytes = 0;
            for arrival in arrivals.iter().filter(|arrival| start <= arrival.started) {
                bytes += u128::from(arrival.bytes) * 1_000_000_000;
                let took = u128::from(left(link, arrival) - start.nanos());
                prop_assert!(bytes <= (took + 1) * rate_of(link), "{bytes} in {took}");
            }
        }
    }

    /// While there is work it is done at the full bandwidth: but for a nanosecond at the end of
    /// each transfer, it is over when a link without queues would be done.
    #[test]
    fn the_link_is_never_idle_while_work_waits(link in links(), traffic in traffic()) {
        let (mut now, mut done) = (0_u128, 0_u128);
        for (pause, bytes) in &traffic {
            now += u128::from(*pause);
            done = done.max(now * rate_of(link)) + u128::from(*bytes) * 1_000_000_000;
        }
        let ideal = done.div_ceil(rate_of(link));
        let arrivals = drive(link, &traffic);
        let last = u128::from(arrivals.iter().map(|each| left(link, each)).max().expect("some"));
        prop_assert!(ideal <= last, "{last} is before {ideal}");
        let slack = if link.queues == 1 { 0 } else { traffic.len() as u128 };
        prop_assert!(last <= ideal + slack, "{last} is after {ideal}");
    }

    #[test]
    fn the_totals_are_what_was_submitted(link in links(), traffic in traffic()) {
        let mut model = LinkModel::new(link);
        for (at, bytes) in &traffic {
            model.submit(tick(*at), Direction::In, *bytes, ());
        }
        prop_assert_eq!(model.totals(tick(0), Direction::In).in_flight, traffic.len() as u64);
        let arrivals = run(&mut model);
        let end = arrivals.last().expect("some").completed;
        let totals = model.totals(end, Direction::In);
        prop_assert_eq!(totals.transfers, traffic.len() as u64);
        prop_assert_eq!(totals.bytes, traffic.iter().map(|(_, bytes)| bytes).sum::<u64>());
        prop_assert_eq!(totals.in_flight, 0);
        let enough = u128::from(totals.bytes) * 1_000_000_000;
        prop_assert!(enough <= totals.busy.as_nanos() * rate_of(link));
    }
}
