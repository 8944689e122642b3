//! Requests about ranges: map, prefetch.

use std::sync::Arc;

use bo_core::{Prefetch, PrefetchStart};
use bo_sys::range::AddressRange;
use bo_sys::uffd::{RegisterOutcome, Uffd};
use bo_units::{ObjectId, PageRange};
use bo_wire::{Access, InvalidKind, Refusal, Reply};
use smallvec::SmallVec;

use crate::limits::{PREFETCH_PAUSE, PREFETCH_STEPS, SHARD_BYTES_MIN};
use crate::session::requests::{access_of, parts};
use crate::session::{Connection, refusal};
use crate::tables::{MappingEntry, Session};

impl Connection {
    /// Watches a range of the client's address space, and adds it to the books.
    ///
    /// The client has mapped it without access, so that nobody can touch it before this is done.
    /// One that lies about what is there harms itself: pages only ever come from the object's
    /// file, and the kernel installs them where that file is mapped or nowhere.
    pub(super) fn map(
        &self,
        session: &Arc<Session>,
        id: ObjectId,
        address: u64,
        range: PageRange,
        access: Access,
    ) -> Result<Reply, Refusal> {
        let range = self.shell.lock().grant(session.id, id, range).map_err(refusal::of)?;
        let object = self.shell.object(id).ok_or(Refusal::Gone)?;
        let len = range.count().bytes(object.page_size).get();
        let addresses = match object.file.page_bytes() {
            bo_sys::HUGE_PAGE_BYTES => {
                AddressRange::new(address, len).and_then(AddressRange::in_huge_pages)
            }
            _ => AddressRange::new(address, len),
        };
        let addresses = addresses.ok_or(Refusal::Invalid(InvalidKind::Address))?;
        if session.overlaps(addresses) {
            return Err(Refusal::Invalid(InvalidKind::Overlap));
        }
        let watchers = watchers(session, addresses);
        let mut done = 0;
        for (end, uffd) in &watchers {
            let part = addresses.slice(done, end - address - done);
            self.registered(uffd.register(part.expect("parts end at pages of the range")))?;
            done = end - address;
        }
        let mut watchers = Some(watchers);
        let attached = self.shell.decide(|core, _| {
            let attached = core.attach(session.id, id, range, access_of(access))?;
            // In the tables before the lock is released: an eviction may name it right away.
            let entry = Arc::new(MappingEntry {
                id: attached.mapping,
                client: session.id,
                watchers: watchers.take().expect("this is done once"),
                range: addresses,
                pages: range,
                page_size: object.page_size,
            });
            session.ranges.write().insert(address, Arc::clone(&entry));
            self.shell.mappings.insert(entry.id, entry);
            Ok(attached)
        });
        let attached = attached.map_err(refusal::of)?;
        let mapping = attached.mapping;
        if !self.shell.guard(attached) {
            let detached = self.shell.decide(|core, now| core.detach(now, session.id, mapping));
            assert!(detached.is_ok(), "the mapping was made a moment ago for this client");
            return Err(Refusal::Host);
        }
        Ok(Reply::Mapped { mapping: mapping.to_u64() })
    }

    fn registered(&self, outcome: RegisterOutcome) -> Result<(), Refusal> {
        match outcome {
            RegisterOutcome::Registered => Ok(()),
            RegisterOutcome::NotMapped | RegisterOutcome::NotPermitted => {
                Err(Refusal::Invalid(InvalidKind::Address))
            }
            RegisterOutcome::Busy => Err(Refusal::Invalid(InvalidKind::Overlap)),
            RegisterOutcome::Gone => Err(Refusal::Gone),
            RegisterOutcome::Failed(error) => {
                self.shell.host_failed("watch a range", &error);
                Err(Refusal::Host)
            }
        }
    }

