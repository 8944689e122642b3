//! Plain slices, for objects that nobody else can have.

use bo_client::{Access, AllocSpec, ExclusiveError, Object};

use crate::fake::Fake;

fn allocate() -> Object {
    Fake::honest().connect().allocate(AllocSpec::new(8192)).expect("room")
}

#[track_caller]
fn check_refused(object: Object, reason: &str) -> Object {
    let ExclusiveError { object, error } = object.into_exclusive().expect_err("not alone");
    assert!(error.is_invalid());
    assert!(error.to_string().contains(reason), "{error}");
    object
}

#[test]
fn an_object_that_is_ours_alone_is_a_slice() {
    let mut bytes = allocate().into_exclusive().expect("ours alone");
    assert_eq!(bytes.len(), 8192);
    bytes.fill(7);
    bytes[1..4].copy_from_slice(&[3, 2, 1]);
    bytes[..4].sort_unstable();
    assert_eq!(bytes[..5], [1, 2, 3, 7, 7]);
}

#[test]
fn an_object_can_be_shared_after_it_was_exclusive() {
    let mut bytes = allocate().into_exclusive().expect("ours alone");
    bytes[0] = 9;
    let object = bytes.into_object();
    object.export(Access::ReadWrite).expect("exported");
    let mut back = [0];
    object.map().expect("mapped").read_at(0, &mut back).expect("inside");
    assert_eq!(back, [9]);
}

#[test]
fn an_object_that_is_mapped_cannot_be_exclusive() {
    let object = allocate();
    let mapping = object.map().expect("mapped");
    let object = check_refused(object, "mapped already");
    drop(mapping);
    object.into_exclusive().expect("ours alone again");
}

#[test]
fn an_object_whose_mapping_was_leaked_cannot_be_exclusive() {
    let object = allocate();
    let _leaked = std::mem::ManuallyDrop::new(object.map().expect("mapped"));
    check_refused(object, "mapped already");
}

#[test]
fn an_object_that_was_ever_exported_cannot_be_exclusive() {
    let object = allocate();
    drop(object.export(Access::ReadOnly).expect("exported"));
    check_refused(object, "exported or imported");
}

#[test]
fn an_object_that_was_imported_cannot_be_exclusive() {
    let client = Fake::honest().connect();
    let object = client.allocate(AllocSpec::new(1)).expect("room");
    let exported = object.export(Access::ReadWrite).expect("exported");
    let imported = client.import(exported, Access::ReadWrite).expect("imported");
    check_refused(imported, "exported or imported");
}

#[test]
fn an_exclusive_mapping_goes_in_order() {
    let fake = Fake::honest();
    let object = fake.connect().allocate(AllocSpec::new(1)).expect("room");
    drop(object.into_exclusive().expect("ours alone"));
    assert_eq!(fake.log(), ["allocate", "map", "unmap", "release"]);
}
