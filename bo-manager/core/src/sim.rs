//! A simulated world: clients, a kernel that misbehaves on schedule, and a shell that does many
//! things at a time, all from one seed.
//!
//! The kernel is modelled on what the real one was seen to do: a page that is in the file is
//! mapped without an event, a marker survives hole punching, an entry that is there already wakes
//! nobody, a fault that was read is never delivered again. Effects are cut into single steps, and
//! clients load and store between any two of them. After each step the checkers look; an oracle
//! knows the last value stored in every word.
//!
//! ```
//! # #[cfg(feature = "sim")]
//! bo_core::sim::Sim::check(7, 500, None).expect("no rule is broken");
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bo_units::{ByteCount, ClientId, ObjectId, PageIndex, Tick};

use crate::Manager;

mod check;
mod chronicle;
mod clients;
mod configure;
mod jobs;
mod kernel;
mod operator;
mod oracle;
mod plant;
mod prefetches;
mod requests;
mod rng;
mod shell;
#[cfg(test)]
mod tests;

use clients::{Event, Process};
use kernel::{Kernel, Thread, ThreadState};
use operator::Operator;
use oracle::Oracle;
pub use plant::Plant;
use requests::Ticket;
use rng::Rng;
use shell::{Said, Shell};

/// How often things go wrong, in a thousand chances.
#[derive(Debug, Clone, Copy, Default)]
struct Tricks {
    /// An installation ends with NotMapped, Gone or Absent, an un-protect with a wake.
    install_odd: u32,
    copy_fails: u32,
    /// An effect takes ten times as long as others.
    slow: u32,
    punch_refused: u32,
    fill_fails: u32,
    /// A signal or an early wake: a sleeping thread tries again.
    signal: u32,
    /// The kernel reports a fault twice.
    duplicate: u32,
    death: u32,
    /// A client unmaps without saying so.
    rude_unmap: u32,
    /// A client punches a page of its own object.
    client_punch: u32,
    /// An access through a writable mapping is a store.
    stores: u32,
    /// For some time the host refuses every protection and every punch.
    strike: u32,
}

/// What one run did, for those who wonder whether it did anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Loads that went through, each of them checked.
    pub loads: u64,
    /// Stores that went through.
    pub stores: u64,
    /// Threads that met SIGBUS.
    pub sigbus: u64,
    /// Pages filled.
    pub fills: u64,
    /// Pages evicted.
    pub evictions: u64,
    /// Evictions called off by a write.
    pub rescues: u64,
    /// Pages that came because of a stream, or of what was there already.
    pub guesses: u64,
    /// Watched pages that were used, and that were not.
    pub judged: [u64; 2],
    /// Prefetches on request that ended for want of older pages.
    pub cut: u64,
    /// Pages copied by the cleaner.
    pub cleaned: u64,
    /// Of them, those that left clean.
    pub cleaned_used: u64,
    /// Cleanings called off by a write.
    pub called_off: u64,
    /// Pages filled with a word.
    pub same: u64,
    /// Times that eviction paused.
    pub pauses: u64,
    /// Times a client was suspended.
    pub suspensions: u64,
    /// Pages that left because of it, or because they were named.
    pub asked: u64,
    /// Times the pool was given another size.
    pub resizes: u64,
}

/// One world.
#[derive(Debug)]
pub struct Sim {
    manager: Manager,
    shell: Shell,
    processes: Vec<Process>,
    oracle: Oracle,
    rng: Rng,
    /// Faults that were read and not yet handed in.
    inbox: Vec<Event>,
    last_event: Option<Event>,
    /// Clients whose end the shell has not noticed yet.
    obituaries: VecDeque<usize>,
    /// Clients that still have something to give back.
    burials: VecDeque<ClientId>,
    tickets: BTreeMap<u32, Ticket>,
    tickets_ever: u32,
    stored_ever: u32,
    /// Who has loaded from a page that is being copied, and will store into it: process, mapping,
    /// page.
    return_to: Option<(usize, u32, usize)>,
    now: u64,
    /// Where each thread is on its walk: the mapping, the page, and how far it steps.
    walks: [(u32, usize, isize); PROCESSES * THREADS],
    /// Prefetches on request that are not done.
    prefetches: Vec<prefetches::Running>,
    /// Which fill brought a page last, and how many fills there were.
    filled: BTreeMap<(ObjectId, PageIndex), u64>,
    fills_ever: u64,
    /// While a prefetch takes a step: pages that came after this fill must stay.
    victims_are_older_than: Option<u64>,
    operator: Operator,
    chronicle: chronicle::Chronicle,
    /// Nothing new begins.
    closing: bool,
}

