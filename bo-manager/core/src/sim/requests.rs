//! What clients ask for, and how the shell answers.

use bo_units::{ByteCount, MappingId, ObjectId, PageCount, PageIndex, PageRange, PageSize};

use crate::{Access, AllocRequest, ClientState, Guard, Placement, Refusal};

use super::clients::{Mapped, Stage};
use super::jobs::{Job, Kind, Op, pages_of};
use super::{PROCESSES, Plant, Sim};

/// An answer that waits until the effects of its request are carried out.
#[derive(Debug)]
pub(crate) struct Ticket {
    process: usize,
    client: bo_units::ClientId,
    object: ObjectId,
    left: u32,
}

impl Sim {
    /// One client asks for one thing.
    pub(crate) fn step_request(&mut self) {
        if self.closing {
            return;
        }
        let process = self.rng.below(PROCESSES);
        if self.processes[process].dead {
            return;
        }
        if self.processes[process].client.is_none() {
            self.processes[process].client = self.manager.connect("a client").ok();
            return;
        }
        match self.rng.below(20) {
            0..5 => self.ask_for_object(process),
            5..7 => self.import(process),
            7..13 => self.ask_for_mapping(process),
            13..14 => self.ask_to_unmap(process),
            14..15 => self.ask_to_release(process),
            15..17 => self.touch(process),
            _ => self.begin_prefetch(process),
        }
    }

    pub(crate) fn client(&self, process: usize) -> bo_units::ClientId {
        self.processes[process].client.expect("only who is connected asks")
    }

    fn ask_for_object(&mut self, process: usize) {
        let sizes = [4096, 4096, 8192, 16384].map(|bytes| PageSize::new(bytes).ok());
        let page_size = self.rng.pick(&[None, sizes[0], sizes[1], sizes[2], sizes[3]]);
        let pages = self.rng.pick(&[1, 2, 3, 5, 8, 16, 30, 70]);
        let bytes = ByteCount::new(1 + self.rng.next() % (pages * 4096));
        let ram = self.rng.chance(200);
        let placement = if ram { Placement::Ram } else { Placement::Vram };
        let request = AllocRequest { bytes, page_size, placement, label: String::new() };
        let client = self.client(process);
        if self.rng.chance(500) {
            // In steps, of which this is one.
            let more = self.manager.prepare(&request);
            self.take_effects(None);
            if more {
                return;
            }
        }
        let answer = self.manager.allocate(client, &request);
        self.tickets_ever += 1;
        let left = self.take_effects(Some(self.tickets_ever));
        let made = match answer {
            Ok(made) => made,
            Err(refusal) => return assert_fair(refusal, &request),
        };
        let bytes = usize::try_from(made.bytes.get()).expect("objects are small");
        let ratio = usize::try_from(made.page_size.bytes() / 4096).expect("pages are small");
        self.shell.kernel.create(made.object, bytes / 4096, made.placement == Placement::Ram);
        self.shell.ratios.insert(made.object, ratio);
        self.tickets
            .insert(self.tickets_ever, Ticket { process, client, object: made.object, left });
        if left == 0 {
            self.answer_ticket(self.tickets_ever);
        }
    }

    /// One effect of a request is done.
    pub(crate) fn punch_ticket(&mut self, number: u32) {
        // A refused request leaves effects, and no ticket.
        let Some(ticket) = self.tickets.get_mut(&number) else { return };
        ticket.left -= 1;
        if ticket.left == 0 {
            self.answer_ticket(number);
        }
    }

    fn answer_ticket(&mut self, number: u32) {
        let ticket = self.tickets.remove(&number).expect("a request is answered once");
        let process = &mut self.processes[ticket.process];
        if process.client == Some(ticket.client) {
            process.handles.push((ticket.object, Access::ReadWrite));
        }
    }

