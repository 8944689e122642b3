//! A daemon that breaks the protocol after all went well.

use std::time::Duration;

use bo_client::{AllocSpec, Client, Error, Object};
use bo_wire::{Refusal, Reply, encode_reply};

use crate::fake::{Action, Fake};

/// A client with an object, whose daemon answers a stat like this.
fn start(on_stat: impl Fn(u32) -> Action + Send + Sync + 'static) -> (Client, Object) {
    let fake = Fake::with(move |id, request| match request.name() {
        "stat" => on_stat(id),
        _ => Action::Honest,
    });
    let builder = Client::builder().request_timeout(Duration::from_millis(200));
    let client = fake.connect_with(builder);
    let object = client.allocate(AllocSpec::new(4096)).expect("room for a page");
    (client, object)
}

/// The error of a stat that is answered like this, after which everything must be gone.
#[track_caller]
fn check_ends_connection(on_stat: impl Fn(u32) -> Action + Send + Sync + 'static) -> Error {
    let (client, object) = start(on_stat);
    let error = object.stat().expect_err("a broken protocol");
    assert!(object.touch().expect_err("ended").is_gone());
    assert!(client.allocate(AllocSpec::new(1)).expect_err("ended").is_gone());
    error
}

#[test]
fn a_malformed_reply_ends_the_connection() {
    let error = check_ends_connection(|_| Action::Bytes(b"nonsense".to_vec()));
    assert!(error.is_protocol(), "{error}");
}

#[test]
fn a_reply_to_another_request_ends_the_connection() {
    let error = check_ends_connection(|id| Action::Bytes(encode_reply(id + 1, &Reply::Done)));
    assert!(error.is_protocol(), "{error}");
}

#[test]
fn a_reply_of_another_kind_ends_the_connection() {
    let error = check_ends_connection(|_| Action::Reply(Reply::Done, vec![]));
    assert!(error.is_protocol());
    assert!(error.to_string().contains("\"done\" does not answer"), "{error}");
}

#[test]
fn a_surplus_descriptor_ends_the_connection() {
    let error = check_ends_connection(|_| {
        let surplus = std::fs::File::open("/dev/null").expect("a descriptor");
        Action::Reply(Reply::Stat(bo_wire::ObjectStat::default()), vec![surplus.into()])
    });
    assert!(error.is_protocol());
    assert!(error.to_string().contains("0 descriptors had to come along, and 1 came"), "{error}");
}

#[test]
fn a_missing_descriptor_ends_the_connection() {
    let error = check_ends_connection(|_| {
        Action::Reply(Reply::Exported { token: bo_wire::Token::from_bytes([0; 16]) }, vec![])
    });
    assert!(error.is_protocol(), "{error}");
}

#[test]
fn a_packet_longer_than_any_message_ends_the_connection() {
    let error = check_ends_connection(|_| Action::Bytes(vec![0; 8192]));
    assert!(error.is_protocol(), "{error}");
}

#[test]
fn hanging_up_in_mid_request_is_gone() {
    let error = check_ends_connection(|_| Action::HangUp);
    assert!(error.is_gone());
    assert!(!error.is_protocol());
}

#[test]
fn a_daemon_that_does_not_answer_cannot_hold_a_request_up() {
    let error = check_ends_connection(|_| Action::Silence);
    assert!(error.is_timeout());
}

#[test]
fn a_refusal_does_not_end_the_connection() {
    let (client, object) = start(|_| Action::Reply(Reply::Refused(Refusal::Gone), vec![]));
    assert!(object.stat().expect_err("refused").is_gone());
    object.touch().expect("still connected");
    client.allocate(AllocSpec::new(1)).expect("still connected");
}

#[test]
fn what_the_daemon_grants_must_be_plausible() {
    let fake = Fake::with(|_, request| match request.name() {
        "allocate" => {
            let file = std::fs::File::open("/dev/null").expect("a descriptor");
            let placement = bo_wire::Placement::Vram;
            let reply = Reply::Allocated { object: 1, bytes: 4096, page_bytes: 4096, placement };
            Action::Reply(reply, vec![file.into()])
        }
        _ => Action::Honest,
    });
    let error = fake.connect().allocate(AllocSpec::new(1)).expect_err("no memory file");
    assert!(error.is_protocol(), "{error}");
}
