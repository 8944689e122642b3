//! The core without a kernel: every effect succeeds, and takes no time.

#![allow(dead_code, reason = "the bench, a benchmark and a test use different parts of it")]

use bo_core::{
    Access, Action, AllocRequest, Copied, CoreConfig, Effect, Fault, FaultKind, Heard, InstallEnd,
    Manager, Outcome, Placement, Prefetch,
};
use bo_units::{
    ByteCount, ClientId, MappingId, ObjectId, PageCount, PageIndex, PageRange, PageSize, Tick,
};

const NOW: Tick = Tick::from_nanos(0);

/// Objects of one client, below the usual limit on its mappings.
const OBJECTS_PER_CLIENT: usize = 50_000;

/// A core with objects of 4 KiB pages, each held by one client.
pub(crate) struct Driver {
    pub(crate) manager: Manager,
    pub(crate) objects: Vec<(ClientId, ObjectId)>,
    /// Of each object, if they are mapped.
    pub(crate) mappings: Vec<MappingId>,
    /// How many each object has.
    pages: Vec<PageCount>,
    todo: Vec<Effect>,
}

/// A pool and a store of so many pages each.
pub(crate) fn config(vram_pages: u64, ram_pages: u64) -> CoreConfig {
    CoreConfig::new(ByteCount::new(vram_pages * 4096), ByteCount::new(ram_pages * 4096))
}

impl Driver {
    /// `objects` objects of `pages_each` pages.
    pub(crate) fn new(config: CoreConfig, objects: usize, pages_each: u32) -> Driver {
        let shape = (PageCount::new(pages_each), PageSize::MIN);
        Driver::of(config, std::iter::repeat_n(shape, objects))
    }

    /// One object of each shape. The limits of `config` must allow them.
    pub(crate) fn of(
        config: CoreConfig,
        shapes: impl ExactSizeIterator<Item = (PageCount, PageSize)>,
    ) -> Driver {
        let mut manager = Manager::new(config);
        let mut made: Vec<(ClientId, ObjectId)> = Vec::with_capacity(shapes.len());
        let mut pages = Vec::with_capacity(shapes.len());
        let mut client = None;
        for (number, (count, size)) in shapes.enumerate() {
            if number % OBJECTS_PER_CLIENT == 0 {
                client = Some(manager.connect("driver").expect("few clients"));
            }
            let client = client.expect("the first object made it");
            let request = AllocRequest {
                bytes: count.bytes(size),
                page_size: Some(size),
                placement: Placement::Vram,
                label: "driver".to_owned(),
            };
            let object = manager.allocate(client, &request).expect("there is room").object;
            made.push((client, object));
            pages.push(count);
        }
        Driver { manager, objects: made, mappings: Vec::new(), pages, todo: Vec::new() }
    }

    /// Maps every object as a whole, to load and store.
    pub(crate) fn map(&mut self) {
        for ((client, object), pages) in self.objects.iter().zip(&self.pages) {
            let all = PageRange::whole(*pages);
            let attached = self.manager.attach(*client, *object, all, Access::ReadWrite);
            self.mappings.push(attached.expect("it holds the object").mapping);
        }
    }

    /// Hands a fault in, and takes what is to be done: one decision.
    pub(crate) fn decide(&mut self, object: usize, page: u32, write: bool, kind: FaultKind) {
        self.hear(object, page, write, kind);
        self.take();
    }

    /// Hands a fault in.
    pub(crate) fn hear(&mut self, object: usize, page: u32, write: bool, kind: FaultKind) {
        let mapping = self.mappings[object];
        let fault = Fault { mapping, page: PageIndex::new(page), write, kind };
        assert_eq!(self.manager.handle_fault(NOW, fault), Heard::Noted, "the page is there");
    }

    /// Says that a page is in use.
    pub(crate) fn touch(&mut self, object: usize, page: u32) {
        let (client, object) = self.objects[object];
        let page = PageRange::single(PageIndex::new(page)).expect("far from the last number");
        let touched = self.manager.touch(client, object, page);
        touched.expect("it holds the object");
    }

    /// Gives an object back.
    pub(crate) fn free(&mut self, object: usize) {
        let (client, id) = self.objects[object];
        self.manager.detach(NOW, client, self.mappings[object]).expect("it is mapped");
        self.manager.release(NOW, client, id).expect("it is held");
    }

    /// Does everything that is to be done in the order in which it is wanted, and shows it.
    pub(crate) fn carry_out(&mut self, mut see: impl FnMut(&Action)) {
        while let Some(effect) = self.manager.poll_effect() {
            see(&effect.action);
            if let (Some(id), Some(outcome)) = (effect.id, good(&effect.action)) {
                self.manager.handle_outcome(NOW, id, outcome);
            }
        }
    }

    /// A step of background reclaim, and what is to be done; false if nothing was started.
    pub(crate) fn reclaim(&mut self) -> bool {
        let more = self.manager.handle_reclaim(NOW);
        self.take();
        more
    }

    fn take(&mut self) {
        while let Some(effect) = self.manager.poll_effect() {
            self.todo.push(effect);
        }
    }

    /// The next thing to report, if any.
    pub(crate) fn next(&mut self) -> Option<(bo_core::EffectId, Outcome)> {
        loop {
            let effect = self.todo.pop()?;
            if let (Some(id), Some(outcome)) = (effect.id, good(&effect.action)) {
                return Some((id, outcome));
            }
        }
    }

    /// Reports one thing, and takes what is then to be done: one decision.
    pub(crate) fn report(&mut self, id: bo_core::EffectId, outcome: Outcome) {
        self.manager.handle_outcome(NOW, id, outcome);
        self.take();
    }

    /// Does everything that is to be done.
    pub(crate) fn finish(&mut self) {
        while let Some((id, outcome)) = self.next() {
            self.report(id, outcome);
        }
    }

    /// Brings all pages in, as far as the pool goes without evicting.
    pub(crate) fn bring_all(&mut self) {
        for ((client, object), pages) in self.objects.clone().into_iter().zip(self.pages.clone()) {
            let start = self.manager.start_prefetch();
            let mut rest = Some(PageRange::whole(pages));
            while let Some(range) = rest {
                let step = self.manager.prefetch(NOW, client, object, range, start);
                rest = match step.expect("it holds the object") {
                    Prefetch::Done | Prefetch::Full => None,
                    Prefetch::MakingRoom => rest,
                    Prefetch::Started { run } => {
                        PageRange::between(run.end(), range.end()).filter(|rest| !rest.is_empty())
                    }
                };
                self.take();
                self.finish();
            }
        }
    }
}

fn good(action: &Action) -> Option<Outcome> {
    Some(match action {
        Action::Fill { .. } => Outcome::Filled { installed: InstallEnd::Complete },
        Action::Install { .. } | Action::Patch { .. } => Outcome::Installed(InstallEnd::Complete),
        Action::Unprotect { .. } => Outcome::Unprotected,
        Action::CopyOut { slots, .. } => {
            let same = slots.iter().map(|_| None).collect();
            Outcome::CopiedOut(Copied::Done { same })
        }
        Action::Punch { .. } => Outcome::Punched { done: true },
        Action::Discard { .. } => Outcome::Discarded,
        Action::Destroy { .. } => Outcome::Destroyed,
        Action::Yield => Outcome::Yielded,
        Action::Wake { .. }
        | Action::Poison { .. }
        | Action::Detached { .. }
        | Action::Freed { .. } => return None,
    })
}