    /// A handle goes from one client to another.
    fn import(&mut self, process: usize) {
        let from = self.rng.below(PROCESSES);
        let handles = &self.processes[from].handles;
        if self.processes[from].dead || handles.is_empty() {
            return;
        }
        let (object, access) = self.rng.pick(handles);
        let access = if self.rng.chance(300) { Access::ReadOnly } else { access };
        let client = self.client(process);
        if self.manager.hold(client, object, access).is_ok() {
            self.processes[process].handles.push((object, access));
        }
        self.take_effects(None);
    }

    pub(crate) fn some_handle(&mut self, process: usize) -> Option<(ObjectId, Access)> {
        let handles = &self.processes[process].handles;
        (!handles.is_empty()).then(|| self.rng.pick(handles))
    }

    /// A part of an object, or the whole of it.
    pub(crate) fn some_range(&mut self, object: ObjectId) -> PageRange {
        let pages = self.shell.kernel.file_pages(object) / self.shell.ratio(object);
        let (mut first, mut count) = (0, pages);
        if self.rng.chance(400) {
            first = self.rng.below(pages);
            count = 1 + self.rng.below(pages - first);
        }
        let number = |at: usize| u32::try_from(at).expect("objects are small");
        PageRange::checked_new(PageIndex::new(number(first)), PageCount::new(number(count)))
            .expect("objects are small")
    }

    fn ask_for_mapping(&mut self, process: usize) {
        let Some((object, access)) = self.some_handle(process) else { return };
        let access = if self.rng.chance(200) { Access::ReadOnly } else { access };
        let range = self.some_range(object);
        let client = self.client(process);
        let pages = pages_of(range, self.shell.ratio(object));
        let vma = self.shell.kernel.map(process, object, pages, access);
        let Ok(attached) = self.manager.attach(client, object, range, access) else {
            self.shell.kernel.unmap(vma);
            return;
        };
        let mapping = attached.mapping;
        self.shell.mappings.insert(mapping, vma);
        let stage = Stage::Attaching;
        self.processes[process].maps.push(Mapped { vma, mapping, object, access, stage });
        self.take_effects(None);
        let job = Job::new(None, Kind::Attach { mapping, failed: false });
        self.shell.jobs.push(job);
        let job = self.shell.jobs.len() - 1;
        self.plan_guards(job, mapping, attached.guard);
    }