/// Requests before anything else happens, so that there is something to fight for.
const SETUP_STEPS: u32 = 120;
const PROCESSES: usize = 4;
const THREADS: usize = 3;

impl Sim {
    /// A world that the seed determines.
    #[must_use]
    pub fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let mut config = configure::configure(&mut rng);
        config.record = seed % 2 == 1;
        let mut tricks = schedule(&mut rng);
        if plant == Some(Plant::PunchZerosOnFailure) {
            // A rare meeting otherwise: a long fill that fails, and a store into its first pages.
            config.fault_around = ByteCount::new(16 * 4096);
            tricks = Tricks { fill_fails: 400, slow: 700, stores: 700, ..Tricks::default() };
        }
        if plant == Some(Plant::DiscardLate) {
            // Another: pages of several sizes in a store that is full.
            config.ram = ByteCount::new(24 * 4096);
            config.marks.reclaim_stop_free = ByteCount::new(8 * 4096);
            config.marks.reclaim_start_free = ByteCount::new(6 * 4096);
            tricks = Tricks { stores: 900, ..Tricks::default() };
        }
        let mut kernel = Kernel::default();
        kernel.minor = rng.chance(600);
        for process in (0..PROCESSES).flat_map(|process| [process; THREADS]) {
            kernel.threads.push(Thread { process, state: ThreadState::Idle });
        }
        let shell = Shell {
            kernel,
            rng: Rng::new(rng.next()),
            tricks,
            plant,
            mappings: BTreeMap::new(),
            ratios: BTreeMap::new(),
            jobs: Vec::new(),
            sigbus: 0,
            strike_until: 0,
            now: 0,
        };
        let widest = config.vram.get();
        let operator = Operator::new(seed, config.vram, plant);
        let mut manager = Manager::new(config);
        manager.plant = plant;
        if rng.chance(500) {
            // As after a life in which everything that was cleaned left clean.
            manager.cleaner.grown = widest;
        }
        Self {
            manager,
            shell,
            processes: (0..PROCESSES).map(|_| Process::default()).collect(),
            oracle: Oracle::default(),
            rng,
            inbox: Vec::new(),
            last_event: None,
            obituaries: VecDeque::new(),
            burials: VecDeque::new(),
            tickets: BTreeMap::new(),
            tickets_ever: 0,
            stored_ever: 0,
            return_to: None,
            now: 0,
            walks: [(0, 0, 1); PROCESSES * THREADS],
            prefetches: Vec::new(),
            filled: BTreeMap::new(),
            fills_ever: 0,
            victims_are_older_than: None,
            operator,
            chronicle: chronicle::Chronicle::default(),
            closing: false,
        }
    }

    /// Runs a whole life of `steps` steps: work, rest, a last look at every word, the end.
    ///
    /// # Errors
    ///
    /// The rule that was broken, with the seed.
    pub fn check(seed: u64, steps: u32, plant: Option<Plant>) -> Result<Report, String> {
        catch_unwind(AssertUnwindSafe(|| Self::new(seed, plant).live(steps))).map_err(|payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            format!("BO_SEED={seed}: {}", text.unwrap_or("no message"))
        })
    }

    fn live(mut self, steps: u32) -> Report {
        for _ in 0..SETUP_STEPS {
            self.step_request();
        }
        let drains = self.rng.chance(100).then_some(steps / 2);
        for step in 0..steps {
            if drains == Some(step) {
                self.manager.drain();
            }
            self.step_operator();
            self.step();
            self.assert_books_are_real();
        }
        self.rest();
        self.look_at_everything();
        self.end();
        let stats = self.manager.stats();
        Report {
            loads: self.oracle.loads,
            stores: self.oracle.stores,
            sigbus: self.shell.sigbus,
            fills: stats.fills_stored_pages + stats.fills_zero_pages + stats.fills_same_pages,
            evictions: stats.evictions_copied
                + stats.evictions_zero
                + stats.evictions_same
                + stats.evictions_clean,
            rescues: stats.evictions_rescued,
            guesses: stats.fills_stream_pages + stats.fills_density_pages,
            judged: [stats.sampled_used.total(), stats.sampled_wasted.total()],
            cut: stats.prefetches_cut,
            cleaned: stats.cleaned,
            cleaned_used: stats.cleaned_used,
            called_off: stats.cleanings_called_off,
            same: stats.fills_same_pages,
            pauses: stats.eviction_pauses,
            suspensions: self.operator.suspensions,
            asked: stats.evictions_asked,
            resizes: self.operator.resizes,
        }
    }

    /// One thing happens.
    fn step(&mut self) {
        self.now += 1;
        match self.rng.below(100) {
            0..30 => self.step_thread(),
            30..40 => self.step_reader(),
            40..46 => self.step_hearing(),
            46..88 if self.shell.jobs.is_empty() => self.step_thread(),
            46..88 => self.step_job(),
            88..90 => self.step_prefetch(),
            90..94 => self.step_request(),
            94..96 => self.step_reclaim(),
            96..97 => self.step_obituary(),
            _ => self.step_trick(),
        }
    }

    /// A step takes twenty microseconds, so that pauses of milliseconds end within a life.
    fn tick(&self) -> Tick {
        Tick::from_nanos(20_000 * self.now)
    }

    /// Carries out one step of one effect in flight.
    fn step_job(&mut self) {
        if self.shell.jobs.is_empty() {
            return;
        }
        let number = self.rng.below(self.shell.jobs.len());
        if self.shell.jobs[number].slow && self.rng.chance(900) {
            return;
        }
        let ticket = self.shell.jobs[number].ticket;
        let before = self.shell.jobs.len();
        let mut said = self.shell.step(number);
        // A thread that runs usually goes on running.
        while self.shell.jobs.len() == before
            && matches!(said, Said::Nothing)
            && self.rng.chance(600)
        {
            said = self.shell.step(number);
        }
        if self.shell.jobs.len() < before
            && let Some(ticket) = ticket
        {
            self.punch_ticket(ticket);
        }
        match said {
            Said::Nothing | Said::Quiet => {}
            Said::Outcome(id, outcome) => {
                let now = self.tick();
                self.manager.handle_outcome(now, id, outcome);
                self.take_effects(None);
            }
            Said::Detached(mapping) => self.on_detached(mapping),
            Said::GuardMore { job, mapping, rest } => self.on_guard_more(job, mapping, rest),
            Said::Attached { mapping, failed } => self.on_attached(mapping, failed),
        }
    }

    /// Background reclaim and the cleaner, as a thread of the shell does them.
    fn step_reclaim(&mut self) {
        let now = self.tick();
        let overdue = self.manager.next_wakeup().is_some_and(|at| at <= now);
        if overdue || self.manager.wants_reclaim() || self.manager.wants_clean() {
            let _more = self.manager.handle_reclaim(now) || self.manager.handle_clean(now);
            let started = self.take_effects(None);
            if started > 0 && !self.closing && self.rng.chance(800) {
                self.meddle();
            }
        }
    }

    /// After every call of the manager, under the same lock.
    fn take_effects(&mut self, ticket: Option<u32>) -> u32 {
        self.shell.now = self.now;
        let mut taken = 0;
        while let Some(effect) = self.manager.poll_effect() {
            self.check_is_for_the_awake(&effect.action);
            self.note_effect(&effect.action);
            self.shell.start(effect, ticket);
            taken += 1;
        }
        self.manager.assert_valid();
        self.follow_recording();
        taken
    }
}

/// A third of all worlds are calm; the others each have their own weather.
fn schedule(rng: &mut Rng) -> Tricks {
    let stores = rng.pick(&[100, 300, 500]);
    if rng.chance(333) {
        return Tricks { slow: 200, signal: 50, duplicate: 50, stores, ..Tricks::default() };
    }
    let mut often = |most: &[u32]| rng.pick(most);
    Tricks {
        install_odd: often(&[0, 30, 150]),
        slow: often(&[0, 100, 400]),
        copy_fails: often(&[0, 50, 200]),
        punch_refused: often(&[0, 50, 200]),
        fill_fails: often(&[0, 0, 50, 200]),
        signal: often(&[0, 100, 300]),
        duplicate: often(&[0, 100, 300]),
        death: often(&[0, 20, 60]),
        rude_unmap: often(&[0, 20, 60]),
        client_punch: often(&[0, 0, 200, 600]),
        stores,
        strike: often(&[0, 0, 20, 60]),
    }
}
