//! Clients: processes with threads that load, store, fault and die.

use bo_units::{ClientId, MappingId, ObjectId, PageIndex};

use crate::{Access, Fault, Heard};

use super::jobs::Op;
use super::kernel::{Accessed, Aim, Doing, ThreadState};
use super::{PROCESSES, Plant, Sim};

/// One process, from its first life to its last.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// `None`: not connected.
    pub(crate) client: Option<ClientId>,
    /// Dead, and the shell has yet to notice.
    pub(crate) dead: bool,
    pub(crate) handles: Vec<(ObjectId, Access)>,
    pub(crate) maps: Vec<Mapped>,
}

/// How far a mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its client waits for the answer.
    Attaching,
    Usable,
    /// Its client has asked to detach it.
    Closing,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapped {
    pub(crate) vma: u32,
    pub(crate) mapping: MappingId,
    pub(crate) object: ObjectId,
    pub(crate) access: Access,
    pub(crate) stage: Stage,
}

/// A fault that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    vma: u32,
    page: usize,
    fault: Fault,
}

impl Sim {
    /// One thread runs for a while.
    pub(crate) fn step_thread(&mut self) {
        let number = self.rng.below(self.shell.kernel.threads.len());
        self.run_thread(number);
        while self.rng.chance(700) {
            self.run_thread(number);
        }
    }

    /// One thread goes on, or begins something.
    fn run_thread(&mut self, number: usize) {
        match self.shell.kernel.threads[number].state {
            ThreadState::Idle if !self.closing => self.begin_access(number),
            ThreadState::Idle | ThreadState::Blocked { .. } => {}
            ThreadState::Trying(aim) => self.try_access(number, aim),
            ThreadState::Faulting(aim, kind) => {
                let state = match self.shell.kernel.sleeps(&aim, kind) {
                    true => ThreadState::Blocked { aim, kind, read: false },
                    false => ThreadState::Trying(aim),
                };
                self.shell.kernel.threads[number].state = state;
            }
        }
    }

    fn begin_access(&mut self, number: usize) {
        let process = &self.processes[self.shell.kernel.threads[number].process];
        let usable = |map: &&Mapped| map.stage == Stage::Usable;
        let usable: Vec<Mapped> = process.maps.iter().filter(usable).copied().collect();
        if usable.is_empty() {
            return;
        }
        let walk = usable.iter().find(|map| map.vma == self.walks[number].0).copied();
        let map = walk.filter(|_| self.rng.chance(600)).unwrap_or_else(|| self.rng.pick(&usable));
        let Some(vma) = self.shell.kernel.vmas.get(&map.vma) else { return };
        let pages = vma.pages();
        let page = self.next_page(number, map.vma, pages);
        let stores = map.access == Access::ReadWrite && self.rng.chance(self.shell.tricks.stores);
        let doing = match stores {
            true => {
                self.stored_ever += 1;
                // Zero is a value, too, and on some pages the same value is stored nearly always.
                let dull = if page.is_multiple_of(4) { 850 } else { 20 };
                Doing::Store(match self.rng.below(1000) {
                    0..100 => 0,
                    _ if self.rng.chance(dull) => u32::MAX - self.rng.pick(&[0, 0, 0, 0, 1]),
                    _ => self.stored_ever,
                })
            }
            false => Doing::Load,
        };
        let aim = Aim { vma: map.vma, page, word: self.rng.below(2), doing };
        self.shell.kernel.threads[number].state = ThreadState::Trying(aim);
    }

    /// Most go on where the thread was in this mapping; others jump.
    fn next_page(&mut self, number: usize, vma: u32, pages: std::ops::Range<usize>) -> usize {
        let (last_vma, last, step) = self.walks[number];
        let next = last.checked_add_signed(step).filter(|page| pages.contains(page));
        if let Some(page) = next.filter(|_| last_vma == vma && self.rng.chance(900)) {
            self.walks[number] = (vma, page, step);
            return page;
        }
        // Some go where the others go: the first pages.
        let width = if self.rng.chance(100) { pages.len().min(4) } else { pages.len() };
        let page = pages.start + self.rng.below(width);
        self.walks[number] = (vma, page, self.rng.pick(&[1, 1, 1, -1, 2, 3, -2]));
        page
    }

