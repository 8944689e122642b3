//! Packets arrive whole, with their descriptors, or not at all.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::PathBuf, process};

use super::*;

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let path = std::env::temp_dir().join(format!("bo-sys-{}-{test}", process::id()));
        fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn receive_text(fd: &OwnedFd) -> (Vec<u8>, Received) {
    let mut buffer = [0; 64];
    let received = receive(fd, &mut buffer).unwrap();
    (buffer[..received.len].to_vec(), received)
}

#[test]
fn packets_keep_their_boundaries() {
    let (left, right) = pair().unwrap();
    send(&left, b"first", &[]).unwrap();
    send(&left, b"second", &[]).unwrap();
    assert_eq!(receive_text(&right).0, b"first");
    assert_eq!(receive_text(&right).0, b"second");
}

#[test]
fn a_closed_peer_is_an_empty_packet() {
    let (left, right) = pair().unwrap();
    drop(left);
    let (text, received) = receive_text(&right);
    assert_eq!((text.len(), received.descriptors.len()), (0, 0));
    assert_eq!(send(&right, b"x", &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn an_empty_packet_cannot_be_sent() {
    let (left, _right) = pair().unwrap();
    assert_eq!(send(&left, b"", &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_packet_too_long_for_the_buffer_says_so() {
    let (left, right) = pair().unwrap();
    send(&left, &[7; 65], &[]).unwrap();
    let (text, received) = receive_text(&right);
    assert_eq!(text.len(), 64);
    assert!(received.truncated && !received.descriptors_lost);
    send(&left, &[7; 64], &[]).unwrap();
    assert!(!receive_text(&right).1.truncated);
}

#[test]
fn as_many_descriptors_arrive_as_the_kernel_can_carry() {
    let (left, right) = pair().unwrap();
    let many = vec![left.as_fd(); DESCRIPTORS_MAX];
    send(&left, b"many", &many).unwrap();
    let (_, received) = receive_text(&right);
    assert_eq!(received.descriptors.len(), DESCRIPTORS_MAX);
    assert!(!received.truncated && !received.descriptors_lost);
    let more = vec![left.as_fd(); DESCRIPTORS_MAX + 1];
    assert_eq!(send(&left, b"more", &more).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn received_descriptors_work_and_close_on_exec() {
    let (left, right) = pair().unwrap();
    let (inner_left, inner_right) = pair().unwrap();
    send(&left, b"one", &[inner_left.as_fd()]).unwrap();
    let (_, received) = receive_text(&right);
    let [inner] = &received.descriptors[..] else { panic!("one was sent") };
    send(inner, b"through", &[]).unwrap();
    assert_eq!(receive_text(&inner_right).0, b"through");
    let flags = rustix::io::fcntl_getfd(inner).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn non_blocking_sockets_say_that_they_would_block() {
    let (left, right) = pair().unwrap();
    set_nonblocking(&right, true).unwrap();
    assert_eq!(receive(&right, &mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    set_nonblocking(&left, true).unwrap();
    let full = (0..10_000).find_map(|_| send(&left, &[0; 64], &[]).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_timeout_ends_a_blocking_receive() {
    let (_left, right) = pair().unwrap();
    set_timeout(&right, Some(Duration::from_millis(10))).unwrap();
    assert_eq!(receive(&right, &mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_peer_is_known_to_the_kernel() {
    let place = Place::new("peer");
    let listener = listen(&place.socket(), 8, 0o600).unwrap();
    let client = connect(&place.socket(), Duration::from_secs(5)).unwrap();
    let server = accept(&listener).unwrap();
    let peer = peer(&server).unwrap();
    assert_eq!(peer.pid.unsigned_abs(), process::id());
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    let pidfd = pidfd_of_peer(&server).unwrap();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    assert!(info.lines().any(|line| line == format!("Pid:\t{}", process::id())));
    send(&client, b"hello", &[]).unwrap();
    assert_eq!(receive_text(&server).0, b"hello");
    assert!(pidfd_open(process::id().cast_signed()).is_ok());
}

#[test]
fn there_is_no_pidfd_of_nobody() {
    for pid in [0, -1, i32::MIN] {
        assert_eq!(pidfd_open(pid).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let (read_end, _write_end) = rustix::pipe::pipe().unwrap();
    assert!(peer(&read_end).is_err());
    assert!(pidfd_of_peer(&read_end).is_err());
}

#[test]
fn a_live_socket_is_not_replaced() {
    let place = Place::new("live");
    let _listener = listen(&place.socket(), 8, 0o600).unwrap();
    let second = listen(&place.socket(), 8, 0o600).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::AddrInUse);
    assert!(connect(&place.socket(), Duration::from_secs(5)).is_ok());
}

#[test]
fn a_dead_socket_is_replaced() {
    let place = Place::new("dead");
    drop(listen(&place.socket(), 8, 0o600).unwrap());
    assert!(place.socket().exists());
    let refused = connect(&place.socket(), Duration::from_secs(5)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let _listener = listen(&place.socket(), 8, 0o600).unwrap();
    assert!(connect(&place.socket(), Duration::from_secs(5)).is_ok());
}

#[test]
fn another_kind_of_file_is_not_replaced() {
    let place = Place::new("file");
    fs::write(place.socket(), "precious").unwrap();
    let refused = listen(&place.socket(), 8, 0o600).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    fs::remove_file(place.socket()).unwrap();
    let elsewhere = place.0.join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, place.socket()).unwrap();
    let refused = listen(&place.socket(), 8, 0o600).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_socket_has_the_permissions_asked_for() {
    let place = Place::new("mode");
    for mode in [0o600, 0o660, 0o666] {
        drop(listen(&place.socket(), 8, mode).unwrap());
        let found = fs::metadata(place.socket()).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode);
    }
}

#[test]
fn a_full_queue_ends_in_a_timeout() {
    let place = Place::new("full");
    let _listener = listen(&place.socket(), 0, 0o600).unwrap();
    let _first = connect(&place.socket(), Duration::from_secs(5)).unwrap();
    let second = connect(&place.socket(), Duration::from_millis(10)).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::TimedOut);
    let taken = listen(&place.socket(), 8, 0o600).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

#[test]
fn nobody_can_be_found_at_a_missing_or_endless_path() {
    let place = Place::new("missing");
    let missing = connect(&place.socket(), Duration::from_secs(5)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let endless = place.0.join("x".repeat(108));
    let refused = connect(&endless, Duration::from_secs(5)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(listen(&endless, 8, 0o600).unwrap_err().kind(), ErrorKind::InvalidInput);
}
