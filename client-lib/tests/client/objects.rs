//! Objects: what they are, and when they are let go of.

use bo_client::{Access, AllocSpec, ByteCount, PageSize, Placement, Priority};
use bo_wire::{Refusal, Reply};

use crate::fake::{Action, Fake};

#[test]
fn an_object_is_rounded_up_to_whole_pages() {
    let spec = AllocSpec::new(100_000).page_size(PageSize::KIB_64).label("odd one");
    let object = Fake::honest().connect().allocate(spec).expect("room");
    assert_eq!(object.requested_size(), ByteCount::new(100_000));
    assert_eq!(object.size(), ByteCount::kib(128));
    assert_eq!(object.page_size(), PageSize::KIB_64);
    assert_eq!(object.placement(), Placement::Vram);
    assert_eq!(object.access(), Access::ReadWrite);
    assert_eq!(object.label(), "odd one");
}

#[test]
fn a_full_daemon_says_what_would_have_been_possible() {
    let refusal = Refusal::OutOfMemory { asked: 3 << 30, left: 1 << 30 };
    let fake = Fake::with(move |_, request| match request.name() {
        "allocate" => Action::Reply(Reply::Refused(refusal), vec![]),
        _ => Action::Honest,
    });
    let error = fake.connect().allocate(AllocSpec::new(3 << 30)).expect_err("too much");
    assert!(error.is_out_of_memory());
    assert!(!error.is_never_fits());
    assert!(error.to_string().starts_with("cannot allocate 3 GiB: "), "{error}");
}

#[test]
fn an_object_is_released_once_when_it_is_dropped() {
    let fake = Fake::honest();
    let object = fake.connect().allocate(AllocSpec::new(1)).expect("room");
    drop(object);
    assert_eq!(fake.log(), ["allocate", "release"]);
}

#[test]
fn a_mapping_keeps_its_object() {
    let fake = Fake::honest();
    let client = fake.connect();
    let object = client.allocate(AllocSpec::new(1)).expect("room");
    let mapping = object.map().expect("mapped");
    drop((client, object));
    assert_eq!(fake.log(), ["allocate", "map"]);
    mapping.write_at(0, b"kept").expect("inside");
    drop(mapping);
    assert_eq!(fake.log(), ["allocate", "map", "unmap", "release"]);
}

#[test]
fn touching_and_prefetching_cover_the_pages_around_bytes() {
    let fake = Fake::honest();
    let object = fake.connect().allocate(AllocSpec::new(5 * 4096)).expect("room");
    assert_eq!(object.prefetch(4095..4097).expect("inside"), ByteCount::kib(8));
    assert_eq!(object.prefetch(0..5 * 4096).expect("inside"), ByteCount::kib(20));
    object.touch_range(1..2).expect("inside");
    object.touch().expect("connected");
    assert_eq!(fake.log(), ["allocate", "prefetch", "prefetch", "touch", "touch"]);
}

#[test]
fn a_priority_is_passed_on_and_needs_the_right_to_write() {
    let fake = Fake::honest();
    let client = fake.connect();
    let object = client.allocate(AllocSpec::new(4096)).expect("room");
    object.set_priority(Priority::High).expect("connected");
    let exported = object.export(Access::ReadOnly).expect("connected");
    let reader = client.import(exported.token(), Access::ReadOnly).expect("there");
    assert!(reader.set_priority(Priority::Low).expect_err("read-only").is_permission());
    assert_eq!(fake.log(), ["allocate", "set_priority", "export", "import_token"]);
}

#[test]
fn nothing_need_be_asked_about_no_bytes() {
    let fake = Fake::honest();
    let object = fake.connect().allocate(AllocSpec::new(4096)).expect("room");
    assert_eq!(object.prefetch(4096..4096).expect("inside"), ByteCount::ZERO);
    object.touch_range(0..0).expect("inside");
    assert_eq!(fake.log(), ["allocate"]);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
fn bytes_outside_of_an_object_cannot_be_asked_about() {
    let object = Fake::honest().connect().allocate(AllocSpec::new(4096)).expect("room");
    assert!(object.prefetch(0..4097).expect_err("outside").is_invalid());
    assert!(object.touch_range(u64::MAX - 1..u64::MAX).expect_err("outside").is_invalid());
    assert!(object.touch_range(2..1).expect_err("backward").is_invalid());
}

#[test]
fn an_object_has_numbers() {
    let object = Fake::honest().connect().allocate(AllocSpec::new(8192)).expect("room");
    let stat = object.stat().expect("connected");
    assert_eq!((stat.total_bytes, stat.resident_bytes), (8192, 8192));
}

#[test]
fn threads_share_a_client() {
    let fake = Fake::honest();
    let client = fake.connect();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let client = &client;
            scope.spawn(move || {
                let object = client.allocate(AllocSpec::new(4096)).expect("room");
                let mapping = object.map().expect("mapped");
                mapping.write_at(0, &[number]).expect("inside");
                let mut back = [0];
                mapping.read_at(0, &mut back).expect("inside");
                assert_eq!(back, [number]);
            });
        }
    });
    assert_eq!(fake.log().iter().filter(|name| **name == "release").count(), 8);
}
