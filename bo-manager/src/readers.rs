//! Which threads read faults, what they wait on, and who of them hears of whom.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bo_units::{ClientId, Tick};
use rustix::event::{EventfdFlags, epoll};

use crate::follow::Listeners;
use crate::limits::STUCK_AFTER;
use crate::poll::Permits;
use crate::shell::Shell;
use crate::tables::Session;

/// No client has this number: generations begin at one and slots below 2^32 - 1.
pub(crate) const STOP: u64 = u64::MAX;

/// A userfaultfd, as an epoll knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) client: ClientId,
    /// Which of the client's userfaultfds.
    pub(crate) shard: usize,
}

impl Watched {
    /// The shard's number is above the client's slot: there are few of both.
    const SHARD_SHIFT: u32 = 24;
    const SLOT_MASK: u32 = (1 << Self::SHARD_SHIFT) - 1;

    pub(crate) fn to_u64(self) -> u64 {
        assert!(self.client.slot <= Self::SLOT_MASK, "a daemon has less than 2^24 clients");
        let shard = u32::try_from(self.shard).expect("a client has few userfaultfds");
        assert!(shard < 1 << (u32::BITS - Self::SHARD_SHIFT), "a client has few userfaultfds");
        let slot = self.client.slot | shard << Self::SHARD_SHIFT;
        ClientId::new(slot, self.client.generation).to_u64()
    }

    pub(crate) fn from_u64(number: u64) -> Self {
        let ClientId { slot, generation } = ClientId::from_u64(number);
        let client = ClientId::new(slot & Self::SLOT_MASK, generation);
        Self { client, shard: (slot >> Self::SHARD_SHIFT) as usize }
    }
}

/// What the readers wait on.
#[derive(Debug)]
pub(crate) struct Readers {
    /// One for each thread.
    pub(crate) epolls: Vec<OwnedFd>,
    /// The CPU of each thread; none if they are not pinned.
    pub(crate) cpus: Vec<usize>,
    stop: OwnedFd,
    /// The longest that a reader polls before it sleeps.
    pub(crate) poll: Duration,
    pub(crate) polling: Permits,
    /// When each thread began with its batch, in milliseconds; [`IDLE`] if it has none.
    pub(crate) busy_since: Box<[AtomicU64]>,
}

/// Of a reader that has no batch.
pub(crate) const IDLE: u64 = u64::MAX;

/// What [`Readers::busy_since`] counts in.
pub(crate) fn millis(now: Tick) -> u64 {
    now.nanos() / 1_000_000
}

/// Which threads read faults, where, and how they wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) threads: usize,
    /// One for each thread, or none: they are not pinned.
    pub(crate) cpus: Vec<usize>,
    /// The longest that a reader polls before it sleeps. Zero: it never polls.
    pub(crate) poll: Duration,
    /// How many may poll at one time.
    pub(crate) polling_max: usize,
}

