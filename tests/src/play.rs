//! An actor's side of the play: orders become calls of the client library.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bo_client::{Access, AllocSpec, Client, DaemonLost, ExportedObject, Mapping, Object, PageSize};
use bo_sys::socket;

use crate::abuse::{self, RawClient};
use crate::memory::{self, span};
use crate::order::{Answer, Lost, Order};
use crate::problem::Problem;
use crate::storm::{self, Storm};
use crate::wait::{DEADLINE, until};
use crate::{raw, rough, syscalls};

/// An actor's tables.
#[derive(Debug, Default)]
pub struct Player {
    client: Mutex<Option<Client>>,
    objects: Table<Object>,
    mappings: Table<Mapping>,
    tasks: Mutex<Vec<Option<Running>>>,
    raw: Mutex<Option<RawClient>>,
}

/// Things that orders name by their place. A place is never used again.
#[derive(Debug)]
struct Table<T>(Mutex<Vec<Option<Arc<T>>>>);

#[derive(Debug)]
struct Running {
    thread: JoinHandle<Answer>,
    stop: Arc<AtomicBool>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(Mutex::default())
    }
}

impl<T> Table<T> {
    fn add(&self, thing: T) -> usize {
        let mut things = lock(&self.0);
        things.push(Some(Arc::new(thing)));
        things.len() - 1
    }

    fn get(&self, slot: usize) -> Result<Arc<T>, Problem> {
        let thing = lock(&self.0).get(slot).cloned().flatten();
        thing.ok_or(Problem::Nonsense("nothing is in that place"))
    }

    /// Dropped outside the lock: dropping takes a request to the daemon.
    fn take(&self, slot: usize) -> Option<Arc<T>> {
        lock(&self.0).get_mut(slot).and_then(Option::take)
    }

