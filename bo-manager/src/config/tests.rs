//! What is accepted, and what is refused with which advice.

use std::time::Duration;

use bo_units::ByteRate;

use super::*;

fn config() -> Config {
    Config::new(ByteCount::mib(1), ByteCount::mib(4), "/tmp/socket".into())
}

#[test]
fn usual_settings_are_accepted() {
    assert!(config().check().is_ok());
}

#[test]
fn a_pool_of_nothing_is_refused_with_what_to_do() {
    let error = Config { vram: ByteCount::new(4096), ..config() }.check().unwrap_err();
    assert!(error.to_string().contains("--vram at least 64 KiB"), "{error}");
}

#[test]
fn pages_too_large_for_the_pool_are_refused() {
    let page_size = PageSize::new(2 << 20).ok();
    let error = Config { page_size, ..config() }.check().unwrap_err();
    assert!(error.to_string().contains("sixteen pages"), "{error}");
}

#[test]
fn reserving_for_frames_that_are_not_huge_is_refused() {
    for backing in [Backing::Pages, Backing::Thp] {
        let error = Config { backing, reserve: true, ..config() }.check().unwrap_err();
        assert!(error.to_string().contains("--backing huge or auto"), "{error}");
    }
}

#[test]
fn no_threads_are_refused() {
    assert!(Config { fault_threads: Some(0), ..config() }.check().is_err());
}

#[test]
fn a_cpu_for_each_thread_and_no_more() {
    let cpus = Some("0,2".parse().unwrap());
    let three = Config { fault_threads: Some(3), fault_cpus: cpus.clone(), ..config() };
    assert!(three.check().unwrap_err().to_string().contains("can be left out"));
    assert!(Config { fault_cpus: cpus, ..config() }.check().is_ok());
}

#[test]
fn polling_and_shards_have_their_limits() {
    let busy_poll = Duration::from_secs(2);
    assert!(Config { busy_poll, ..config() }.check().is_err());
    for uffd_shards in [0, 17] {
        assert!(Config { uffd_shards, ..config() }.check().is_err());
    }
}

#[test]
fn links_beyond_what_is_sensible_are_refused_with_what_is() {
    let bandwidth = |count| ByteRate::per_second(count).expect("not zero");
    let good = LinkConfig {
        bandwidth: bandwidth(ByteCount::gib(16)),
        latency: LINK_LATENCY_MAX,
        queues: LINK_QUEUES_MAX,
    };
    let check = |link| Config { link: Some(link), ..config() }.check();
    assert!(check(good).is_ok());
    let refused = |link, advice: &str| {
        let message = check(link).expect_err("refused").to_string();
        assert!(message.contains(advice), "{message}");
    };
    let slow = bandwidth(ByteCount::kib(1023));
    refused(LinkConfig { bandwidth: slow, ..good }, "1023 KiB/s: give 1MiB/s to 1TiB/s");
    let latency = LINK_LATENCY_MAX + Duration::from_nanos(1);
    refused(LinkConfig { latency, ..good }, "1s 1ns: give 0s to 1s");
    refused(LinkConfig { queues: 0, ..good }, "--link-queues is 0: give 1 to 16");
    refused(LinkConfig { queues: 17, ..good }, "--link-queues is 17: give 1 to 16");
}

#[test]
fn no_objects_are_refused() {
    assert!(Config { max_objects: 0, ..config() }.check().is_err());
    assert!(Config { max_objects: OBJECTS_MAX + 1, ..config() }.check().is_err());
}

#[test]
fn a_threshold_beyond_all_is_refused() {
    let error = Config { prefetch_threshold: 101, ..config() }.check().unwrap_err();
    assert!(error.to_string().contains("at most 100"), "{error}");
}

#[test]
fn marks_become_bytes_of_the_pool() {
    let core = config().core(false);
    assert_eq!(core.marks.reclaim_start_free.get(), (1 << 20) - (1 << 20) * 9 / 10);
    assert_eq!(core.marks.reclaim_stop_free.get(), (1 << 20) - (1 << 20) * 7 / 10);
    assert_eq!(core.marks.clean_start.map(ByteCount::get), Some((1 << 20) * 7 / 10));
    assert_eq!(Config { clean_start: None, ..config() }.core(false).marks.clean_start, None);
}

#[test]
fn reclaim_that_stops_no_lower_than_it_starts_is_refused() {
    let (start, stop) = (Percent::RECLAIM_STOP, Percent::RECLAIM_STOP);
    let bad = Config { reclaim_start: start, reclaim_stop: stop, ..config() };
    let error = bad.check().unwrap_err().to_string();
    assert!(error.contains("--reclaim-stop (70%) must be below"), "{error}");
}

#[test]
fn sizes_that_wrap_are_refused() {
    let vram = ByteCount::new(u64::MAX);
    assert!(Config { vram, ..config() }.check().is_err());
}

#[test]
fn another_size_has_the_same_percentages() {
    let marks = config().marks(ByteCount::mib(10));
    assert_eq!(marks.reclaim_start_free, ByteCount::mib(1));
    assert_eq!(marks.reclaim_stop_free, ByteCount::mib(3));
    assert_eq!(marks.clean_start, Some(ByteCount::mib(7)));
}

#[test]
fn orders_are_taken_beside_the_clients() {
    let path = |socket: &str| default_control_path(Path::new(socket));
    assert_eq!(path("/run/bo-manager.sock"), Path::new("/run/bo-manager-control.sock"));
    assert_eq!(path("/tmp/x/socket"), Path::new("/tmp/x/socket-control.sock"));
}