    /// Clients go for a page of the run whose copy was begun last, and the copy takes its time.
    pub(crate) fn meddle(&mut self) {
        let Some(job) = self.shell.jobs.last_mut() else { return };
        let mut copied = Vec::new();
        for op in &job.ops {
            if let Op::Copy { object, page, .. } = op {
                copied.push((*object, *page));
            }
        }
        if copied.is_empty() {
            return;
        }
        job.slow = true;
        let (object, page) = self.rng.pick(&copied);
        for process in 0..PROCESSES {
            let shows = |map: &&Mapped| {
                let vma = self.shell.kernel.vmas.get(&map.vma);
                let inside = vma.is_some_and(|vma| vma.pages().contains(&page));
                map.object == object && map.stage == Stage::Usable && inside
            };
            let Some(map) = self.processes[process].maps.iter().find(shows).copied() else {
                continue;
            };
            let may_store = map.access == Access::ReadWrite;
            let stores = may_store && self.rng.chance(300);
            self.go_for(process, map.vma, page, stores);
            if may_store && !stores {
                self.return_to = Some((process, map.vma, page));
            }
        }
    }

    /// A client stores into a page that it has loaded from a moment ago.
    fn come_back(&mut self) {
        if let Some((process, vma, page)) = self.return_to.take()
            && self.shell.kernel.vmas.contains_key(&vma)
            && self.processes[process]
                .maps
                .iter()
                .any(|map| map.vma == vma && map.stage == Stage::Usable)
        {
            self.go_for(process, vma, page, true);
        }
    }

    /// A thread that has nothing to do goes for this page.
    fn go_for(&mut self, process: usize, vma: u32, page: usize, stores: bool) {
        let mut threads = self.shell.kernel.threads.iter_mut();
        let idle = |thread: &&mut super::kernel::Thread| {
            thread.process == process && thread.state == ThreadState::Idle
        };
        let Some(thread) = threads.find(idle) else { return };
        self.stored_ever += u32::from(stores);
        let doing = if stores { Doing::Store(self.stored_ever) } else { Doing::Load };
        thread.state = ThreadState::Trying(Aim { vma, page, word: self.rng.below(2), doing });
    }

    pub(crate) fn try_access(&mut self, number: usize, aim: Aim) {
        let object = self.shell.kernel.vmas.get(&aim.vma).map(|vma| vma.object);
        let state = match (self.shell.kernel.access(&aim), object) {
            (Accessed::Loaded(value), Some(object)) => {
                self.oracle.loaded(object, aim.page, aim.word, value);
                ThreadState::Idle
            }
            (Accessed::Stored, Some(object)) => {
                let Doing::Store(value) = aim.doing else { unreachable!("a load stored") };
                self.oracle.stored(object, aim.page, aim.word, value);
                ThreadState::Idle
            }
            (Accessed::Faults(kind), _) => ThreadState::Faulting(aim, kind),
            (Accessed::Sigbus, _) => {
                self.shell.sigbus += 1;
                ThreadState::Idle
            }
            (Accessed::Segv, _) => ThreadState::Idle,
            (Accessed::Loaded(_) | Accessed::Stored, None) => unreachable!("no mapping, no access"),
        };
        self.shell.kernel.threads[number].state = state;
    }

    /// A reader takes one event from the queue of some process.
    pub(crate) fn step_reader(&mut self) {
        self.read_event();
        if self.rng.chance(600) {
            self.step_hearing();
        }
    }

    fn read_event(&mut self) {
        let kernel = &mut self.shell.kernel;
        let unread = |state: ThreadState| matches!(state, ThreadState::Blocked { read: false, .. });
        let waiting: Vec<usize> =
            (0..kernel.threads.len()).filter(|at| unread(kernel.threads[*at].state)).collect();
        if waiting.is_empty() {
            return;
        }
        let number = self.rng.pick(&waiting);
        let ThreadState::Blocked { aim, kind, read } = &mut kernel.threads[number].state else {
            unreachable!("it was looked up above")
        };
        *read = true;
        let (aim, kind) = (*aim, *kind);
        let mapping = self.shell.mappings.iter().find(|(_, vma)| **vma == aim.vma);
        let Some((mapping, _)) = mapping else {
            // Detached, and not yet unmapped.
            self.shell.kernel.wake(aim.vma, aim.page..aim.page + 1);
            return;
        };
        let object = self.shell.kernel.vmas[&aim.vma].object;
        let index = u32::try_from(aim.page / self.shell.ratio(object)).expect("objects are small");
        let write = matches!(aim.doing, Doing::Store(_));
        let fault = Fault { mapping: *mapping, page: PageIndex::new(index), write, kind };
        let event = Event { vma: aim.vma, page: aim.page, fault };
        let present = self.shell.kernel.read(object, aim.page).is_some();
        let drop = match self.shell.plant {
            Some(Plant::DropPresentFaults) => present && kind == crate::FaultKind::Missing,
            Some(Plant::DropRepeatedFaults) => self.last_event == Some(event),
            _ => false,
        };
        self.last_event = Some(event);
        if drop {
            return;
        }
        self.inbox.push(event);
        if self.rng.chance(self.shell.tricks.duplicate) {
            self.inbox.push(event);
        }
    }

