//! Pages that leave because somebody has asked for it, however warm they are.

use bo_units::{ClientId, ObjectId, PageIndex, PageRange, Tick};
use smallvec::SmallVec;

use crate::Placement;
use crate::limits::{EXPELLING_BYTES_MAX, LIST_STEP_HOLDS};
use crate::manager::{Manager, Reason};
use crate::page::run as pages;
use crate::refusal::ControlRefusal;

/// What one step of evicting an object did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    /// Bytes that began to leave. A write may still call some of them back.
    pub bytes: u64,
    /// Where the next step begins; `None`: this was the last. If it is where this one began, much
    /// is on its way out, and the next step is for when some of it has left.
    pub rest: Option<PageIndex>,
}

/// The same, with what it was.
#[derive(Debug, Default)]
pub(crate) struct Expelled {
    pub(crate) begun: SmallVec<[PageRange; 8]>,
    pub(crate) bytes: u64,
    pub(crate) rest: Option<PageIndex>,
}

impl Manager {
    /// Lets what can leave now of an object leave the pool, from the page `from` on: one step. The
    /// effects are to be carried out before the next one.
    ///
    /// # Errors
    ///
    /// [`ControlRefusal::NoSuchObject`].
    pub fn evict_some(
        &mut self,
        now: Tick,
        object: ObjectId,
        from: PageIndex,
    ) -> Result<Evicted, ControlRefusal> {
        self.now = now;
        let entry = self.objects.get(object).filter(|entry| !entry.dying);
        let entry = entry.ok_or(ControlRefusal::NoSuchObject)?;
        if entry.placement == Placement::Ram || self.refusals.forbid(now) || self.sealed {
            return Ok(Evicted { bytes: 0, rest: None });
        }
        if !self.may_expel() {
            return Ok(Evicted { bytes: 0, rest: Some(from) });
        }
        let Expelled { bytes, rest, .. } = self.expel(object, from);
        Ok(Evicted { bytes, rest })
    }

    /// The objects that this client alone holds, among a few of its holds from `slot` on; and the
    /// slot for the next step. `None`: these were the last. Begin with 0.
    ///
    /// # Errors
    ///
    /// [`ControlRefusal::NoSuchClient`].
    pub fn own_objects(
        &self,
        client: ClientId,
        slot: u32,
    ) -> Result<(Vec<ObjectId>, Option<u32>), ControlRefusal> {
        let entry = self.clients.get(client).ok_or(ControlRefusal::NoSuchClient)?;
        let mut holds = entry.holds.range(slot..);
        let alone =
            |id: &ObjectId| self.objects.get(*id).is_some_and(|object| object.holders.len() == 1);
        let some = holds.by_ref().take(LIST_STEP_HOLDS).map(|(_, hold)| hold.object);
        let some = some.filter(alone).collect();
        Ok((some, holds.next().map(|(slot, _)| *slot)))
    }

    /// True if more may be on its way out because somebody has asked for it.
    pub(crate) fn may_expel(&self) -> bool {
        self.evicting < EXPELLING_BYTES_MAX
    }

    /// Begins to evict what can leave of a few pages of an object in VRAM, from `from` on.
    pub(crate) fn expel(&mut self, id: ObjectId, from: PageIndex) -> Expelled {
        let object = self.object(id);
        let end = object.all().end();
        let Some(range) = PageRange::between(from, end).filter(|range| !range.is_empty()) else {
            return Expelled::default();
        };
        let page_bytes = object.page_size.bytes();
        let mut left = self.reclaim_step();
        let (part, rest) = object.pages.cut(range, self.config.step_pages);
        let mut rest = rest.map(|rest| rest.first());
        let mut victims = SmallVec::<[_; 64]>::new();
        for (index, page) in object.pages.touched(part) {
            let evictable = self.size_if_evictable(Self::key(id, index)).is_some();
            let Some(frame) = page.frame().filter(|_| evictable) else { continue };
            if left == 0 {
                rest = Some(index);
                break;
            }
            left = left.saturating_sub(page_bytes);
            victims.push(frame);
        }
        let mut named = std::mem::take(&mut self.victims);
        named.clear();
        named.extend(victims);
        let runs = self.runs(&mut named, Reason::Asked);
        self.victims = named;
        let mut expelled = Expelled { rest, ..Expelled::default() };
        // Clean ones first, as ever: copies of clean pages may be given up for the others.
        for run in runs.iter().filter(|run| run.clean) {
            expelled.bytes += self.begin_punch(*run);
            expelled.begun.push(run.range);
        }
        for run in runs.iter().filter(|run| !run.clean) {
            let bytes = self.begin_copy_out(*run);
            let count = usize::try_from(bytes / page_bytes).expect("64 pages at most");
            if count > 0 {
                expelled.begun.push(pages(run.range.first(), count));
            }
            expelled.bytes += bytes;
        }
        expelled
    }

    /// Bytes of pages in the pool that must not leave until somebody allows it. None can be asked
    /// for as yet; a page that is busy is so for the length of a system call, and is waited for.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        0
    }
}
