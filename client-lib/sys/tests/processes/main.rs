//! The facts that take two processes: a privileged daemon's side and an unprivileged client's.
//!
//! The test program starts itself again as the client, under another user, and tells it what to do
//! over a socket. It needs root, and fails without.

mod client;
mod link;

use std::{
    fs,
    io::ErrorKind,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::ExitStatusExt,
    },
};

use bo_sys::{
    KERNEL_PAGE_BYTES as PAGE,
    memfd::ObjectFile,
    range::AddressRange,
    socket,
    uffd::{
        EventBuffer, FaultKind, InstallEnd, PoisonOutcome, ProtectOutcome, Protection,
        RegisterOutcome, Uffd, UffdDevice,
    },
};
use link::{Answer, Client, Order};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::Signal,
};

/// Name and body of every test.
const TESTS: [(&str, fn()); 10] = [
    ("an_unprivileged_client_has_no_userfaultfd_of_its_own", no_userfaultfd_of_its_own),
    ("a_passed_device_gives_a_full_userfaultfd", a_passed_device_gives_a_full_userfaultfd),
    ("another_user_cannot_reopen_a_read_only_file_for_writing", another_user_cannot_reopen),
    ("a_stopped_client_can_be_evicted_and_filled", a_stopped_client),
    ("a_forked_child_has_no_mapping_and_does_no_harm", a_forked_child),
    ("poison_is_a_bus_error", poison_is_a_bus_error),
    ("poison_reaches_a_thread_that_waits", poison_reaches_a_waiter),
    ("an_exited_client_is_gone_to_every_call", an_exited_client_is_gone),
    ("an_exit_shows_in_the_pidfd_and_not_in_the_userfaultfd", an_exit_shows_in_the_pidfd),
    ("memory_of_a_client_cannot_be_read_from_outside_while_absent", not_read_from_outside),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == link::CLIENT_ARGUMENT) {
        return client::run();
    }
    let chosen = |name: &str| {
        let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
    };
    let mut passed = 0;
    for (name, test) in TESTS.into_iter().filter(|(name, _)| chosen(name)) {
        println!("test {name} ...");
        test();
        passed += 1;
    }
    println!("test result: ok. {passed} passed");
}

/// A client that has mapped a file, and the daemon's descriptors of both.
struct World {
    client: Client,
    object: ObjectFile,
    uffd: Uffd,
    range: AddressRange,
}

impl World {
    fn new(pages: u64) -> World {
        let mut client = Client::start();
        let device = UffdDevice::open().expect("tests run as root");
        let object = ObjectFile::create("world", pages * PAGE).expect("memory");
        let (_, uffd) = client.ask(Order::CreateUffd, 0, Some(device.as_fd()));
        let uffd = Uffd::adopt(uffd.expect("the client has made one")).expect("it is fresh");
        let (address, _) = client.ask(Order::Map, 0, Some(object.as_fd()));
        let Answer::Number(address) = address else { panic!("not mapped: {address:?}") };
        let range = AddressRange::new(address, pages * PAGE).expect("mappings are aligned");
        assert!(matches!(uffd.register(range), RegisterOutcome::Registered));
        assert_eq!(client.ask(Order::Open, 0, None).0, Answer::Number(0));
        World { client, object, uffd, range }
    }

    fn fill(&self, page: u64, byte: u8) {
        let bytes = [byte; 4096];
        assert_eq!(rustix::io::pwrite(&self.object, &bytes, page * PAGE), Ok(bytes.len()));
    }

    fn page(&self, page: u64) -> AddressRange {
        self.range.slice(page * PAGE, PAGE).expect("inside")
    }

    fn install(&self, page: u64) {
        let outcome = self.uffd.install(self.page(page), Protection::Writable);
        assert!(matches!(outcome.end, InstallEnd::Complete), "{outcome:?}");
    }

    fn expect_fault(&self, page: u64, kind: FaultKind) {
        wait_readable(self.uffd.as_fd());
        let mut buffer = EventBuffer::new(1);
        assert_eq!(self.uffd.read_events(&mut buffer).expect("it is ours"), 1);
        let fault = buffer.events().next().expect("one was counted");
        assert_eq!((fault.address, fault.kind), (self.page(page).start(), kind));
    }

    /// The client dies of what it was told to do last.
    fn expect_death(&mut self, signal: i32) {
        assert_eq!(self.client.process.wait().expect("a child").signal(), Some(signal));
    }
}

fn wait_readable(fd: BorrowedFd<'_>) {
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut waiting = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut waiting, Some(&patience)), Ok(1), "nothing happened");
}

fn no_userfaultfd_of_its_own() {
    let mut client = Client::start();
    let own = Answer::Failed(ErrorKind::PermissionDenied);
    assert_eq!(client.ask(Order::OpenDevice, 0, None).0, own);
    assert_eq!(client.ask(Order::CallUserfaultfd, 0, None).0, own);
}

