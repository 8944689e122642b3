//! What becomes of mappings when the daemon goes.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use bo_client::{AllocSpec, Client, DaemonLost, ExclusiveMapping};

use crate::fake::{Action, Fake, welcome_with_device};

const PAGE: usize = 4096;

/// Three pages, of which the daemon has evicted the one in the middle. Told of a use, it goes.
fn start(on_lost: DaemonLost) -> (Client, ExclusiveMapping) {
    let fake = Fake::with(|_, request| match request.name() {
        "hello" => welcome_with_device(),
        "touch" => Action::HangUp,
        _ => Action::Honest,
    });
    let client = fake.connect_with(Client::builder().on_daemon_lost(on_lost));
    let object = client.allocate(AllocSpec::new(3 * PAGE as u64)).expect("room");
    let mut bytes = object.into_exclusive().expect("ours alone");
    bytes.fill(5);
    let world = fake.world();
    world.objects[&1].punch(PAGE as u64, PAGE as u64).expect("punched");
    drop(world);
    (client, bytes)
}

/// Has the daemon hang up.
fn end(client: &Client) {
    let object = client.allocate(AllocSpec::new(1)).expect("room");
    assert!(object.touch().expect_err("hung up").is_gone());
}

/// What write(2) makes of these bytes. It waits for an absent page, and fails for a lost one.
fn write_out(bytes: &[u8]) -> Result<usize, rustix::io::Errno> {
    let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
    rustix::io::write(writer, bytes)
}

#[test]
fn who_waits_for_a_lost_page_is_answered() {
    let (client, bytes) = start(DaemonLost::Sigbus);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| write_out(&bytes[PAGE..=PAGE]));
        end(&client);
        assert_eq!(waiting.join().expect("no panic"), Err(rustix::io::Errno::FAULT));
    });
    // And so is who comes later.
    assert_eq!(write_out(&bytes[PAGE..=PAGE]), Err(rustix::io::Errno::FAULT));
}

#[test]
fn pages_that_are_there_outlive_the_daemon() {
    let (client, mut bytes) = start(DaemonLost::Sigbus);
    end(&client);
    assert_eq!(write_out(&bytes[PAGE..=PAGE]), Err(rustix::io::Errno::FAULT));
    assert_eq!((bytes[0], bytes[2 * PAGE]), (5, 5));
    bytes[0] = 6;
    bytes[2 * PAGE] = 7;
    assert_eq!((bytes[0], bytes[2 * PAGE]), (6, 7));
}

#[test]
fn a_page_that_is_lost_later_is_answered_for_too() {
    let fake = Fake::with(|_, request| match request.name() {
        "hello" => welcome_with_device(),
        "touch" => Action::HangUp,
        _ => Action::Honest,
    });
    let client = fake.connect_with(Client::builder().on_daemon_lost(DaemonLost::Sigbus));
    let object = client.allocate(AllocSpec::new(PAGE as u64)).expect("room");
    let mut bytes = object.into_exclusive().expect("ours alone");
    bytes.fill(5);
    end(&client);
    assert_eq!(write_out(&bytes[..1]), Ok(1));
    fake.world().objects[&1].punch(0, PAGE as u64).expect("punched");
    assert_eq!(write_out(&bytes[..1]), Err(rustix::io::Errno::FAULT));
}

#[test]
fn mappings_can_be_dropped_after_the_daemon() {
    let (client, bytes) = start(DaemonLost::Sigbus);
    end(&client);
    drop(bytes.into_object());
    drop(client);
}

#[test]
fn touching_a_lost_page_raises_sigbus() {
    let this_program = std::env::current_exe().expect("procfs");
    let status = Command::new(this_program)
        .args(["--exact", "lost::touches_a_lost_page_if_told_to", "--test-threads=1"])
        .env(TOLD_TO, "1")
        .status()
        .expect("this program runs");
    assert_eq!(status.signal(), Some(rustix::process::Signal::BUS.as_raw()), "{status}");
}

const TOLD_TO: &str = "BO_TEST_TOUCH_A_LOST_PAGE";

/// The other half of the test above: ends its process, if told to.
#[test]
fn touches_a_lost_page_if_told_to() {
    if std::env::var_os(TOLD_TO).is_none() {
        return;
    }
    let (client, bytes) = start(DaemonLost::Sigbus);
    end(&client);
    panic!("read {} from a page that is lost", bytes[PAGE]);
}
