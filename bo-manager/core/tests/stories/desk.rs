//! A shell on a desk: it does what it is told, one thing at a time, and always succeeds.

use std::collections::VecDeque;

use bo_core::{
    Access, Action, AllocRequest, Allocated, Copied, CoreConfig, Effect, Fault, FaultKind, Heard,
    InstallEnd, Manager, Outcome, Placement, Refusal,
};
use bo_units::{
    ByteCount, ClientId, MappingId, ObjectId, PageCount, PageIndex, PageRange, PageSize, Tick,
};

pub(crate) const NOW: Tick = Tick::from_nanos(0);
pub(crate) const SMALL: u64 = 4096;

pub(crate) struct Desk {
    pub(crate) manager: Manager,
    pub(crate) todo: VecDeque<Effect>,
    /// What is copied out turns out to be this word over and over.
    pub(crate) same: Option<u64>,
    /// The host protects nothing, and punches nothing.
    pub(crate) refuses: bool,
    pub(crate) now: Tick,
}

pub(crate) fn pages(count: u64) -> ByteCount {
    ByteCount::new(count * SMALL)
}

pub(crate) fn range(first: u32, count: u32) -> PageRange {
    PageRange::checked_new(PageIndex::new(first), PageCount::new(count)).expect("a small range")
}

pub(crate) fn size(bytes: u64) -> PageSize {
    PageSize::new(bytes).expect("a page size")
}

impl Desk {
    /// A pool and a store of so many pages of 4 KiB. Nothing happens unasked.
    pub(crate) fn new(vram: u64, ram: u64) -> Self {
        let mut config = CoreConfig::new(pages(vram), pages(ram));
        config.fault_around = ByteCount::new(0);
        config.marks.reclaim_start_free = ByteCount::new(0);
        config.marks.reclaim_stop_free = ByteCount::new(0);
        config.marks.reserve = ByteCount::new(0);
        config.marks.clean_start = None;
        Self::with(config)
    }

    pub(crate) fn with(config: CoreConfig) -> Self {
        let (manager, todo) = (Manager::new(config), VecDeque::new());
        Self { manager, todo, same: None, refuses: false, now: NOW }
    }