    fn clear(&self) {
        let things = std::mem::take(&mut *lock(&self.0));
        drop(things);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

impl Player {
    /// Does what is ordered; work without an end goes on until `stop`.
    #[must_use]
    pub fn perform(self: &Arc<Self>, order: &Order, stop: &AtomicBool) -> Answer {
        let answer = match order {
            Order::Spawn { order } => self.spawn(order),
            Order::Stop { task } => self.stop(*task),
            Order::Join { task } => self.join(*task),
            Order::Connect { .. }
            | Order::Disconnect
            | Order::Allocate { .. }
            | Order::DropObject { .. }
            | Order::DropMapping { .. }
            | Order::Map { .. }
            | Order::Export { .. }
            | Order::Offer { .. }
            | Order::Import { .. }
            | Order::Accept { .. }
            | Order::Stat { .. }
            | Order::SetPriority { .. }
            | Order::Prefetch { .. } => self.use_library(order),
            Order::Fill { .. }
            | Order::Check { .. }
            | Order::Peek { .. }
            | Order::Load { .. }
            | Order::Store { .. }
            | Order::Sweep { .. }
            | Order::Add { .. }
            | Order::Storm { .. }
            | Order::Census { .. }
            | Order::Syscalls { .. }
            | Order::CheckAt { .. } => self.use_memory(order, stop),
            Order::CountSignals
            | Order::Signals
            | Order::SignalledThread
            | Order::Unmap { .. }
            | Order::Move { .. }
            | Order::DontNeed { .. }
            | Order::Remove { .. }
            | Order::ForkAndLoad { .. }
            | Order::Exec
            | Order::ForceStore { .. }
            | Order::ReopenAll => rough::perform(order, |slot| self.mappings.get(slot)),
            Order::RawConnect { .. }
            | Order::RawBlock
            | Order::RawCall { .. }
            | Order::Abuse { .. } => self.use_protocol(order),
        };
        answer.unwrap_or_else(Answer::from)
    }

    fn spawn(self: &Arc<Self>, order: &Order) -> Result<Answer, Problem> {
        let (player, order) = (Arc::clone(self), order.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().spawn(move || {
            // It is waited for, just below.
            let _heard = tell.send(rustix::thread::gettid());
            player.perform(&order, &stopped)
        })?;
        let tid = told.recv().expect("a thread begins by telling");
        let mut tasks = lock(&self.tasks);
        tasks.push(Some(Running { thread, stop }));
        Ok(Answer::Thread { slot: tasks.len() - 1, tid: tid.as_raw_nonzero().get() })
    }

    fn stop(&self, task: usize) -> Result<Answer, Problem> {
        match lock(&self.tasks).get(task) {
            Some(Some(running)) => running.stop.store(true, Ordering::Relaxed),
            Some(None) | None => return Err(Problem::Nonsense("no such thread")),
        }
        Ok(Answer::Done)
    }

    fn join(&self, task: usize) -> Result<Answer, Problem> {
        let running = lock(&self.tasks).get_mut(task).and_then(Option::take);
        let running = running.ok_or(Problem::Nonsense("no such thread"))?;
        running.thread.join().map_err(|_| Problem::Nonsense("the thread panicked"))
    }

    fn client(&self) -> Result<Client, Problem> {
        lock(&self.client).clone().ok_or(Problem::Nonsense("not connected"))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "`perform` has sorted the orders")]
    fn use_library(&self, order: &Order) -> Result<Answer, Problem> {
        match order {
            Order::Connect { socket, on_lost } => {
                let client = connect(socket, *on_lost)?;
                let earlier = lock(&self.client).replace(client);
                drop(earlier);
                Ok(Answer::Done)
            }
            Order::Disconnect => {
                self.mappings.clear();
                self.objects.clear();
                drop(lock(&self.client).take());
                Ok(Answer::Done)
            }
            Order::Allocate { bytes, page_bytes } => self.allocate(*bytes, *page_bytes),
            Order::DropObject { object } => Ok(gone(self.objects.take(*object))),
            Order::DropMapping { mapping } => Ok(gone(self.mappings.take(*mapping))),
            Order::Map { object, read_only } => self.map(*object, *read_only),
            Order::Export { object, read_only } => {
                let exported = self.objects.get(*object)?.export(access(*read_only))?;
                Ok(Answer::Token(exported.token().to_string()))
            }
            Order::Offer { object, read_only, path } => {
                let exported = self.objects.get(*object)?.export(access(*read_only))?;
                let listener = socket::listen(path, 1, 0o777)?;
                let peer = socket::accept(listener)?;
                socket::send(peer, b"here", &[exported.descriptor()])?;
                Ok(Answer::Done)
            }
            Order::Import { token, read_only } => {
                let token: bo_client::Token =
                    token.parse().map_err(|_| Problem::Nonsense("that is no token"))?;
                self.keep(self.client()?.import(token, access(*read_only))?)
            }
            Order::Accept { path, read_only } => self.accept(path, *read_only),
            Order::Stat { object } => Ok(Answer::Stat(self.objects.get(*object)?.stat()?)),
            Order::SetPriority { object, priority } => {
                self.objects.get(*object)?.set_priority(*priority)?;
                Ok(Answer::Done)
            }
            Order::Prefetch { object, offset, bytes } => {
                let resident = self.objects.get(*object)?.prefetch(*offset..offset + bytes)?;
                Ok(Answer::Number(resident.get()))
            }
            other => unexpected(other),
        }
    }

    fn allocate(&self, bytes: u64, page_bytes: Option<u64>) -> Result<Answer, Problem> {
        // The label tells it from others in the books.
        let label = format!("{}.{}", std::process::id(), lock(&self.objects.0).len());
        let mut spec = AllocSpec::new(bytes).label(&label);
        if let Some(bytes) = page_bytes {
            let size = PageSize::new(bytes).map_err(|_| Problem::Nonsense("no page size"))?;
            spec = spec.page_size(size);
        }
        self.keep(self.client()?.allocate(spec)?)
    }

    fn map(&self, object: usize, read_only: bool) -> Result<Answer, Problem> {
        let object = self.objects.get(object)?;
        let mapping = if read_only { object.map_read_only()? } else { object.map()? };
        let (address, bytes) = (mapping.address(), mapping.len());
        Ok(Answer::Mapping { slot: self.mappings.add(mapping), address, bytes })
    }

    fn accept(&self, path: &Path, read_only: bool) -> Result<Answer, Problem> {
        let offer = || socket::connect(path, Duration::from_secs(1)).ok();
        let (peer, _) = until("somebody offers an object", offer);
        socket::set_timeout(&peer, Some(DEADLINE))?;
        let mut received = socket::receive(peer.as_fd(), &mut [0; 16])?;
        let descriptor =
            received.descriptors.pop().ok_or(Problem::Nonsense("no descriptor came"))?;
        let source = ExportedObject::from_descriptor(descriptor);
        self.keep(self.client()?.import(source, access(read_only))?)
    }

    fn keep(&self, object: Object) -> Result<Answer, Problem> {
        let (id, bytes) = (object.id(), object.size().get());
        let page_bytes = object.page_size().bytes();
        Ok(Answer::Object { slot: self.objects.add(object), id, bytes, page_bytes })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "`perform` has sorted the orders")]
    fn use_memory(&self, order: &Order, stop: &AtomicBool) -> Result<Answer, Problem> {
        match order {
            Order::Fill { mapping, seed, first, pages } => {
                let mapping = self.mappings.get(*mapping)?;
                memory::fill(&mapping, *seed, span(&mapping, *first, *pages));
                Ok(Answer::Done)
            }
            Order::Check { mapping, seed, first, pages } => {
                let mapping = self.mappings.get(*mapping)?;
                let pages = span(&mapping, *first, *pages);
                Ok(Answer::Checked(memory::check(&mapping, *seed, pages)))
            }
            Order::Peek { mapping, seed, first, pages } => {
                let mapping = self.mappings.get(*mapping)?;
                let pages = span(&mapping, *first, *pages);
                Ok(Answer::Peeked(memory::peek(&mapping, *seed, pages)?))
            }
            Order::CheckAt { address, seed, first, pages } => {
                Ok(Answer::Checked(memory::check_at(*address, *seed, *first, *pages)))
            }
            Order::Load { mapping, offset } => {
                Ok(Answer::Number(raw::load(&*self.mappings.get(*mapping)?, *offset)))
            }
            Order::Store { mapping, offset, value } => {
                raw::store(&*self.mappings.get(*mapping)?, *offset, *value);
                Ok(Answer::Done)
            }
            Order::Sweep { mapping, write } => {
                Ok(Answer::Number(memory::sweep(&*self.mappings.get(*mapping)?, *write, stop)))
            }
            Order::Add { mapping, offset, between } => {
                let mapping = self.mappings.get(*mapping)?;
                let between = between.map(|slot| self.mappings.get(slot)).transpose()?;
                let count = memory::add(&mapping, *offset, between.as_deref(), stop);
                Ok(Answer::Number(count))
            }
            Order::Storm { mapping, first_writer, writers, threads, steps, seed } => {
                let mapping = self.mappings.get(*mapping)?;
                let storm = Storm {
                    first_writer: *first_writer,
                    writers: *writers,
                    threads: *threads,
                    steps: *steps,
                    seed: *seed,
                };
                Ok(Answer::Tally(storm.run(&mapping)))
            }
            Order::Census { mapping, writers } => {
                Ok(Answer::Sums(storm::census(&*self.mappings.get(*mapping)?, *writers)))
            }
            Order::Syscalls { call, mapping, seed, rounds, file } => {
                let mapping = self.mappings.get(*mapping)?;
                Ok(Answer::Rounds(syscalls::run(*call, &mapping, *seed, *rounds, file)?))
            }
            other => unexpected(other),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "`perform` has sorted the orders")]
    fn use_protocol(&self, order: &Order) -> Result<Answer, Problem> {
        match order {
            Order::RawConnect { socket } => {
                let client = RawClient::greet(socket)?;
                let earlier = lock(&self.raw).replace(client);
                drop(earlier);
                Ok(Answer::Done)
            }
            Order::RawBlock => {
                let raw = lock(&self.raw);
                raw.as_ref().ok_or(Problem::Nonsense("not connected"))?.block()?;
                Ok(Answer::Done)
            }
            Order::RawCall { request } => {
                let mut raw = lock(&self.raw);
                let client = raw.as_mut().ok_or(Problem::Nonsense("not connected"))?;
                Ok(Answer::Reply(client.call(request, &[])?.0))
            }
            Order::Abuse { socket, abuse } => Ok(Answer::Flag(abuse::commit(socket, *abuse)?)),
            other => unexpected(other),
        }
    }
}

fn unexpected(order: &Order) -> Result<Answer, Problem> {
    unreachable!("`perform` sends {order:?} elsewhere")
}

fn connect(socket: &Path, on_lost: Lost) -> Result<Client, bo_client::Error> {
    let on_lost = match on_lost {
        Lost::Wait => DaemonLost::Wait,
        Lost::Sigbus => DaemonLost::Sigbus,
    };
    Client::builder().name("actor").on_daemon_lost(on_lost).connect(socket)
}

fn access(read_only: bool) -> Access {
    if read_only { Access::ReadOnly } else { Access::ReadWrite }
}

fn gone<T>(thing: Option<Arc<T>>) -> Answer {
    let there = thing.is_some();
    drop(thing);
    if there { Answer::Done } else { Answer::Failed("nothing is in that place".to_owned()) }
}