fn a_passed_device_gives_a_full_userfaultfd() {
    let mut world = World::new(2);
    world.client.order(Order::Read, 0, None);
    world.expect_fault(0, FaultKind::Missing);
    world.fill(0, 10);
    world.install(0);
    assert_eq!(world.client.answer().0, Answer::Number(10));
    // And in the kernel, on behalf of a system call.
    world.client.order(Order::WriteToPipe, PAGE, None);
    world.expect_fault(1, FaultKind::Missing);
    world.fill(1, 11);
    world.install(1);
    assert_eq!(world.client.answer().0, Answer::Number(11));
}

fn another_user_cannot_reopen() {
    let mut client = Client::start();
    let object = ObjectFile::create("world", PAGE).expect("memory");
    let reader = object.reopen(true).expect("procfs");
    let denied = Answer::Failed(ErrorKind::PermissionDenied);
    assert_eq!(client.ask(Order::ReopenForWriting, 0, Some(reader.as_fd())).0, denied);
}

fn a_stopped_client() {
    let mut world = World::new(1);
    world.fill(0, 10);
    world.install(0);
    assert_eq!(world.client.ask(Order::Read, 0, None).0, Answer::Number(10));
    world.client.stop();
    assert!(matches!(world.uffd.protect(world.page(0)), ProtectOutcome::Done));
    world.object.punch(0, PAGE).expect("inside");
    world.fill(0, 11);
    world.install(0);
    world.client.signal(Signal::CONT);
    assert_eq!(world.client.ask(Order::Read, 0, None).0, Answer::Number(11));
    world.client.order(Order::Write, 0, None);
    assert_eq!(world.client.answer().0, Answer::Number(0));
}

fn a_forked_child() {
    let mut world = World::new(1);
    let segv = u64::from(Signal::SEGV.as_raw().unsigned_abs());
    assert_eq!(world.client.ask(Order::ForkAndRead, 0, None).0, Answer::Number(segv));
    assert_eq!(world.object.populated_bytes().expect("it is ours"), 0);
    world.client.order(Order::Read, 0, None);
    world.expect_fault(0, FaultKind::Missing);
    world.fill(0, 10);
    world.install(0);
    assert_eq!(world.client.answer().0, Answer::Number(10));
}

fn poison_is_a_bus_error() {
    let mut world = World::new(2);
    world.fill(1, 10);
    world.install(1);
    assert!(matches!(world.uffd.poison(world.range), PoisonOutcome::Poisoned));
    assert_eq!(world.client.ask(Order::Read, PAGE, None).0, Answer::Number(10));
    world.client.order(Order::Read, 0, None);
    world.expect_death(Signal::BUS.as_raw());
}

fn poison_reaches_a_waiter() {
    let mut world = World::new(1);
    world.client.order(Order::Read, 0, None);
    world.expect_fault(0, FaultKind::Missing);
    assert!(matches!(world.uffd.poison(world.page(0)), PoisonOutcome::Poisoned));
    world.expect_death(Signal::BUS.as_raw());
}

fn an_exited_client_is_gone() {
    let mut world = World::new(1);
    world.fill(0, 10);
    world.client.kill();
    let outcome = world.uffd.install(world.range, Protection::Writable);
    assert!(matches!(outcome.end, InstallEnd::Gone), "{outcome:?}");
    assert!(matches!(world.uffd.protect(world.range), ProtectOutcome::Gone));
    assert!(matches!(world.uffd.unprotect(world.range), ProtectOutcome::Gone));
    assert!(matches!(world.uffd.poison(world.range), PoisonOutcome::Gone));
    let registered = world.uffd.register(world.range);
    assert!(matches!(registered, RegisterOutcome::Gone), "{registered:?}");
    assert!(world.uffd.wake(world.range).is_ok());
}

fn an_exit_shows_in_the_pidfd() {
    let mut world = World::new(1);
    let pidfd = socket::pidfd_open(world.client.pid()).expect("it lives");
    world.client.kill();
    wait_readable(pidfd.as_fd());
    let mut waiting = [PollFd::new(&world.uffd, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut waiting, Some(&Timespec::default())), Ok(0));
    assert_eq!(world.uffd.read_events(&mut EventBuffer::new(1)).expect("it is ours"), 0);
}

fn not_read_from_outside() {
    let world = World::new(1);
    let memory = fs::File::open(format!("/proc/{}/mem", world.client.pid())).expect("root may");
    let look = || rustix::io::pread(&memory, &mut [0], world.range.start());
    assert_eq!(look(), Err(rustix::io::Errno::IO));
    world.fill(0, 10);
    world.install(0);
    assert_eq!(look(), Ok(1));
}
