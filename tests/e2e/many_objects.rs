//! Very many objects, and what is said when the descriptors give out.

use bo_client::{AllocSpec, Client, Object};
use bo_tests::{Answer, Order, Pool, Station, User};
use bo_units::ByteCount;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::{PROGRAMS, SEED};

/// Objects of the large story, if this host has descriptors for them; `BO_OBJECTS=250000` asks for
/// as many as a daemon usually allows.
const OBJECTS: u64 = 20_000;

const PAGE: u64 = 4096;

/// What a daemon keeps of its descriptors for other things than objects.
const RESERVED: u64 = 384;

/// What the other tests of this process need of its descriptors.
const OTHER_TESTS: u64 = 2000;

/// As many objects as are wanted and as this host's hard limit allows. This process holds them.
fn possible_objects() -> u64 {
    let asked = std::env::var("BO_OBJECTS").ok().and_then(|text| text.parse().ok());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.expect("any process may do that");
    let most = maximum.map_or(u64::MAX, |limit| limit.saturating_sub(OTHER_TESTS));
    let count = asked.unwrap_or(OBJECTS).min(most);
    println!("{count} objects");
    assert!(count >= 1000, "the hard limit is too low for this test: raise it with ulimit -Hn");
    count
}

fn allocate(client: &Client) -> Result<Object, bo_client::Error> {
    client.allocate(AllocSpec::new(PAGE).label("one of many"))
}

#[test]
fn very_many_objects_live_at_one_time_and_each_has_its_bytes() {
    let count = possible_objects();
    // Every fourth is written to, and half of those fit the pool.
    let (vram, ram) = (ByteCount::new(count / 8 * PAGE), ByteCount::new(count * PAGE));
    let pool = Pool { vram, ram, ..Pool::kib(0) };
    let most = format!("--max-objects={count}");
    let station = Station::process_limited(&PROGRAMS, pool, Some(count + RESERVED), &[&most]);
    assert_eq!(station.books().lacks(), [""; 0], "there are descriptors for all");
    let client = Client::connect(station.socket()).expect("it serves");
    let objects: Vec<Object> =
        (0..count).map(|_| allocate(&client).expect("there is room for it")).collect();
    let books = station.books();
    assert_eq!((books.gauge("objects"), books.limit("objects")), (count, count));
    let refused = allocate(&client).expect_err("one too many");
    assert!(refused.is_quota() && refused.to_string().contains("objects"), "{refused}");
    let mut mapped = Vec::new();
    // With more, a client would come near vm.max_map_count.
    for (number, object) in (SEED..).zip(objects.iter().step_by(4).take(20_000)) {
        let mapping = object.map().expect("it can be mapped");
        mapping.write_at(8, &number.to_ne_bytes()).expect("it is writable");
        mapped.push((number, mapping));
    }
    assert_ne!(station.books().counter("evictions"), 0);
    for (number, mapping) in &mapped {
        let mut bytes = [0; 8];
        mapping.read_at(8, &mut bytes).expect("it is readable");
        assert_eq!(u64::from_ne_bytes(bytes), *number);
    }
    drop(mapped);
    drop(objects);
    let gauges = ["objects", "mappings", "vram_used_bytes", "store_held_bytes", "committed_bytes"];
    assert_eq!(gauges.map(|name| station.books().gauge(name)), [0; 5]);
}

