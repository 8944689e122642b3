//! The threads that read faults, decide, and answer them.
//!
//! One is pinned to each allowed CPU, each waits on every userfaultfd, and no wake-up is exclusive:
//! so the one on the faulting thread's own CPU gets there first, which is several times faster
//! than a thread that must be woken on another (ARCHITECTURE.md has the figures). The others find
//! nothing and go back to sleep; and where that happens again and again, they stop listening
//! (`follow.rs`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use bo_core::{Effect, Fault, FaultKind, Heard};
use bo_sys::range::AddressRange;
use bo_sys::uffd::{self, EventBuffer, FaultEvent, Uffd};
use rustix::event::{Timespec, epoll};
use smallvec::SmallVec;

use crate::limits::{BLOCKING_MAX, FAULT_EVENTS_MAX, READY_MAX};
use crate::poll::Window;
use crate::readers::{IDLE, STOP, Watched, millis};
use crate::shell::Shell;
use crate::tables::Session;
use crate::timings::timed;
use crate::worker;

const KERNEL_PAGE: u64 = bo_sys::KERNEL_PAGE_BYTES;

/// Starts the readers. They end after [`Readers::stop`].
pub(crate) fn start(shell: &Arc<Shell>) -> io::Result<Vec<JoinHandle<()>>> {
    (0..shell.readers.epolls.len())
        .map(|number| {
            let cpu = shell.readers.cpus.get(number).copied();
            let shell = Arc::clone(shell);
            worker::spawn(format!("bo-fault-{number}"), move || {
                pin(cpu);
                Reader::new(&shell, number).run(&shell.readers.epolls[number]);
            })
        })
        .collect()
}

fn pin(cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && let Err(error) = bo_sys::thread::pin_to_cpu(cpu)
    {
        tracing::warn!(%error, cpu, "cannot pin a fault reader: faults will be slower");
    }
}

/// What one thread keeps from fault to fault, so that serving one allocates nothing.
struct Reader<'shell> {
    shell: &'shell Shell,
    /// Which of the readers it is.
    number: usize,
    buffer: EventBuffer,
    faults: Vec<(Fault, FaultEvent)>,
    wanted: VecDeque<Effect>,
    /// What the buffer had counted when it was looked at last.
    foreign: u64,
    window: Window,
}

impl<'shell> Reader<'shell> {
    fn new(shell: &'shell Shell, number: usize) -> Self {
        Self {
            shell,
            number,
            buffer: EventBuffer::new(FAULT_EVENTS_MAX),
            faults: Vec::with_capacity(FAULT_EVENTS_MAX),
            wanted: VecDeque::with_capacity(FAULT_EVENTS_MAX),
            foreign: 0,
            window: Window::new(shell.readers.poll),
        }
    }

    fn run(&mut self, epoll: &OwnedFd) {
        let mut ready = Vec::with_capacity(READY_MAX);
        loop {
            ready.clear();
            if let Err(error) = self.wait(epoll, &mut ready) {
                self.shell.host_failed("wait for faults", &error.into());
                return;
            }
            for event in &ready {
                let number = event.data.u64();
                if number == STOP {
                    return;
                }
                let Watched { client, shard } = Watched::from_u64(number);
                let Some(session) = self.shell.session(client) else { continue };
                let Some(uffd) = session.uffds().nth(shard) else { continue };
                let flags = event.flags;
                if flags.contains(epoll::EventFlags::ERR) {
                    self.mend(&session, shard, uffd);
                }
                self.serve(&session, shard, uffd);
            }
        }
    }

    /// Waits for faults: polling first, if that has been worth it lately, then asleep.
    fn wait(&mut self, epoll: &OwnedFd, ready: &mut Vec<epoll::Event>) -> rustix::io::Result<()> {
        if self.shell.readers.poll.is_zero() {
            return look(epoll, ready, None);
        }
        if self.poll(epoll, ready)? {
            return Ok(());
        }
        let start = Instant::now();
        look(epoll, ready, None)?;
        self.window.slept(start.elapsed());
        Ok(())
    }

    /// Says whether polling found something.
    fn poll(&self, epoll: &OwnedFd, ready: &mut Vec<epoll::Event>) -> rustix::io::Result<bool> {
        let time = self.window.get();
        if time.is_zero() {
            return Ok(false);
        }
        let Some(_permit) = self.shell.readers.polling.take() else { return Ok(false) };
        let start = Instant::now();
        while start.elapsed() < time {
            look(epoll, ready, Some(&Timespec::default()))?;
            if !ready.is_empty() {
                self.shell.counters.fault_polls_hit.add(1);
                return Ok(true);
            }
            // Whoever else wants this processor has it.
            std::thread::yield_now();
        }
        self.shell.counters.fault_polls_missed.add(1);
        Ok(false)
    }

    /// A userfaultfd that blocks is in error for ever, as epoll sees it, and every reader would
    /// spin. The flag is shared with the client, which must have cleared it: it is set again, and
    /// a client that goes on doing so loses its connection.
    fn mend(&self, session: &Session, shard: usize, uffd: &Uffd) {
        self.shell.counters.protocol_misuse.add(1);
        self.shell.note_failure(
            "make a userfaultfd non-blocking",
            bo_sys::socket::set_nonblocking(uffd.as_fd(), true),
        );
        if session.count_offence() > BLOCKING_MAX {
            self.shell.readers.unwatch(session, shard);
            session.kick.notify_one();
        }
    }

    /// Reads one batch of events and answers it. A stop can see that it is at it, and so can those
    /// who look after clients whose only reader is held up.
    fn serve(&mut self, session: &Session, shard: usize, uffd: &Uffd) {
        let busy_since = &self.shell.readers.busy_since[self.number];
        busy_since.store(millis(self.shell.now()), Ordering::SeqCst);
        self.serve_batch(session, shard, uffd);
        busy_since.store(IDLE, Ordering::SeqCst);
    }