    /// One step of protecting a new mapping.
    fn plan_guards(&mut self, job: usize, mapping: MappingId, guard: Guard) {
        let plant = self.shell.plant;
        let ops = match self.shell.mappings.get(&mapping).copied() {
            Some(vma) if plant != Some(Plant::SkipGuardOnAttach) => {
                let ratio = self.shell.ratio_of_vma(vma).unwrap_or(1);
                let pages = guard.runs.iter().flat_map(|run| pages_of(*run, ratio));
                pages.map(|page| Op::Guard { vma, page }).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let failed = self.rng.chance(self.shell.tricks.copy_fails);
        let fails_at = failed.then(|| self.rng.below(ops.len() + 1));
        let job = &mut self.shell.jobs[job];
        job.ops = ops.into();
        if let Some(at) = fails_at {
            job.ops.insert(at, Op::NoCopy);
        }
        let rest = guard.rest.filter(|_| plant != Some(Plant::SkipLaterGuards));
        job.ops.push_back(match rest {
            Some(rest) => Op::GuardMore { mapping, rest },
            None => Op::Report,
        });
    }

    /// The shell has protected what it was told so far.
    pub(crate) fn on_guard_more(&mut self, job: usize, mapping: MappingId, rest: PageRange) {
        let guard = self.manager.guard_more(mapping, rest);
        self.plan_guards(job, mapping, guard);
    }

    /// The shell has protected what it must, and answers; or it could not, and takes back.
    pub(crate) fn on_attached(&mut self, mapping: MappingId, failed: bool) {
        let Some((process, at)) = self.find_map(mapping) else { return };
        if failed {
            self.processes[process].maps[at].stage = Stage::Closing;
            self.detach(process, mapping);
        } else {
            self.processes[process].maps[at].stage = Stage::Usable;
        }
    }

    fn find_map(&self, mapping: MappingId) -> Option<(usize, usize)> {
        let at = |process: usize| {
            let maps = &self.processes[process].maps;
            maps.iter().position(|map| map.mapping == mapping).map(|at| (process, at))
        };
        (0..PROCESSES).find_map(at)
    }

    /// A client gives a mapping back. Nobody stores through it any more; loads may be under way.
    fn ask_to_unmap(&mut self, process: usize) {
        let maps = &self.processes[process].maps;
        if maps.is_empty() {
            return;
        }
        let at = self.rng.below(maps.len());
        let map = maps[at];
        let stores = |thread: &super::kernel::Thread| {
            let aim = thread.aim().filter(|aim| aim.vma == map.vma);
            aim.is_some_and(|aim| matches!(aim.doing, super::kernel::Doing::Store(_)))
        };
        let busy = self.shell.kernel.threads.iter().any(stores);
        if map.stage == Stage::Usable && !busy {
            self.processes[process].maps[at].stage = Stage::Closing;
            self.detach(process, map.mapping);
        }
    }

    fn detach(&mut self, process: usize, mapping: MappingId) {
        let client = self.client(process);
        let now = self.tick();
        self.manager.detach(now, client, mapping).expect("it was attached, and is not detached");
        let again = self.manager.detach(now, client, mapping);
        assert_eq!(again, Err(Refusal::Gone), "a mapping is detached once");
        self.take_effects(None);
    }

    /// The shell answers the client, which unmaps.
    pub(crate) fn on_detached(&mut self, mapping: MappingId) {
        let Some((process, at)) = self.find_map(mapping) else { return };
        let map = self.processes[process].maps.swap_remove(at);
        assert_eq!(map.stage, Stage::Closing, "nobody asked for it");
        for job in &self.shell.jobs {
            let names = |op: &Op| {
                matches!(op, Op::Guard { vma, .. } | Op::Install { vma, .. }
                    | Op::Unprotect { vma, .. } if *vma == map.vma)
            };
            assert!(!job.ops.iter().any(names), "a detached mapping is in flight");
        }
        self.shell.kernel.unmap(map.vma);
    }

    fn ask_to_release(&mut self, process: usize) {
        let handles = &mut self.processes[process].handles;
        if handles.is_empty() {
            return;
        }
        let (object, _) = handles.swap_remove(self.rng.below(handles.len()));
        let client = self.client(process);
        let now = self.tick();
        self.manager.release(now, client, object).expect("a handle can be given back");
        self.take_effects(None);
    }

    fn touch(&mut self, process: usize) {
        let Some((object, _)) = self.some_handle(process) else { return };
        let range = self.some_range(object);
        let client = self.client(process);
        // The steps of one client: others have theirs in between.
        match self.manager.touch_some(client, object, range) {
            Ok(_rest) => {}
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Suspended, "a holder may touch");
                assert_ne!(self.manager.client_state(client), Some(ClientState::Running));
            }
        }
        self.take_effects(None);
    }
}

/// A refusal tells numbers that explain it.
fn assert_fair(refusal: Refusal, request: &AllocRequest) {
    match refusal {
        Refusal::OutOfMemory { asked, left } => assert!(asked > left),
        Refusal::NeverFits { asked, possible } => assert!(asked > possible),
        Refusal::PageTooLarge { asked, possible } => {
            assert!(asked > possible);
            assert_eq!(Some(asked.get()), request.page_size.map(PageSize::bytes));
        }
        Refusal::Draining => {}
        Refusal::SizeZero
        | Refusal::SizeTooLarge { .. }
        | Refusal::Gone
        | Refusal::Suspended
        | Refusal::ReadOnly
        | Refusal::Range
        | Refusal::ClientLimit(_)
        | Refusal::ObjectLimit(_)
        | Refusal::MappingLimit(_) => panic!("{refusal:?} is no answer to {request:?}"),
    }
}