    /// A reader hands a batch in, under one lock and in the order of its pages. It may have been
    /// read long ago.
    pub(crate) fn step_hearing(&mut self) {
        let most = self.rng.below(4) + 1;
        let mut batch = Vec::new();
        while batch.len() < most && !self.inbox.is_empty() {
            let number = self.rng.below(self.inbox.len());
            batch.push(self.inbox.swap_remove(number));
        }
        batch.sort_unstable_by_key(|event| (event.fault.mapping, event.fault.page));
        let now = self.tick();
        for event in batch {
            match self.manager.handle_fault(now, event.fault) {
                Heard::Noted => {}
                Heard::Unknown => self.shell.kernel.wake(event.vma, event.page..event.page + 1),
            }
        }
        self.take_effects(None);
    }

    /// Something that a host or a client may do at any time.
    pub(crate) fn step_trick(&mut self) {
        let tricks = self.shell.tricks;
        let process = self.rng.below(PROCESSES);
        if self.rng.chance(tricks.signal) {
            let number = self.rng.below(self.shell.kernel.threads.len());
            if let ThreadState::Blocked { aim, .. } = self.shell.kernel.threads[number].state {
                self.shell.kernel.threads[number].state = ThreadState::Trying(aim);
            }
        }
        if self.rng.chance(tricks.death) {
            self.die(process);
        }
        if self.rng.chance(tricks.rude_unmap) {
            let maps = &self.processes[process].maps;
            let usable: Vec<u32> =
                (maps.iter().filter(|map| map.stage == Stage::Usable)).map(|map| map.vma).collect();
            if !usable.is_empty() {
                let vma = self.rng.pick(&usable);
                self.shell.kernel.unmap(vma);
            }
        }
        if self.rng.chance(tricks.client_punch) {
            self.punch_own_page(process);
        }
        if self.rng.chance(500) {
            self.come_back();
        }
        if self.rng.chance(tricks.strike) {
            self.shell.strike_until = self.now + 400;
        }
    }

    fn punch_own_page(&mut self, process: usize) {
        let maps = &self.processes[process].maps;
        let writable: Vec<Mapped> = (maps.iter())
            .filter(|map| map.stage == Stage::Usable && map.access == Access::ReadWrite)
            .copied()
            .collect();
        if writable.is_empty() {
            return;
        }
        let map = self.rng.pick(&writable);
        let Some(vma) = self.shell.kernel.vmas.get(&map.vma) else { return };
        let pages = vma.pages();
        let page = pages.start + self.rng.below(pages.len());
        self.shell.kernel.punch(map.object, page);
        self.oracle.punched(map.object, page);
    }

    /// SIGKILL: everything stops at once, and nobody is told.
    pub(crate) fn die(&mut self, process: usize) {
        let entry = &mut self.processes[process];
        if entry.client.is_none() || entry.dead {
            return;
        }
        entry.dead = true;
        let vmas = self.shell.kernel.vmas.iter().filter(|(_, vma)| vma.process == process);
        let vmas: Vec<u32> = vmas.map(|(number, _)| *number).collect();
        for vma in vmas {
            self.shell.kernel.unmap(vma);
        }
        self.obituaries.push_back(process);
    }

    /// The shell notices that a client is gone.
    pub(crate) fn step_obituary(&mut self) {
        if let Some(process) = self.obituaries.pop_front() {
            let entry = std::mem::take(&mut self.processes[process]);
            self.burials.push_back(entry.client.expect("only clients die"));
        }
        let Some(client) = self.burials.pop_front() else { return };
        let now = self.tick();
        let farewell = self.manager.see_off(now, client);
        for mapping in farewell.mappings {
            self.shell.mappings.remove(&mapping);
        }
        if farewell.more {
            self.burials.push_back(client);
        }
        self.take_effects(None);
    }
}