    /// Brings pages in, run after run, and says how many of the range are present then.
    ///
    /// It stops when it has brought in half of what the pool holds, or when all that could make
    /// way is younger than it is. Between steps other clients have their turn, and a client that
    /// goes away meanwhile is heard.
    pub(super) async fn prefetch(
        &self,
        session: &Session,
        id: ObjectId,
        range: PageRange,
    ) -> Result<Reply, Refusal> {
        let object = self.shell.object(id).ok_or(Refusal::Gone)?;
        let half = self.shell.lock().pool_size().get() / 2 / object.page_size.bytes();
        let start = self.shell.lock().start_prefetch();
        let mut left = half;
        for part in parts(range) {
            let mut rest = Some(part);
            while let Some(range) = rest.filter(|_| left > 0) {
                let mut runs = SmallVec::new();
                rest = tokio::task::block_in_place(|| {
                    self.prefetch_some(session, id, range, (start, &mut left), &mut runs)
                })?;
                self.all_arrived(session, id, &runs).await?;
                match runs.is_empty() {
                    // Evictions are under way, over a link perhaps.
                    true => tokio::time::sleep(PREFETCH_PAUSE).await,
                    false => tokio::task::yield_now().await,
                }
            }
        }
        let mut resident = 0;
        for part in parts(range) {
            let count = self.shell.lock().resident_pages(session.id, id, part);
            resident += count.map_err(refusal::of)?.get();
        }
        Ok(Reply::Prefetched { resident_pages: resident })
    }

    /// A few steps; gives what is left to do, and takes from `left` what was brought: all of it
    /// when there is no more room.
    fn prefetch_some(
        &self,
        session: &Session,
        id: ObjectId,
        range: PageRange,
        (start, left): (PrefetchStart, &mut u64),
        runs: &mut SmallVec<[PageRange; 8]>,
    ) -> Result<Option<PageRange>, Refusal> {
        let mut rest = Some(range);
        for _ in 0..PREFETCH_STEPS {
            let Some(range) = rest else { break };
            let step =
                self.shell.decide(|core, now| core.prefetch(now, session.id, id, range, start));
            rest = match step.map_err(refusal::of)? {
                Prefetch::Done => None,
                Prefetch::MakingRoom => rest,
                Prefetch::Full => {
                    *left = 0;
                    None
                }
                Prefetch::Started { run } => {
                    runs.push(run);
                    *left = left.saturating_sub(run.count().get().into());
                    PageRange::between(run.end(), range.end()).filter(|rest| !rest.is_empty())
                }
            };
        }
        Ok(rest)
    }

    /// Waits until the link has brought these runs: more at a time would only make everybody
    /// else's faults wait behind them. Without a link they are here already.
    async fn all_arrived(
        &self,
        session: &Session,
        id: ObjectId,
        runs: &[PageRange],
    ) -> Result<(), Refusal> {
        let Some(link) = &self.shell.link else { return Ok(()) };
        loop {
            // Taken before looking: what arrives in between is not missed.
            let filled = link.filled();
            let arriving = {
                let core = self.shell.lock();
                let arriving = |run: &PageRange| core.is_arriving(session.id, id, *run);
                runs.iter().map(arriving).collect::<Result<Vec<bool>, _>>()
            };
            if !arriving.map_err(refusal::of)?.contains(&true) {
                return Ok(());
            }
            filled.await;
        }
    }
}

/// Which of the client's userfaultfds watches what. Threads that wait in different ones do not meet
/// on one queue.
///
/// A long mapping is cut into as many parts as there are userfaultfds, a short one belongs to one
/// of them, by its address.
fn watchers(session: &Session, addresses: AddressRange) -> SmallVec<[(u64, Arc<Uffd>); 1]> {
    let uffds: SmallVec<[&Arc<Uffd>; 8]> = session.uffds().collect();
    let count = uffds.len() as u64;
    let part = (addresses.len() / count).next_multiple_of(SHARD_BYTES_MIN);
    let first = addresses.start() / SHARD_BYTES_MIN;
    let mut watchers = SmallVec::new();
    let mut end = addresses.start();
    for number in first.. {
        end = addresses.end().min(end + part);
        let uffd = uffds[usize::try_from(number % count).expect("it is below a small number")];
        watchers.push((end, Arc::clone(uffd)));
        if end == addresses.end() {
            break;
        }
    }
    watchers
}
