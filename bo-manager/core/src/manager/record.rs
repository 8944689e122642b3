//! What is recorded of what happens: a queue that somebody else empties.

use bo_units::{ClientId, MappingId, ObjectId, PageRange, Tick};

use crate::Placement;
use crate::journal::{Event, FillCause, What};
use crate::limits::RECORD_EVENTS_MAX;
use crate::manager::answer::single;
use crate::manager::{Fault, Manager, Wanted};
use crate::prefetch::Cause;

/// Events that were taken out of the queue.
#[derive(Debug, Default)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
    /// How many are missing after the last of them, because the queue was full.
    pub lost: u64,
    /// The time as the manager knows it.
    pub at: Tick,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    on: bool,
    events: Vec<Event>,
    lost: u64,
}

impl Recorder {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() < RECORD_EVENTS_MAX {
            self.events.push(event);
        } else {
            self.lost += 1;
        }
    }
}

impl Manager {
    /// Takes what was recorded since the last call. `taken` comes back full; its own memory is what
    /// the queue goes on with, so that nothing is copied under the lock.
    pub fn take_events(&mut self, taken: &mut Events) {
        taken.events.clear();
        std::mem::swap(&mut taken.events, &mut self.recorder.events);
        taken.lost = std::mem::take(&mut self.recorder.lost);
        taken.at = self.now;
    }

    /// True if the queue of events is half full: what is not taken soon is lost.
    #[must_use]
    pub fn wants_recording(&self) -> bool {
        RECORD_EVENTS_MAX / 2 <= self.recorder.events.len()
    }

    /// Records nothing any more, and forgets what was not taken. Says how many events that were.
    pub fn stop_recording(&mut self) -> u64 {
        let Recorder { events, lost, .. } = std::mem::take(&mut self.recorder);
        events.len() as u64 + lost
    }

    pub(crate) fn record_fault(&mut self, fault: &Fault, object: ObjectId) {
        if self.recorder.on {
            let what = What::Fault { write: fault.write, kind: fault.kind };
            let client = self.client_by(fault.mapping);
            self.record(what, client, object, single(fault.page));
        }
    }

    /// A run of pages has come: the one that a fault waits for, and the others around it.
    pub(crate) fn record_fill(&mut self, object: ObjectId, range: PageRange, wanted: &Wanted) {
        if !self.recorder.on {
            return;
        }
        let client = wanted.mapping().and_then(|mapping| self.client_by(mapping));
        let cause = match wanted.cause() {
            Some(Cause::Around) => FillCause::Around,
            Some(Cause::Stream) => FillCause::Stream,
            Some(Cause::Density) => FillCause::Density,
            Some(Cause::Hint) => FillCause::Hint,
            None => FillCause::Nobody,
        };
        let asked = wanted.asked().filter(|page| range.contains(*page));
        let mut next = range.first();
        if let Some(page) = asked {
            self.record_part(cause, client, object, PageRange::between(next, page));
            self.record(What::Filled(FillCause::Demand), client, object, single(page));
            next = single(page).end();
        }
        self.record_part(cause, client, object, PageRange::between(next, range.end()));
    }

    fn record_part(
        &mut self,
        cause: FillCause,
        client: Option<ClientId>,
        object: ObjectId,
        part: Option<PageRange>,
    ) {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            self.record(What::Filled(cause), client, object, part);
        }
    }

    pub(crate) fn record_eviction(
        &mut self,
        object: ObjectId,
        range: PageRange,
        background: bool,
        clean: bool,
    ) {
        if self.recorder.on {
            let first = self.object(object).mappings.first().copied();
            let client = first.and_then(|mapping| self.client_by(mapping));
            self.record(What::Evicted { background, clean }, client, object, range);
        }
    }

    /// An object is about to be forgotten.
    pub(crate) fn record_free(&mut self, object: ObjectId) {
        if self.recorder.on {
            let all = self.object(object).all();
            self.record(What::Freed, None, object, all);
        }
    }

    fn client_by(&self, mapping: MappingId) -> Option<ClientId> {
        self.mappings.get(mapping).map(|entry| entry.client)
    }

    /// Only what is in the pool: objects in RAM never leave.
    fn record(&mut self, what: What, client: Option<ClientId>, object: ObjectId, pages: PageRange) {
        let entry = self.object(object);
        if entry.placement == Placement::Vram {
            let (at, page_size) = (self.now, entry.page_size);
            self.recorder.push(Event { at, what, client, object, page_size, pages });
        }
    }
}
