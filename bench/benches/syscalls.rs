//! Each wrapper of a system call, by itself. Needs /dev/userfaultfd, or the right to do without.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "what criterion makes of a group is public and has none")]

use std::os::fd::AsFd;

use bo_sys::mapping::{ClientMapping, Sharing};
use bo_sys::memfd::ObjectFile;
use bo_sys::range::AddressRange;
use bo_sys::socket;
use bo_sys::store::{Slot, StoreFile};
use bo_sys::uffd::{
    EventBuffer, InstallEnd, PoisonOutcome, ProtectOutcome, Protection, RegisterOutcome, Uffd,
    UffdDevice, create_by_syscall,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::event::{EventfdFlags, Timespec, epoll};

const SIZES: [(u64, &str); 3] = [(4 << 10, "4KiB"), (64 << 10, "64KiB"), (2 << 20, "2MiB")];

/// The size of every file here.
const FILE_BYTES: u64 = 2 << 20;

/// A file, a view of it, and a userfaultfd that watches the view.
struct World {
    object: ObjectFile,
    mapping: ClientMapping,
    uffd: Uffd,
}

impl World {
    fn new() -> World {
        let object = ObjectFile::create("bench", FILE_BYTES).expect("memory for a file");
        let made = UffdDevice::open().and_then(|device| device.create());
        let fd = made.or_else(|_| create_by_syscall(false)).unwrap_or_else(|error| {
            panic!(
                "no full userfaultfd ({error}): run this as root, or give this user access to \
                 /dev/userfaultfd"
            )
        });
        let uffd = Uffd::adopt(fd).expect("Linux 6.6 or later");
        let mut mapping =
            ClientMapping::reserve(object.as_fd(), 0, FILE_BYTES, 4096, Sharing::Shared)
                .expect("address space");
        let registered = uffd.register(mapping.range());
        assert!(matches!(registered, RegisterOutcome::Registered), "{registered:?}");
        mapping.open(true).expect("the file can be written");
        World { object, mapping, uffd }
    }

    fn part(&self, bytes: u64) -> AddressRange {
        self.mapping.range().slice(0, bytes).expect("no part is longer than the file")
    }

    /// The file is full and nothing is mapped.
    fn fresh(&self) {
        self.object.punch(0, FILE_BYTES).expect("the file is ours");
        self.object.populate_zero(0, FILE_BYTES).expect("memory for a file");
    }
}

fn entries(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("uffd");
    for (bytes, name) in SIZES {
        let range = world.part(bytes);
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("install", name), |bench| {
            bench.iter_batched(
                || world.fresh(),
                |()| {
                    let done = world.uffd.install(range, Protection::Writable);
                    assert!(matches!(done.end, InstallEnd::Complete));
                },
                BatchSize::PerIteration,
            );
        });
        world.fresh();
        let _ = world.uffd.install(range, Protection::Writable);
        group.bench_function(BenchmarkId::new("protect_and_unprotect", name), |bench| {
            bench.iter(|| {
                assert!(matches!(world.uffd.protect(range), ProtectOutcome::Done));
                assert!(matches!(world.uffd.unprotect(range), ProtectOutcome::Done));
            });
        });
        group.bench_function(BenchmarkId::new("protect", name), |bench| {
            bench.iter(|| assert!(matches!(world.uffd.protect(range), ProtectOutcome::Done)));
        });
        group.bench_function(BenchmarkId::new("wake", name), |bench| {
            bench.iter(|| world.uffd.wake(range).expect("the process lives"));
        });
        let _ = world.uffd.unprotect(range);
    }
    group.finish();
}

/// A poisoned page stays so until it is unmapped: each iteration has a world of its own.
fn poison(criterion: &mut Criterion) {
    criterion.bench_function("uffd/poison/4KiB", |bench| {
        bench.iter_batched(
            World::new,
            |world| {
                let done = world.uffd.poison(world.part(4096));
                assert!(matches!(done, PoisonOutcome::Poisoned));
                world
            },
            BatchSize::PerIteration,
        );
    });
}

