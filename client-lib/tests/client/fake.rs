//! A daemon in a thread: it has every page there from the start, and no wish to take one back.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use bo_client::{Client, ClientBuilder};
use bo_sys::memfd::ObjectFile;
use bo_sys::range::AddressRange;
use bo_sys::socket;
use bo_sys::uffd::{InstallEnd, Protection, RegisterOutcome, Uffd, UffdDevice};
use bo_wire::{
    Access, ObjectStat, Refusal, Reply, Request, Token, UffdSource, decode_request, encode_reply,
};
use tempfile::TempDir;

/// What to answer to a request.
pub(crate) enum Action {
    /// What an honest daemon would.
    Honest,
    /// A reply, and what comes along.
    Reply(Reply, Vec<OwnedFd>),
    /// Whatever it is.
    Bytes(Vec<u8>),
    /// Nothing, for ever.
    Silence,
    /// The end of the connection.
    HangUp,
}

/// Decides on each request what to do; it gets the id as well.
type Script = dyn Fn(u32, &Request) -> Action + Send + Sync;

/// What the daemon has, over all its clients.
#[derive(Default)]
pub(crate) struct World {
    /// By object number, counted from one.
    pub(crate) objects: HashMap<u64, ObjectFile>,
    tokens: HashMap<[u8; 16], u64>,
    mappings: u64,
    /// The names of all requests, in the order in which they came.
    pub(crate) log: Vec<&'static str>,
}

/// A daemon that listens until the test ends.
pub(crate) struct Fake {
    dir: TempDir,
    world: Arc<Mutex<World>>,
}

impl Fake {
    /// A daemon that does as it is asked.
    pub(crate) fn honest() -> Fake {
        Fake::with(|_, _| Action::Honest)
    }

    /// A daemon that follows `script`.
    pub(crate) fn with(script: impl Fn(u32, &Request) -> Action + Send + Sync + 'static) -> Fake {
        let dir = tempfile::tempdir().expect("a directory for the socket");
        let fake = Fake { dir, world: Arc::default() };
        let listener = socket::listen(&fake.path(), 16, 0o600).expect("a socket");
        let (world, script) = (Arc::clone(&fake.world), Arc::new(script));
        // Both threads end with the process: there is nothing that they could leave behind.
        thread::spawn(move || {
            while let Ok(socket) = socket::accept(&listener) {
                let (world, script) = (Arc::clone(&world), Arc::clone(&script));
                thread::spawn(move || Session { socket, world, uffd: None }.serve(&*script));
            }
        });
        fake
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) fn connect(&self) -> Client {
        self.connect_with(Client::builder())
    }

    pub(crate) fn connect_with(&self, builder: ClientBuilder) -> Client {
        builder.connect(self.path()).expect("connected to the fake daemon")
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no thread of the fake daemon has panicked")
    }

    /// The names of the requests since the connection was made.
    pub(crate) fn log(&self) -> Vec<&'static str> {
        let log = &self.world().log;
        let introduction = |name: &&&str| matches!(**name, "hello" | "attach_uffd");
        log.iter().filter(|name| !introduction(name)).copied().collect()
    }
}

/// A reply that welcomes a client which makes its userfaultfd without any privilege.
pub(crate) fn welcome() -> Reply {
    Reply::Welcome {
        client: 7,
        uffd: UffdSource::UserModeOnly,
        uffds: 1,
        vram_bytes: 1 << 30,
        ram_bytes: 4 << 30,
        page_bytes_default: Some(4096),
    }
}

/// A welcome with the device, which makes userfaultfds for faults in system calls too.
pub(crate) fn welcome_with_device() -> Action {
    let Reply::Welcome { client, uffds, vram_bytes, ram_bytes, .. } = welcome() else {
        unreachable!("a welcome is one");
    };
    let uffd = UffdSource::Device;
    let page_bytes_default = None;
    let reply = Reply::Welcome { client, uffd, uffds, vram_bytes, ram_bytes, page_bytes_default };
    let device = UffdDevice::open().expect("tests of the device run as root");
    Action::Reply(reply, vec![device.as_fd().try_clone_to_owned().expect("a descriptor")])
}

/// Whether something listens at `path` is somebody else's question.
pub(crate) fn listen_without_accepting(path: &Path) -> OwnedFd {
    socket::listen(path, 16, 0o600).expect("a socket")
}

struct Session {
    socket: OwnedFd,
    world: Arc<Mutex<World>>,
    uffd: Option<Uffd>,
}

