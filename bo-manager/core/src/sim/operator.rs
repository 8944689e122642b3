//! An operator: suspends clients and lets them go on, evicts what it names, and gives the pool
//! other sizes, all at any time.

use bo_units::{ByteCount, PageIndex};

use crate::{Action, ClientState, ControlRefusal, Watermarks};

use super::kernel::PAGE_BYTES;
use super::rng::Rng;
use super::{PROCESSES, Plant, Sim};

/// What it does, and what it has seen. It has luck of its own, so that worlds without one are as
/// they would be.
#[derive(Debug)]
pub(crate) struct Operator {
    rng: Rng,
    /// How often it does something, in a thousand steps of the world.
    often: u32,
    /// The most that the pool's capacity may be from now on.
    ceiling: u64,
    /// Pages of the pool at the start.
    usual_pages: u64,
    pub(crate) suspensions: u64,
    pub(crate) resizes: u64,
}

impl Operator {
    /// Half of all worlds have none; those with a planted bug, if it takes one to meet it.
    pub(crate) fn new(seed: u64, vram: ByteCount, plant: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed ^ 0x0b5e_55ed);
        let often = match plant {
            None => rng.pick(&[0, 0, 3, 10, 30]),
            Some(plant) if plant.is_of_operators() => 40,
            Some(_) => 0,
        };
        let (ceiling, usual_pages) = (vram.get(), vram.get() / PAGE_BYTES);
        Self { rng, often, ceiling, usual_pages, suspensions: 0, resizes: 0 }
    }
}

/// Marks that may or may not make sense for a pool of so many pages.
pub(crate) fn marks(rng: &mut Rng, vram: u64) -> Watermarks {
    let pages = |count: u64| ByteCount::new(count * 4096);
    let reclaim_start_free = pages(rng.pick(&[0, 2, 2, 6, vram / 3]));
    let more = pages(rng.pick(&[0, 1, 2, vram / 3]));
    Watermarks {
        reclaim_start_free,
        reclaim_stop_free: reclaim_start_free.saturating_add(more),
        reserve: pages(rng.pick(&[0, 1, vram / 8])),
        clean_start: rng.pick(&[None, Some(0), Some(vram / 2), Some(vram - 2)]).map(pages),
    }
}

impl Sim {
    /// Perhaps it does something.
    pub(crate) fn step_operator(&mut self) {
        if self.closing || !self.operator.rng.chance(self.operator.often) {
            return;
        }
        match self.operator.rng.below(10) {
            0..3 => self.suspend_somebody(),
            3..6 => self.resume_somebody(),
            6..9 => self.resize(),
            _ => self.evict_something(),
        }
    }

    fn suspend_somebody(&mut self) {
        let process = self.operator.rng.below(PROCESSES);
        let Some(client) = self.processes[process].client else { return };
        let before = self.manager.client_state(client);
        let now = self.tick();
        match self.manager.suspend(now, client) {
            Ok(()) => self.operator.suspensions += 1,
            Err(ControlRefusal::Suspended) => {
                assert_ne!(before, Some(ClientState::Running), "who runs can be suspended");
            }
            // It is being buried.
            Err(ControlRefusal::NoSuchClient) => assert_eq!(before, None),
            Err(ControlRefusal::Draining) => {}
            Err(refusal) => panic!("{refusal:?} is no answer to a suspension"),
        }
        self.take_effects(None);
    }

    fn resume_somebody(&mut self) {
        let process = self.operator.rng.below(PROCESSES);
        let Some(client) = self.processes[process].client else { return };
        let before = self.manager.client_state(client);
        let now = self.tick();
        match self.manager.resume(now, client) {
            Ok(resumed) => {
                if self.operator.rng.chance(500) {
                    self.fetch_working_set(process, client, &resumed);
                }
            }
            Err(ControlRefusal::Running) => assert_eq!(before, Some(ClientState::Running)),
            Err(ControlRefusal::NoSuchClient) => assert_eq!(before, None),
            Err(refusal) => panic!("{refusal:?} is no answer to a resume"),
        }
        self.take_effects(None);
    }

