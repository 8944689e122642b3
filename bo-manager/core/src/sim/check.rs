//! The checkers: what holds after each step, at rest, and at the end.

use super::clients::Stage;
use super::kernel::{Aim, Doing, ThreadState};
use super::{PROCESSES, Sim, Tricks};

/// What a world at rest may take to come to rest.
const REST_STEPS_MAX: u32 = 200_000;

impl Sim {
    /// Rule 2: what is really there is never more than the books say, nor than was allowed.
    pub(crate) fn assert_books_are_real(&mut self) {
        let gauges = self.manager.gauges();
        let kernel = &self.shell.kernel;
        let vram = kernel.vram_bytes();
        assert!(vram <= gauges.vram_capacity_bytes, "rule 2: {vram} bytes in the pool");
        assert!(vram <= gauges.vram_used_bytes, "{vram} bytes in the pool, fewer in the books");
        let (store, placed) = (kernel.store_bytes(), kernel.ram_bytes());
        assert!(store + placed <= gauges.ram_capacity_bytes, "rule 2: {store} + {placed} of RAM");
        assert!(
            store <= gauges.store_present_bytes,
            "{store} bytes of RAM in the store, not the books"
        );
        self.assert_first_uses_are_seen();
        assert!(placed <= gauges.ram_placed_bytes, "{placed} bytes in RAM, fewer in the books");
        self.check_operator();
    }

    /// Nobody can use a watched page without a fault: or its use would count as waste.
    fn assert_first_uses_are_seen(&self) {
        if !self.shell.kernel.minor {
            return;
        }
        for (object, page) in self.manager.watched_pages() {
            let ratio = self.shell.ratio(object);
            let mapped = |part| self.shell.kernel.is_mapped(object, page.as_usize() * ratio + part);
            assert!(!(0..ratio).any(mapped), "page {page} of {object} is used unseen");
        }
    }

    /// Nothing new begins and nothing goes wrong any more: everything must end. First as it is,
    /// then with everybody going on.
    pub(crate) fn rest(&mut self) {
        if self.manager.gauges().clients_suspended > 0 {
            self.come_to_rest(|sim| sim.is_at_rest() && sim.are_asleep());
            self.resume_all();
        }
        self.come_to_rest(Self::is_at_rest);
        self.assert_nobody_waits();
    }

    fn come_to_rest(&mut self, done: impl Fn(&Self) -> bool) {
        self.closing = true;
        self.prefetches.clear();
        self.shell.tricks = Tricks::default();
        self.shell.strike_until = 0;
        for _ in 0..REST_STEPS_MAX {
            if done(self) {
                return;
            }
            self.now += 1;
            match self.rng.below(8) {
                0..2 => self.step_thread(),
                2 => self.step_reader(),
                3 => self.step_hearing(),
                4 => self.step_obituary(),
                5 => self.step_reclaim(),
                _ => self.step_job(),
            }
            self.assert_books_are_real();
        }
        panic!("the world does not come to rest: {:?}", self.shell.kernel.threads);
    }

    fn is_at_rest(&self) -> bool {
        let still = |state: ThreadState| match state {
            ThreadState::Idle => true,
            ThreadState::Trying(_) | ThreadState::Faulting(..) => false,
            ThreadState::Blocked { read, .. } => read,
        };
        // Who waits for room while eviction pauses is served when the pause is over.
        let pausing = self.manager.gauges().starved > 0 && self.manager.next_wakeup().is_some();
        self.shell.jobs.is_empty()
            && !pausing
            && self.inbox.is_empty()
            && self.obituaries.is_empty()
            && self.burials.is_empty()
            && self.shell.kernel.threads.iter().all(|thread| still(thread.state))
    }

    fn assert_nobody_waits(&self) {
        for thread in &self.shell.kernel.threads {
            assert_eq!(thread.state, ThreadState::Idle, "a thread waits for ever");
        }
        assert!(self.tickets.is_empty(), "a request has no answer");
        assert!(self.manager.is_idle(), "an effect was not reported");
        self.manager.assert_nobody_is_parked();
    }

    /// Every word that can be seen is loaded once more.
    pub(crate) fn look_at_everything(&mut self) {
        for process in 0..PROCESSES {
            let maps = self.processes[process].maps.clone();
            for map in maps.iter().filter(|map| map.stage == Stage::Usable) {
                let Some(vma) = self.shell.kernel.vmas.get(&map.vma) else { continue };
                for page in vma.pages() {
                    self.look_at(process, map.vma, page);
                }
            }
        }
    }

    fn look_at(&mut self, process: usize, vma: u32, page: usize) {
        let mut threads = self.shell.kernel.threads.iter_mut();
        for word in 0..2 {
            let thread = threads.by_ref().find(|thread| thread.process == process);
            let aim = Aim { vma, page, word, doing: Doing::Load };
            thread.expect("it has several").state = ThreadState::Trying(aim);
        }
        self.rest();
    }

    /// Everybody goes, and nothing is left.
    pub(crate) fn end(&mut self) {
        for process in 0..PROCESSES {
            self.die(process);
        }
        self.rest();
        let gauges = self.manager.gauges();
        assert_eq!(gauges.objects, 0, "objects are left");
        assert_eq!(gauges.clients, 0, "clients are left");
        assert_eq!(gauges.mappings, 0, "mappings are left");
        assert_eq!(gauges.committed_bytes, 0, "promises are left");
        assert_eq!(gauges.ram_reserved_bytes, 0, "RAM is still reserved");
        assert_eq!(gauges.vram_used_bytes, 0, "frames are left");
        assert_eq!(gauges.ram_used_bytes, 0, "pages are left in RAM");
        assert_eq!(self.shell.kernel.vram_bytes(), 0, "frames are left in files");
        assert_eq!(self.shell.kernel.ram_bytes(), 0, "RAM is left in files");
    }
}
