//! One object, two clients.

use bo_client::{Access, AllocSpec, Client, ExportedObject, Object, Token};

use crate::fake::Fake;

/// Two clients of one daemon, and an object of the first that says "hello".
fn start() -> (Client, Client, Object) {
    let fake = Fake::honest();
    let (owner, other) = (fake.connect(), fake.connect());
    let object = owner.allocate(AllocSpec::new(4096).label("mine")).expect("room");
    object.map().expect("mapped").write_at(0, b"hello").expect("inside");
    (owner, other, object)
}

#[track_caller]
fn check_says_hello(object: &Object) {
    let mut back = [0; 5];
    object.map().expect("mapped").read_at(0, &mut back).expect("inside");
    assert_eq!(&back, b"hello");
}

#[test]
fn an_object_goes_by_token() {
    let (_owner, other, object) = start();
    let written_down = object.export(Access::ReadWrite).expect("exported").token().to_string();
    let token: Token = written_down.parse().expect("as it was displayed");
    let imported = other.import(token, Access::ReadWrite).expect("imported");
    assert_eq!(imported.size(), object.size());
    assert_eq!(imported.requested_size(), object.size());
    assert_eq!(imported.label(), "");
    check_says_hello(&imported);
}

#[test]
fn an_object_goes_by_descriptor() {
    let (_owner, other, object) = start();
    let sent = object.export(Access::ReadWrite).expect("exported").into_descriptor();
    let received = ExportedObject::from_descriptor(sent);
    check_says_hello(&other.import(received, Access::ReadWrite).expect("imported"));
}

#[test]
fn a_read_only_import_sees_every_write_and_makes_none() {
    let (_owner, other, object) = start();
    let exported = object.export(Access::ReadOnly).expect("exported");
    assert_eq!(exported.access(), Access::ReadOnly);
    let imported = other.import(exported, Access::ReadOnly).expect("imported");
    check_says_hello(&imported);
    let theirs = imported.map().expect("mapped");
    object.map().expect("mapped").write_at(0, b"later").expect("inside");
    let mut back = [0; 5];
    theirs.read_at(0, &mut back).expect("inside");
    assert_eq!(&back, b"later");
    assert!(theirs.write_at(0, b"no").expect_err("read-only").is_permission());
    assert!(theirs.atomics().is_none());
}

#[test]
fn what_was_imported_read_only_cannot_be_more() {
    let (_owner, other, object) = start();
    let exported = object.export(Access::ReadOnly).expect("exported");
    let imported = other.import(exported, Access::ReadOnly).expect("imported");
    let range = 0..4096;
    assert!(imported.map_range(range, Access::ReadWrite).expect_err("no").is_permission());
    assert!(imported.export(Access::ReadWrite).expect_err("no").is_permission());
    imported.export(Access::ReadOnly).expect("no more than it has");
}

#[test]
fn a_guessed_token_imports_nothing() {
    let (_owner, other, _object) = start();
    let guess = Token::from_bytes([0xff; 16]);
    assert!(other.import(guess, Access::ReadOnly).expect_err("a guess").is_gone());
}