impl Readers {
    pub(crate) fn new(plan: Plan) -> io::Result<Self> {
        let Plan { threads, cpus, poll, polling_max } = plan;
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut epolls = Vec::with_capacity(threads);
        for _ in 0..threads {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            epoll::add(&epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
            epolls.push(epoll);
        }
        let busy_since = (0..threads).map(|_| AtomicU64::new(IDLE)).collect();
        Ok(Self { epolls, cpus, stop, poll, polling: Permits::new(polling_max), busy_since })
    }

    /// From now on these listen to this client's userfaultfd of this number, and no others.
    pub(crate) fn listen(&self, session: &Session, shard: usize, who: Listeners) -> io::Result<()> {
        let Some(uffd) = session.uffds().nth(shard) else { return Ok(()) };
        let data = epoll::EventData::new_u64(Watched { client: session.id, shard }.to_u64());
        // None of those who listen already is taken away before all others have been added.
        for epoll in self.epolls_of(who, true) {
            // Level-triggered: what one reader leaves in the queue the next one hears of.
            match epoll::add(epoll, uffd, data, epoll::EventFlags::IN) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for epoll in self.epolls_of(who, false) {
            // It need not have listened before.
            let _ = epoll::delete(epoll, uffd);
        }
        Ok(())
    }

    /// The epolls of those who are, or are not, among `who`.
    fn epolls_of(&self, who: Listeners, among: bool) -> impl Iterator<Item = &OwnedFd> {
        let is_among = move |number: usize| match who {
            Listeners::All => true,
            Listeners::Only(cpu) => self.cpus.get(number) == Some(&cpu),
        };
        let epolls = self.epolls.iter().enumerate();
        epolls.filter_map(move |(number, epoll)| (is_among(number) == among).then_some(epoll))
    }

    /// Must be called before our descriptor is closed: the client has a duplicate, which keeps it
    /// in every epoll.
    pub(crate) fn unwatch(&self, session: &Session, shard: usize) {
        let Some(uffd) = session.uffds().nth(shard) else { return };
        let mut follow = session.follow(shard).lock();
        follow.closed = true;
        for epoll in &self.epolls {
            // It may have been added to some of them only.
            let _ = epoll::delete(epoll, uffd);
        }
    }

    /// True if no reader has a batch.
    pub(crate) fn are_idle(&self) -> bool {
        self.busy_since.iter().all(|since| since.load(Ordering::SeqCst) == IDLE)
    }

    /// Where the readers that have been at one batch for this long are.
    fn stuck(&self, now: u64, long: Duration) -> Vec<usize> {
        let long = u64::try_from(long.as_millis()).unwrap_or(u64::MAX);
        let since = self.busy_since.iter().map(|since| since.load(Ordering::Relaxed));
        let stuck = |since: u64| since != IDLE && now.saturating_sub(since) >= long;
        self.cpus
            .iter()
            .zip(since)
            .filter_map(|(cpu, since)| stuck(since).then_some(*cpu))
            .collect()
    }

    pub(crate) fn stop(&self) {
        // The counter of an eventfd does not fill up at one write.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

impl Shell {
    /// Faults of this userfaultfd were answered: from time to time, looks where they come from.
    pub(crate) fn follow(
        &self,
        session: &Session,
        shard: usize,
        thread: u32,
        faults: usize,
        read: Instant,
    ) {
        if self.readers.cpus.len() < 2 {
            return;
        }
        let Some(mut follow) = session.follow(shard).try_lock() else { return };
        let gap = read.saturating_duration_since(follow.answered);
        follow.answered = Instant::now();
        let faults = u32::try_from(faults).unwrap_or(u32::MAX);
        if follow.closed || !follow.aim.is_due(faults, gap) {
            return;
        }
        self.counters.fault_looks.add(1);
        let place = follow.find(session.process, thread);
        let Some(cpu) = place.filter(|cpu| self.readers.cpus.contains(cpu)) else { return };
        if let Some(who) = follow.aim.seen(cpu) {
            self.change_listeners(session, shard, who);
        }
    }

    /// Whoever calls this holds the lock of what is followed.
    fn change_listeners(&self, session: &Session, shard: usize, who: Listeners) {
        match who {
            Listeners::All => self.counters.listeners_all.add(1),
            Listeners::Only(_) => self.counters.listeners_one.add(1),
        }
        self.note_failure("listen for faults", self.readers.listen(session, shard, who));
    }

    /// Lets all readers hear those whose only reader has been at one batch for too long.
    pub(crate) fn relieve_readers(&self) {
        let stuck = self.readers.stuck(millis(self.now()), STUCK_AFTER);
        if stuck.is_empty() {
            return;
        }
        for session in self.every_session() {
            for shard in 0..session.uffds().count() {
                let mut follow = session.follow(shard).lock();
                let waits = |cpu: &usize| follow.aim.listeners() == Listeners::Only(*cpu);
                if stuck.iter().any(waits) && !follow.closed {
                    self.change_listeners(&session, shard, follow.aim.distrust());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_descriptor_is_found_again_by_its_number() {
        for (slot, generation, shard) in [(0, 1, 0), (77, 3, 5), ((1 << 24) - 1, u32::MAX, 255)] {
            let watched = Watched { client: ClientId::new(slot, generation), shard };
            assert_eq!(Watched::from_u64(watched.to_u64()), watched);
        }
    }
}