#[test]
fn a_client_that_dies_with_very_many_objects_gives_them_all_back() {
    let pool = Pool::kib(1024);
    let station = Station::embedded(&PROGRAMS, pool);
    let mut actor = station.client(User::Root);
    let (large, mapping) = actor.allocate_and_map(8 << 20);
    actor.fill(mapping, SEED);
    assert_ne!(actor.stat(large).stored_bytes, 0);
    for _ in 0..500 {
        let (_, mapping) = actor.allocate_and_map(PAGE);
        actor.fill(mapping, SEED);
    }
    let mut other = station.client(User::Nobody);
    let (_, theirs) = other.allocate_and_map(2 << 20);
    actor.kill();
    // While that is given back, others are served.
    other.fill(theirs, SEED);
    other.check(theirs, SEED);
    station.wait_until("it is gone", |books| books.population() == [1, 1, 1]);
    let books = station.books();
    assert!(books.used().0 <= 2 << 20 && books.gauge("store_held_bytes") <= 2 << 20);
    assert_eq!(books.gauge("committed_bytes"), 2 << 20);
    other.check(theirs, SEED);
}

#[test]
fn a_daemon_without_descriptors_says_so_and_refuses_what_it_cannot_hold() {
    let pool = Pool::kib(256);
    let station = Station::process_limited(&PROGRAMS, pool, Some(400), &[]);
    let possible = 400 - RESERVED;
    let books = station.books();
    assert_eq!(books.limit("descriptors"), 400);
    assert_eq!(books.limit("objects"), possible);
    assert_eq!(books.limit("objects_wanted"), 250_000);
    let said = format!("allows {possible} objects at one time instead of 250000");
    let lacks = books.lacks();
    assert!(lacks.iter().any(|lack| lack.contains(&said)), "{lacks:?}");
    // The line may come a moment after the one that says that it serves.
    bo_tests::until("the log says so", || {
        station.log().iter().any(|line| line.contains(&said)).then_some(())
    });
    let client = Client::connect(station.socket()).expect("it serves");
    let mut objects: Vec<Object> =
        (0..possible).map(|_| allocate(&client).expect("there is room for it")).collect();
    let mapping = objects[7].map().expect("it can be mapped");
    mapping.write_at(0, b"kept").expect("it is writable");
    let refused = allocate(&client).expect_err("one too many");
    assert!(refused.is_quota(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("400 descriptors") && text.contains("RLIMIT_NOFILE"), "{text}");
    // Others are served all the same, and so is whoever gives one back.
    let mut other = station.client(User::Nobody);
    let refused = other.refused(&Order::Allocate { bytes: PAGE, page_bytes: None });
    assert!(refused.message.contains("RLIMIT_NOFILE"), "{refused:?}");
    objects.truncate(objects.len() - 1);
    let (_, theirs) = other.allocate_and_map(PAGE);
    other.fill(theirs, SEED);
    other.check(theirs, SEED);
    let mut bytes = [0; 4];
    mapping.read_at(0, &mut bytes).expect("it is readable");
    assert_eq!(&bytes, b"kept");
    assert_eq!(station.metrics().get("bo_objects_max"), Some(&possible));
}

#[test]
fn a_client_without_descriptors_is_told_that_they_are_its_own() {
    let station = Station::process(&PROGRAMS, Pool::kib(256));
    // Of this user, since one may lower the limits of one's own processes only.
    let mut actor = station.client(User::Root);
    let (_, mapping) = actor.allocate_and_map(PAGE);
    actor.fill(mapping, SEED);
    let limit = Rlimit { current: Some(32), maximum: Some(32) };
    prlimit(Some(actor.pid()), Resource::Nofile, limit).expect("it is ours");
    let order = Order::Allocate { bytes: PAGE, page_bytes: None };
    let refused = (0..40).find_map(|_| {
        let Answer::Refused(refused) = actor.ask(&order) else { return None };
        Some(refused)
    });
    let refused = refused.expect("it has no more than 32");
    assert!(refused.message.contains("RLIMIT_NOFILE (ulimit -n)"), "{refused:?}");
    assert!(!refused.is("is_quota"), "the daemon has enough: {refused:?}");
    // What it could not take was given back.
    let before = station.books().gauge("objects");
    let again = actor.refused(&order);
    assert!(again.message.contains("RLIMIT_NOFILE"), "{again:?}");
    assert_eq!(station.books().gauge("objects"), before);
    actor.check(mapping, SEED);
}