impl Session {
    fn serve(mut self, script: &Script) {
        let mut buffer = [0; bo_wire::MESSAGE_BYTES_MAX];
        loop {
            let Ok(received) = socket::receive(&self.socket, &mut buffer) else { return };
            if received.len == 0 {
                return;
            }
            let packet = &buffer[..received.len];
            let (id, request) = decode_request(packet).expect("the client keeps the protocol");
            assert_eq!(received.descriptors.len(), request.descriptors());
            self.world.lock().expect("no panic").log.push(request.name());
            let (packet, descriptors) = match script(id, &request) {
                Action::Honest => {
                    let (reply, descriptors) = self.answer(&request, received.descriptors);
                    (encode_reply(id, &reply), descriptors)
                }
                Action::Reply(reply, descriptors) => (encode_reply(id, &reply), descriptors),
                Action::Bytes(bytes) => (bytes, Vec::new()),
                Action::Silence => continue,
                Action::HangUp => return,
            };
            let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            // A client that has gone meanwhile is the next receive's business.
            let _gone = socket::send(&self.socket, &packet, &borrowed);
        }
    }

    fn answer(&mut self, request: &Request, brought: Vec<OwnedFd>) -> (Reply, Vec<OwnedFd>) {
        let world = Arc::clone(&self.world);
        let mut world = world.lock().expect("no panic");
        match request {
            Request::Hello { .. } => (welcome(), vec![]),
            Request::AttachUffd => {
                let fd = brought.into_iter().next().expect("counted before");
                self.uffd = Some(Uffd::adopt(fd).expect("a fresh userfaultfd"));
                (Reply::Done, vec![])
            }
            Request::Allocate { bytes, page_bytes, placement, .. } => {
                let page_bytes = page_bytes.unwrap_or(4096);
                let bytes = bytes.next_multiple_of(page_bytes.into());
                let file = ObjectFile::create("fake", bytes).expect("a memory file");
                file.populate_zero(0, bytes).expect("memory");
                let fd = file.reopen(false).expect("a descriptor");
                let object = world.objects.len() as u64 + 1;
                world.objects.insert(object, file);
                (Reply::Allocated { object, bytes, page_bytes, placement: *placement }, vec![fd])
            }
            Request::Map { address, pages, .. } => {
                let range = AddressRange::new(*address, u64::from(*pages) * 4096);
                let uffd = self.uffd.as_ref().expect("attached before");
                let range = range.expect("aligned");
                let outcome = uffd.register(range);
                assert!(matches!(outcome, RegisterOutcome::Registered), "{outcome:?}");
                // Everything is present, and nobody answers faults.
                let outcome = uffd.install(range, Protection::Writable);
                assert!(matches!(outcome.end, InstallEnd::Complete), "{outcome:?}");
                world.mappings += 1;
                (Reply::Mapped { mapping: world.mappings }, vec![])
            }
            Request::Export { object, access } => {
                let token = [u8::try_from(object.raw()).expect("few objects"); 16];
                world.tokens.insert(token, object.raw());
                let fd = open(&world.objects[&object.raw()], *access);
                (Reply::Exported { token: Token::from_bytes(token) }, vec![fd])
            }
            Request::ImportToken { token, access } => match world.tokens.get(token.as_bytes()) {
                Some(&object) => world.import(object, *access),
                None => (Reply::Refused(Refusal::Gone), vec![]),
            },
            Request::ImportDescriptor { access } => {
                let theirs = bo_sys::memfd::identify(brought[0].as_fd()).expect("a file").0;
                let mut files = world.objects.iter();
                let found = files.find(|(_, file)| file.identity().expect("a file") == theirs);
                let object = *found.expect("one of ours").0;
                world.import(object, *access)
            }
            Request::Prefetch { pages, .. } => {
                (Reply::Prefetched { resident_pages: *pages }, vec![])
            }
            Request::Stat { object } => {
                let file = &world.objects[&object.raw()];
                let resident_bytes = file.populated_bytes().expect("a file");
                let total_bytes = file.len();
                let stat = ObjectStat { total_bytes, resident_bytes, ..ObjectStat::default() };
                (Reply::Stat(stat), vec![])
            }
            Request::Unmap { .. }
            | Request::Release { .. }
            | Request::Touch { .. }
            | Request::SetPriority { .. } => (Reply::Done, vec![]),
        }
    }
}

impl World {
    fn import(&self, object: u64, access: Access) -> (Reply, Vec<OwnedFd>) {
        let file = &self.objects[&object];
        let reply = Reply::Imported {
            object,
            bytes: file.len(),
            page_bytes: 4096,
            placement: bo_wire::Placement::Vram,
            access,
        };
        (reply, vec![open(file, access)])
    }
}

fn open(file: &ObjectFile, access: Access) -> OwnedFd {
    file.reopen(!access.is_writable()).expect("a descriptor")
}