    /// Everybody goes on.
    pub(crate) fn resume_all(&mut self) {
        let now = self.tick();
        for process in 0..PROCESSES {
            if let Some(client) = self.processes[process].client {
                let _running = self.manager.resume(now, client);
            }
        }
        self.take_effects(None);
    }

    fn resize(&mut self) {
        let most = 2 * self.operator.usual_pages;
        let below = usize::try_from(most).expect("pools are small");
        let pages = 8 + self.operator.rng.below(below) as u64;
        let marks = marks(&mut self.operator.rng, pages);
        let size = ByteCount::new(pages * PAGE_BYTES);
        let before = self.manager.gauges();
        let now = self.tick();
        match self.manager.resize(now, size, marks) {
            Ok(resized) => {
                self.operator.resizes += 1;
                assert_eq!(resized.target, size);
                let capacity = size.get().max(before.vram_used_bytes);
                assert!(resized.capacity.get() <= capacity, "it grows no further than asked");
                self.operator.ceiling = resized.capacity.get();
            }
            Err(ControlRefusal::PoolTooSmall { asked, possible, .. }) => {
                assert!(asked < possible, "{asked} is not less than {possible}");
                assert_eq!(self.manager.gauges(), before, "a refusal changes nothing");
            }
            Err(ControlRefusal::Draining) => {}
            Err(refusal) => panic!("{refusal:?} is no answer to a resize"),
        }
        self.take_effects(None);
    }

    fn evict_something(&mut self) {
        let process = self.operator.rng.below(PROCESSES);
        let Some((object, _)) = self.some_handle(process) else { return };
        let now = self.tick();
        let _evicted = self.manager.evict_some(now, object, PageIndex::ZERO);
        self.take_effects(None);
    }

    /// The capacity never rises by itself, nor does anything of a suspended client.
    pub(crate) fn check_operator(&mut self) {
        let capacity = self.manager.gauges().vram_capacity_bytes;
        let ceiling = self.operator.ceiling;
        assert!(capacity <= ceiling, "rule 2: a capacity of {capacity} was to be {ceiling}");
        self.operator.ceiling = capacity;
        for object in self.manager.sleeping_objects() {
            let left = self.shell.kernel.populated(object);
            assert_eq!(left, 0, "{object} has pages and its clients are suspended");
        }
    }

    /// Nothing is begun for a mapping whose client is suspended, except that its threads look
    /// again.
    pub(crate) fn check_is_for_the_awake(&self, action: &Action) {
        let mapping = match action {
            Action::Fill { install, .. } => install.as_ref().map(|install| install.mapping),
            Action::Install { mapping, .. } | Action::Unprotect { mapping, .. } => Some(*mapping),
            // The second half of an answer that was begun before.
            Action::Patch { .. }
            | Action::Wake { .. }
            | Action::Poison { .. }
            | Action::CopyOut { .. }
            | Action::Punch { .. }
            | Action::Discard { .. }
            | Action::Detached { .. }
            | Action::Freed { .. }
            | Action::Destroy { .. }
            | Action::Yield => None,
        };
        let view = mapping.and_then(|mapping| self.manager.mapping_view(mapping));
        let state = view.and_then(|view| self.manager.client_state(view.client));
        assert!(
            matches!(state, None | Some(ClientState::Running)),
            "a suspended client is answered: {action:?}"
        );
    }

    /// True if all that can leave of suspended clients has left.
    pub(crate) fn are_asleep(&self) -> bool {
        let gauges = self.manager.gauges();
        let store = gauges.ram_capacity_bytes - gauges.ram_reserved_bytes;
        let full = store < gauges.store_held_bytes + 4 * PAGE_BYTES;
        gauges.clients_suspending == 0 || full
    }
}