fn waiting(criterion: &mut Criterion) {
    let world = World::new();
    let mut buffer = EventBuffer::new(64);
    criterion.bench_function("uffd/read_events/empty", |bench| {
        bench.iter(|| assert_eq!(world.uffd.read_events(&mut buffer).expect("it lives"), 0));
    });
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
    let bell = rustix::event::eventfd(1, EventfdFlags::CLOEXEC).expect("a descriptor");
    let data = epoll::EventData::new_u64(1);
    epoll::add(&epoll, &bell, data, epoll::EventFlags::IN).expect("a descriptor can be watched");
    let mut ready = Vec::with_capacity(8);
    criterion.bench_function("epoll/wait/ready", |bench| {
        bench.iter(|| {
            ready.clear();
            let room = rustix::buffer::spare_capacity(&mut ready);
            epoll::wait(&epoll, room, None).expect("no signal comes")
        });
    });
    rustix::io::read(&bell, &mut [0; 8]).expect("it was rung");
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    criterion.bench_function("epoll/wait/empty", |bench| {
        bench.iter(|| {
            ready.clear();
            let room = rustix::buffer::spare_capacity(&mut ready);
            epoll::wait(&epoll, room, Some(&at_once)).expect("no signal comes")
        });
    });
}

fn files(criterion: &mut Criterion) {
    let object = ObjectFile::create("bench", FILE_BYTES).expect("memory for a file");
    let mut group = criterion.benchmark_group("memfd");
    group.bench_function("create", |bench| {
        bench.iter(|| ObjectFile::create("bench", 4096).expect("memory for a file"));
    });
    for (bytes, name) in SIZES {
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("populate_zero", name), |bench| {
            bench.iter_batched(
                || object.punch(0, FILE_BYTES).expect("the file is ours"),
                |()| object.populate_zero(0, bytes).expect("memory for a file"),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("punch", name), |bench| {
            bench.iter_batched(
                || object.populate_zero(0, FILE_BYTES).expect("memory for a file"),
                |()| object.punch(0, bytes).expect("the file is ours"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn copies(criterion: &mut Criterion) {
    let object = ObjectFile::create("bench", FILE_BYTES).expect("memory for a file");
    object.populate_zero(0, FILE_BYTES).expect("memory for a file");
    let store = StoreFile::create("bench", FILE_BYTES).expect("address space");
    let mut group = criterion.benchmark_group("store");
    for (bytes, name) in SIZES {
        let slot = [Slot { offset: 0, len: bytes }];
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("copy_out", name), |bench| {
            bench.iter(|| store.copy_out(&object, 0, &slot).expect("both are there"));
        });
        group.bench_function(BenchmarkId::new("copy_in", name), |bench| {
            bench.iter(|| store.copy_in(&object, 0, &slot).expect("both are there"));
        });
        group.bench_function(BenchmarkId::new("copy_in_to_a_hole", name), |bench| {
            bench.iter_batched(
                || object.punch(0, FILE_BYTES).expect("the file is ours"),
                |()| store.copy_in(&object, 0, &slot).expect("both are there"),
                BatchSize::PerIteration,
            );
        });
        object.populate_zero(0, FILE_BYTES).expect("memory for a file");
        group.bench_function(BenchmarkId::new("uniform_word", name), |bench| {
            bench.iter(|| assert_eq!(store.uniform_word(slot[0]), Some(0)));
        });
    }
    group.finish();
}

fn packets(criterion: &mut Criterion) {
    let (ours, theirs) = socket::pair().expect("two sockets");
    let mut group = criterion.benchmark_group("socket");
    let mut buffer = [0; 4096];
    for bytes in [64_usize, 4096] {
        let packet = vec![7; bytes];
        group.bench_function(BenchmarkId::new("send_and_receive", bytes), |bench| {
            bench.iter(|| {
                socket::send(&ours, &packet, &[]).expect("it is connected");
                socket::receive(&theirs, &mut buffer).expect("a packet is there").len
            });
        });
    }
    let object = ObjectFile::create("bench", 4096).expect("memory for a file");
    group.bench_function("send_and_receive/with_a_descriptor", |bench| {
        bench.iter(|| {
            socket::send(&ours, &[7; 64], &[object.as_fd()]).expect("it is connected");
            socket::receive(&theirs, &mut buffer).expect("a packet is there").len
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = entries, poison, waiting, files, copies, packets
}
criterion_main!(benches);
