//! From a request to its handler. What a client names is a claim until the core has granted it.

use std::os::fd::AsFd;
use std::sync::Arc;

use bo_units::{MappingId, ObjectId, PageCount, PageIndex, PageRange};
use bo_wire::{
    Access, ClaimedMapping, ClaimedObject, InvalidKind, Placement, Priority, Refusal, Reply,
    Request,
};

use tokio::sync::oneshot;

use crate::closer::Guest;
use crate::limits::PAGES_PER_LOOK;
use crate::session::{Answer, Connection};
use crate::tables::Session;

/// The object that a client says it means. Whether it has it, the core says.
pub(super) fn claimed(object: ClaimedObject) -> ObjectId {
    ObjectId::from_u64(object.raw())
}

/// The pages that a client says it means.
pub(super) fn pages(first: u32, count: u32) -> Result<PageRange, Refusal> {
    let range = PageRange::checked_new(PageIndex::new(first), PageCount::new(count));
    range.ok_or(Refusal::Invalid(InvalidKind::Range))
}

/// The range in parts that are short enough to look at under one lock.
pub(super) fn parts(range: PageRange) -> impl Iterator<Item = PageRange> {
    let step = PageCount::new(PAGES_PER_LOOK);
    let mut first = range.first();
    std::iter::from_fn(move || {
        let rest = PageRange::between(first, range.end()).filter(|rest| !rest.is_empty())?;
        let end = first.checked_add(step).map_or(range.end(), |end| end.min(range.end()));
        first = end;
        PageRange::between(rest.first(), end)
    })
}

pub(super) fn access_of(access: Access) -> bo_core::Access {
    match access {
        Access::ReadOnly => bo_core::Access::ReadOnly,
        Access::ReadWrite => bo_core::Access::ReadWrite,
    }
}

fn priority_of(priority: Priority) -> bo_core::Priority {
    match priority {
        Priority::Low => bo_core::Priority::Low,
        Priority::Normal => bo_core::Priority::Normal,
        Priority::High => bo_core::Priority::High,
        Priority::Highest => bo_core::Priority::Highest,
    }
}

pub(super) fn placement_of(placement: Placement) -> bo_core::Placement {
    match placement {
        Placement::Vram => bo_core::Placement::Vram,
        Placement::Ram => bo_core::Placement::Ram,
    }
}

pub(super) fn placement_shown(placement: bo_core::Placement) -> Placement {
    match placement {
        bo_core::Placement::Vram => Placement::Vram,
        bo_core::Placement::Ram => Placement::Ram,
    }
}

impl Connection {
    /// Handles one request. System calls are made on this thread, which tokio is told of.
    pub(super) async fn handle(
        &self,
        session: &Arc<Session>,
        request: Request,
        descriptor: Option<Guest>,
    ) -> Result<Answer, Refusal> {
        if let Request::Unmap { mapping } = request {
            return self.unmap(session, mapping).await.map(Answer::from);
        }
        if let Request::Release { object } = request {
            return self.release(session, claimed(object)).await.map(Answer::from);
        }
        if let Request::Prefetch { object, first_page, pages: count } = request {
            let range = pages(first_page, count)?;
            return self.prefetch(session, claimed(object), range).await.map(Answer::from);
        }
        tokio::task::block_in_place(|| self.handle_at_once(session, request, descriptor))
    }

    fn handle_at_once(
        &self,
        session: &Arc<Session>,
        request: Request,
        descriptor: Option<Guest>,
    ) -> Result<Answer, Refusal> {
        match request {
            Request::Allocate { bytes, page_bytes, placement, label } => {
                self.allocate(session, bytes, page_bytes, placement, label.as_str())
            }
            Request::Map { object, address, first_page, pages: count, access } => {
                let range = pages(first_page, count)?;
                self.map(session, claimed(object), address, range, access).map(Answer::from)
            }
            Request::Export { object, access } => self.export(session, claimed(object), access),
            Request::ImportToken { token, access } => self.import_token(session, token, access),
            Request::ImportDescriptor { access } => {
                let descriptor = descriptor.ok_or(Refusal::Invalid(InvalidKind::Descriptor))?;
                self.import_descriptor(session, descriptor.as_fd(), access)
            }
            Request::AttachUffd => {
                let descriptor = descriptor.ok_or(Refusal::Invalid(InvalidKind::Descriptor))?;
                self.add_uffd(session, &descriptor).map(|()| Reply::Done.into())
            }
            Request::Touch { object, first_page, pages: count } => {
                self.touch(session, claimed(object), pages(first_page, count)?).map(Answer::from)
            }
            Request::SetPriority { object, priority } => {
                self.set_priority(session, claimed(object), priority).map(Answer::from)
            }
            Request::Stat { object } => self.stat(session, claimed(object)).map(Answer::from),
            Request::Hello { .. }
            | Request::Unmap { .. }
            | Request::Release { .. }
            | Request::Prefetch { .. } => Err(Refusal::Invalid(InvalidKind::State)),
        }
    }

    fn touch(&self, session: &Session, id: ObjectId, range: PageRange) -> Result<Reply, Refusal> {
        // Checked as a whole, so that a claim that goes too far changes nothing.
        self.shell.lock().grant(session.id, id, range).map_err(super::refusal::of)?;
        let mut rest = Some(range);
        while let Some(range) = rest {
            let step = self.shell.decide_in_turn(|core, _| core.touch_some(session.id, id, range));
            rest = step.map_err(super::refusal::of)?;
        }
        Ok(Reply::Done)
    }

    fn set_priority(
        &self,
        session: &Session,
        id: ObjectId,
        priority: Priority,
    ) -> Result<Reply, Refusal> {
        let set = |core: &mut bo_core::Manager, _| {
            core.set_priority(session.id, id, priority_of(priority))
        };
        let mut rest = Some(self.shell.decide(set).map_err(super::refusal::of)?);
        while let Some(range) = rest {
            rest = self.shell.decide_in_turn(|core, _| core.rerank_some(id, range));
        }
        Ok(Reply::Done)
    }

    /// Answers when what a freed object took can be had again: a client that makes room for a new
    /// object must find it.
    async fn release(&self, session: &Session, object: ObjectId) -> Result<Reply, Refusal> {
        let (done, wait) = oneshot::channel();
        let last = tokio::task::block_in_place(|| {
            self.shell.decide(|core, now| {
                let last = core.release(now, session.id, object)?;
                if last {
                    // It is freed by an effect, and those are taken after this.
                    self.shell.freeing.lock().insert(object, done);
                }
                Ok(last)
            })
        });
        if last.map_err(super::refusal::of)? {
            let _ = wait.await;
        }
        Ok(Reply::Done)
    }

    /// Answers when nothing of the mapping is in flight any more, so that the client may use the
    /// addresses again.
    async fn unmap(&self, session: &Session, mapping: ClaimedMapping) -> Result<Reply, Refusal> {
        let mapping = MappingId::from_u64(mapping.raw());
        let (done, wait) = oneshot::channel();
        let detached = tokio::task::block_in_place(|| {
            self.shell.decide(|core, now| {
                // Before the core hears of it, since it may be detached in the same breath; and
                // only if this client may, or its call would answer another's.
                let known = core.mapping_view(mapping).is_some_and(|it| it.client == session.id);
                if known {
                    session.detaching.lock().entry(mapping).or_insert(done);
                }
                core.detach(now, session.id, mapping)
            })
        });
        detached.map_err(super::refusal::of)?;
        // The sender is dropped unused only if the session ends: then nobody reads the answer.
        let _ = wait.await;
        Ok(Reply::Done)
    }
}