    pub(crate) fn client(&mut self) -> ClientId {
        self.manager.connect("a client").expect("there is room for a client")
    }

    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        bytes: ByteCount,
        page_bytes: u64,
        placement: Placement,
    ) -> Result<Allocated, Refusal> {
        let page_size = Some(size(page_bytes));
        let label = "an object".to_owned();
        let request = AllocRequest { bytes, page_size, placement, label };
        let answer = self.manager.allocate(client, &request);
        self.take();
        answer
    }

    pub(crate) fn object(&mut self, client: ClientId, count: u64) -> ObjectId {
        self.object_of(client, count, SMALL)
    }

    pub(crate) fn object_of(&mut self, client: ClientId, count: u64, page_bytes: u64) -> ObjectId {
        let bytes = ByteCount::new(count * page_bytes);
        self.ask(client, bytes, page_bytes, Placement::Vram).expect("there is room for it").object
    }

    /// All of an object, to load and store.
    pub(crate) fn map(&mut self, client: ClientId, object: ObjectId) -> MappingId {
        let bytes = self.manager.object_view(object).expect("it lives");
        let count = u32::try_from(bytes.bytes / bytes.page_bytes).expect("it is small");
        let attached = self.manager.attach(client, object, range(0, count), Access::ReadWrite);
        attached.expect("it may be mapped").mapping
    }

    pub(crate) fn hear(
        &mut self,
        mapping: MappingId,
        page: u32,
        write: bool,
        kind: FaultKind,
    ) -> Heard {
        let fault = Fault { mapping, page: PageIndex::new(page), write, kind };
        let heard = self.manager.handle_fault(self.now, fault);
        self.take();
        heard
    }

    /// A load meets no page.
    pub(crate) fn load(&mut self, mapping: MappingId, page: u32) {
        assert_eq!(self.hear(mapping, page, false, FaultKind::Missing), Heard::Noted);
    }

    /// A store meets no page.
    pub(crate) fn store(&mut self, mapping: MappingId, page: u32) {
        assert_eq!(self.hear(mapping, page, true, FaultKind::Missing), Heard::Noted);
    }

    /// A store meets a write-protected page.
    pub(crate) fn store_protected(&mut self, mapping: MappingId, page: u32) {
        assert_eq!(self.hear(mapping, page, true, FaultKind::WriteProtected), Heard::Noted);
    }

    pub(crate) fn take(&mut self) {
        while let Some(effect) = self.manager.poll_effect() {
            self.todo.push_back(effect);
        }
    }

    /// Takes the first effect off the desk, undone.
    pub(crate) fn next(&mut self) -> Effect {
        self.todo.pop_front().expect("something is to be done")
    }

    pub(crate) fn report(&mut self, effect: &Effect, outcome: Outcome) {
        let id = effect.id.expect("somebody waits for it");
        self.manager.handle_outcome(self.now, id, outcome);
        self.take();
    }

    /// Does one thing well.
    pub(crate) fn finish(&mut self, effect: &Effect) {
        if let Some(outcome) = self.good(&effect.action) {
            self.report(effect, outcome);
        }
    }

    /// Does everything, and says what that was.
    pub(crate) fn settle(&mut self) -> Vec<Action> {
        let done = self.work();
        assert!(self.manager.is_idle());
        done
    }

    /// Does everything that lies on the desk; something else may be in hand.
    pub(crate) fn work(&mut self) -> Vec<Action> {
        self.take();
        let mut done = Vec::new();
        while let Some(effect) = self.todo.pop_front() {
            self.finish(&effect);
            done.push(effect.action);
            assert!(done.len() < 10_000, "it never comes to rest");
        }
        done
    }

    fn good(&self, action: &Action) -> Option<Outcome> {
        Some(match action {
            Action::Fill { .. } => Outcome::Filled { installed: InstallEnd::Complete },
            Action::Install { .. } | Action::Patch { .. } => {
                Outcome::Installed(InstallEnd::Complete)
            }
            Action::Unprotect { .. } => Outcome::Unprotected,
            Action::CopyOut { .. } if self.refuses => Outcome::CopiedOut(Copied::Failed),
            Action::CopyOut { slots, .. } => {
                let same = slots.iter().map(|_| self.same).collect();
                Outcome::CopiedOut(Copied::Done { same })
            }
            Action::Punch { .. } => Outcome::Punched { done: !self.refuses },
            Action::Discard { .. } => Outcome::Discarded,
            Action::Destroy { .. } => Outcome::Destroyed,
            Action::Yield => Outcome::Yielded,
            Action::Wake { .. }
            | Action::Poison { .. }
            | Action::Detached { .. }
            | Action::Freed { .. } => return None,
        })
    }

    /// Fills the whole pool with pages of `mapping`, each stored to.
    pub(crate) fn dirty(&mut self, mapping: MappingId, numbers: std::ops::Range<u32>) {
        for page in numbers {
            self.store(mapping, page);
            self.settle();
        }
    }
}

/// The names of actions, for comparison with what was expected.
pub(crate) fn names(actions: &[Action]) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::Fill { .. } => "fill",
        Action::Install { .. } => "install",
        Action::Unprotect { .. } => "unprotect",
        Action::Patch { .. } => "patch",
        Action::Wake { .. } => "wake",
        Action::Poison { .. } => "poison",
        Action::CopyOut { .. } => "copy",
        Action::Punch { .. } => "punch",
        Action::Discard { .. } => "discard",
        Action::Detached { .. } => "detached",
        Action::Freed { .. } => "freed",
        Action::Destroy { .. } => "destroy",
        Action::Yield => "yield",
    };
    actions.iter().map(name).collect()
}