    fn serve_batch(&mut self, session: &Session, shard: usize, uffd: &Uffd) {
        let count = match uffd.read_events(&mut self.buffer) {
            Ok(count) => count,
            Err(error) => {
                self.shell.host_failed("read faults", &error);
                return;
            }
        };
        let read = Instant::now();
        let counters = &self.shell.counters;
        let foreign = self.buffer.foreign();
        counters.events_foreign.add(foreign - self.foreign);
        self.foreign = foreign;
        if count == 0 {
            counters.fault_reads_empty.add(1);
            return;
        }
        counters.fault_reads.add(1);
        let mut faults = std::mem::take(&mut self.faults);
        for event in self.buffer.events() {
            faults.extend(self.place(session, uffd, event));
        }
        if !faults.is_empty() {
            // Neighbours get their entries in one call if they are heard in order.
            faults.sort_unstable_by_key(|(fault, _)| (fault.mapping, fault.page));
            self.answer(uffd, &faults, read);
        }
        if let Some((_, last)) = faults.last() {
            self.shell.follow(session, shard, last.thread, faults.len(), read);
        }
        faults.clear();
        self.faults = faults;
    }

    /// Finds the page of an event. One that has none, or can have none any more, is answered here.
    fn place(
        &self,
        session: &Session,
        uffd: &Uffd,
        event: FaultEvent,
    ) -> Option<(Fault, FaultEvent)> {
        if session.is_revoked() || self.shell.is_sealed() {
            self.turn_away(uffd, event);
            return None;
        }
        let Some(entry) = session.mapping_at(event.address) else {
            self.let_retry(uffd, event.address);
            return None;
        };
        let page = entry.page_at(event.address);
        let kind = kind_of(event);
        let fault = Fault { mapping: entry.id, page, write: event.write, kind };
        Some((fault, event))
    }

    /// Hands a batch to the core under one lock, and does what it wants.
    fn answer(&mut self, uffd: &Uffd, faults: &[(Fault, FaultEvent)], read: Instant) {
        let shell = self.shell;
        let start = Instant::now();
        shell.timings.queue.observe((start - read).as_secs_f64());
        let mut strays: SmallVec<[FaultEvent; 4]> = SmallVec::new();
        let now = shell.now();
        let mut core = shell.lock();
        for (fault, event) in faults {
            match core.handle_fault(now, *fault) {
                Heard::Noted => {}
                Heard::Unknown => strays.push(*event),
            }
        }
        shell.collect(core, &mut self.wanted);
        shell.timings.decide.observe(start.elapsed().as_secs_f64());
        for event in strays {
            if shell.is_sealed() {
                self.turn_away(uffd, event);
            } else {
                self.let_retry(uffd, event.address);
            }
        }
        let starved = self.wanted.front().is_some_and(|effect| makes_room(&effect.action));
        if starved {
            timed(&shell.timings.make_room, || shell.carry_out(&mut self.wanted));
        } else {
            shell.carry_out(&mut self.wanted);
        }
        shell.timings.service.observe(read.elapsed().as_secs_f64());
    }

    /// A fault in no mapping of ours: the client has unmapped it, or it was never one. The thread
    /// looks again, and finds out.
    fn let_retry(&self, uffd: &Uffd, address: u64) {
        self.shell.counters.faults_stray.add(1);
        if let Some(page) = page_of(address) {
            self.shell.note_failure("wake", uffd.wake(page));
        }
    }

    /// The contents are gone for this client: SIGBUS, or leave to write what it still sees.
    fn turn_away(&self, uffd: &Uffd, event: FaultEvent) {
        let Some(page) = page_of(event.address) else { return };
        // The mapping may be gone from the tables, and with it how large its pages are.
        let huge = AddressRange::huge_page_around(event.address);
        self.shell.lock().count_outcast(event.write, kind_of(event));
        match event.kind {
            // Wakes as well. Nothing is evicted on this client's behalf any more.
            uffd::FaultKind::WriteProtected => {
                let outcome = uffd.unprotect(page);
                // So the kernel says of a part of a huge page.
                if let (uffd::ProtectOutcome::NotMapped, Some(huge)) = (outcome, huge) {
                    drop(uffd.unprotect(huge));
                }
            }
            uffd::FaultKind::Missing | uffd::FaultKind::Minor => {
                let outcome = uffd.poison(page);
                if let (uffd::PoisonOutcome::NotMapped, Some(huge)) = (&outcome, huge) {
                    self.shell.poison_part(uffd, huge);
                } else {
                    self.shell.after_poison(uffd, page, outcome);
                }
            }
        }
    }
}

/// Takes what is ready, waiting for it without end or for as long as `wait` says.
fn look(
    epoll: &OwnedFd,
    ready: &mut Vec<epoll::Event>,
    wait: Option<&Timespec>,
) -> rustix::io::Result<()> {
    match epoll::wait(epoll, rustix::buffer::spare_capacity(ready), wait) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

fn kind_of(event: FaultEvent) -> FaultKind {
    match event.kind {
        uffd::FaultKind::WriteProtected => FaultKind::WriteProtected,
        uffd::FaultKind::Missing | uffd::FaultKind::Minor => FaultKind::Missing,
    }
}

fn page_of(address: u64) -> Option<AddressRange> {
    AddressRange::new(address & !(KERNEL_PAGE - 1), KERNEL_PAGE)
}

fn makes_room(action: &bo_core::Action) -> bool {
    matches!(action, bo_core::Action::CopyOut { .. } | bo_core::Action::Punch { .. })
}
