//! Connecting, and what can be in the way.

use std::time::{Duration, Instant};

use bo_client::{ByteCount, Client, DaemonLost, Error, PageSize};
use bo_wire::{LimitKind, Refusal, Reply, Request};

use crate::fake::{Action, Fake, listen_without_accepting, welcome, welcome_with_device};

/// What comes of connecting to a daemon that answers the first message like this.
fn connect(on_hello: impl Fn(u32) -> Action + Send + Sync + 'static) -> Result<Client, Error> {
    let fake = Fake::with(move |id, request| match request.name() {
        "hello" => on_hello(id),
        _ => Action::Honest,
    });
    Client::builder().connect_timeout(Duration::from_millis(200)).connect(fake.path())
}

#[test]
fn a_client_learns_what_the_daemon_has() {
    let client = Fake::honest().connect();
    assert_eq!(client.id(), 7);
    assert_eq!(client.vram_capacity(), ByteCount::gib(1));
    assert_eq!(client.ram_capacity(), ByteCount::gib(4));
    assert_eq!(client.default_page_size(), Some(PageSize::MIN));
}

#[test]
fn a_client_says_who_it_is_before_anything_else() {
    let fake = Fake::with(|_, request| {
        if let Request::Hello { name, on_lost } = request {
            assert_eq!(name.as_str(), "painter");
            assert_eq!(*on_lost, DaemonLost::Sigbus);
        }
        Action::Honest
    });
    let builder = Client::builder().name("painter").on_daemon_lost(DaemonLost::Sigbus);
    let _client = fake.connect_with(builder);
    assert_eq!(fake.world().log, ["hello", "attach_uffd"]);
}

#[test]
fn a_client_can_make_its_userfaultfd_from_the_device() {
    let client = connect(|_| welcome_with_device()).expect("connected");
    assert_eq!(client.default_page_size(), None);
}

#[test]
fn nobody_can_connect_where_nobody_listens() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Client::connect(dir.path().join("nothing")).expect_err("nobody there");
    assert!(error.is_gone());
    assert!(error.to_string().contains("start bo-manager"), "{error}");
}

#[test]
fn nobody_can_connect_to_a_socket_that_was_left_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    drop(listen_without_accepting(&path));
    assert!(Client::connect(path).expect_err("nobody there").is_gone());
}

#[test]
fn a_daemon_that_does_not_accept_cannot_hold_a_client_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let _listener = listen_without_accepting(&path);
    let start = Instant::now();
    let builder = Client::builder().connect_timeout(Duration::from_millis(50));
    assert!(builder.connect(path).expect_err("no answer").is_timeout());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_daemon_that_does_not_answer_cannot_hold_a_client_up() {
    assert!(connect(|_| Action::Silence).expect_err("no answer").is_timeout());
}

#[test]
fn a_refused_client_is_told_why() {
    let refuse = |refusal| connect(move |_| Action::Reply(Reply::Refused(refusal), vec![]));
    assert!(refuse(Refusal::Draining).expect_err("refused").is_draining());
    let full = Refusal::Limit { what: LimitKind::Clients, limit: 64 };
    let error = refuse(full).expect_err("refused");
    assert!(error.is_quota());
    assert!(error.to_string().contains("the limit of 64 clients is reached"), "{error}");
}

#[test]
fn a_daemon_that_hangs_up_is_gone() {
    assert!(connect(|_| Action::HangUp).expect_err("hung up").is_gone());
}

#[test]
fn a_daemon_of_another_version_cannot_be_talked_to() {
    let error = connect(|id| {
        let mut packet = bo_wire::encode_reply(id, &welcome());
        packet[4] = 9;
        Action::Bytes(packet)
    })
    .expect_err("another version");
    assert!(error.is_protocol());
    assert!(error.to_string().contains("protocol version 9"), "{error}");
}

#[test]
fn a_default_page_size_that_is_none_is_a_fault_of_the_daemon() {
    let error = connect(|_| {
        let Reply::Welcome { client, uffd, uffds, vram_bytes, ram_bytes, .. } = welcome() else {
            unreachable!("a welcome is one");
        };
        let page_bytes_default = Some(5000);
        let reply =
            Reply::Welcome { client, uffd, uffds, vram_bytes, ram_bytes, page_bytes_default };
        Action::Reply(reply, vec![])
    })
    .expect_err("implausible");
    assert!(error.is_protocol());
}
