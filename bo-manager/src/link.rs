//! A simulated link between pool and store: a move is over when the model says so.
//!
//! With a link, the thread that decides does not carry a transfer through, as a driver does not
//! wait for its copy engine. A fill is put on the link, and done when it has arrived: until then
//! nobody can see the page. An eviction's copy is made at once, and reported when it has arrived:
//! until then writers meet a page in flight. Threads of their own wait for arrivals. No lock is
//! held meanwhile, and whatever needs no transfer goes on as without a link: pages of zeros are
//! cleared where they are, and clean pages are only punched.
//!
//! No transfer is over before its time. It is late by what it takes to wake a thread, some 10 µs
//! to 100 µs, and to write the page into its file; the next transfer of its queue is not, since the
//! model reckons with its own times. `bo_link_late_seconds` has the figures.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bo_core::{
    Action, Copied, Direction, Effect, EffectId, LinkConfig, LinkModel, LinkTotals, Outcome, Source,
};
use bo_units::Tick;
use parking_lot::{Condvar, Mutex};
use prometheus::{Histogram, Registry};
use tokio::sync::Notify;

use crate::limits::LINK_WORKERS;
use crate::shell::Shell;
use crate::worker;

mod numbers;

pub(crate) use numbers::LinkStatus;

/// What a transfer stands for.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// To be done when it has arrived.
    Todo { id: EffectId, action: Box<Action> },
    /// Done already; to be reported when it has arrived.
    Done { id: EffectId, outcome: Outcome },
}

/// The link, and who waits for it.
#[derive(Debug)]
pub(crate) struct Link<T> {
    config: LinkConfig,
    /// The tick zero of the model.
    start: Instant,
    state: Mutex<State<T>>,
    /// Something arrives earlier than the workers know.
    sooner: Condvar,
    /// Rung when a fill has been reported.
    filled: Notify,
    waits: [Histogram; 2],
    late: Histogram,
}

#[derive(Debug)]
struct State<T> {
    model: LinkModel<T>,
    /// The daemon stops: nothing is put on the link any more, and what is on it has arrived.
    given_up: bool,
}

impl<T> Link<T> {
    /// A link with nothing on it, whose histograms are in `registry`.
    pub(crate) fn new(config: LinkConfig, registry: &Registry) -> Self {
        let (waits, late) = numbers::histograms(registry);
        Self {
            config,
            start: Instant::now(),
            state: Mutex::new(State { model: LinkModel::new(config), given_up: false }),
            sooner: Condvar::new(),
            filled: Notify::new(),
            waits,
            late,
        }
    }

    /// Puts a transfer on the link; gives it back if the link has been given up.
    fn submit(&self, direction: Direction, bytes: u64, cargo: T) -> Option<T> {
        let mut state = self.state.lock();
        if state.given_up {
            return Some(cargo);
        }
        let before = state.model.next_completion();
        // Under the lock, so that the model's time is that of the submissions.
        state.model.submit(self.now(), direction, bytes, cargo);
        let after = state.model.next_completion();
        drop(state);
        if before.is_none_or(|before| after.is_some_and(|after| after < before)) {
            self.sooner.notify_one();
        }
        None
    }

    /// Waits for something to arrive; `None` when the link has been given up and is empty.
    fn next(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if state.given_up {
                return state.model.take();
            }
            let now = self.now();
            if let Some(arrival) = state.model.pop(now) {
                let more = state.model.next_completion().is_some();
                drop(state);
                if more {
                    // While this one is carried out, another worker waits for the next.
                    self.sooner.notify_one();
                }
                self.observe(&arrival, now);
                return Some(arrival.cargo);
            }
            let next = state.model.next_completion();
            match next.and_then(|tick| self.start.checked_add(Duration::from_nanos(tick.nanos()))) {
                Some(deadline) => drop(self.sooner.wait_until(&mut state, deadline)),
                None => self.sooner.wait(&mut state),
            }
        }
    }

    /// From here on everything has arrived, and nothing crosses the link any more. The workers end
    /// when they have carried out what is left.
    pub(crate) fn give_up(&self) {
        self.state.lock().given_up = true;
        self.sooner.notify_all();
    }

    /// Ready after the next report of a fill. Whoever wants to miss none takes it before looking.
    pub(crate) fn filled(&self) -> impl Future<Output = ()> + '_ {
        self.filled.notified()
    }

    /// A fill has been reported.
    pub(crate) fn note_filled(&self) {
        self.filled.notify_waiters();
    }

    pub(crate) fn totals(&self, direction: Direction) -> LinkTotals {
        let mut state = self.state.lock();
        state.model.totals(self.now(), direction)
    }

    fn now(&self) -> Tick {
        Tick::ZERO.saturating_add(self.start.elapsed())
    }
}

/// Starts the workers. They end after [`Link::give_up`].
pub(crate) fn start(shell: &Arc<Shell>) -> io::Result<Vec<JoinHandle<()>>> {
    let workers = if shell.link.is_some() { LINK_WORKERS } else { 0 };
    (0..workers)
        .map(|number| {
            let shell = Arc::clone(shell);
            worker::spawn(format!("bo-link-{number}"), move || {
                sharpen_timers();
                if let Some(link) = &shell.link {
                    work(&shell, link);
                }
            })
        })
        .collect()
}

fn sharpen_timers() {
    // The kernel may delay timers by 50 µs to save wake-ups, unless a thread wants otherwise.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::warn!(%error, "the timers of the link are coarse: transfers will be late");
    }
}

fn work(shell: &Shell, link: &Link<Cargo>) {
    let mut wanted = VecDeque::new();
    while let Some(cargo) = link.next() {
        if let Some((id, outcome)) = shell.unload(cargo) {
            shell.report(id, outcome, &mut wanted);
            shell.carry_out(&mut wanted);
        }
    }
}

/// What an action has to do with the link.
#[derive(Debug, PartialEq, Eq)]
enum Crossing {
    /// Nothing.
    None,
    /// Bytes must come in before it can be done.
    Before { bytes: u64 },
    /// What it copies must go out before it is over; pages of this many bytes.
    After { page_bytes: u64 },
}

impl Crossing {
    fn of(action: &Action) -> Self {
        match action {
            Action::Fill { sources, .. } => {
                let stored = |source: &Source| match source {
                    Source::Zero | Source::Same(_) => 0,
                    Source::Stored(slot) => slot.len,
                };
                match sources.iter().map(stored).sum() {
                    0 => Self::None,
                    bytes => Self::Before { bytes },
                }
            }
            Action::CopyOut { slots, .. } => {
                Self::After { page_bytes: slots.first().map_or(0, |slot| slot.len) }
            }
            Action::Install { .. }
            | Action::Unprotect { .. }
            | Action::Patch { .. }
            | Action::Wake { .. }
            | Action::Poison { .. }
            | Action::Punch { .. }
            | Action::Discard { .. }
            | Action::Detached { .. }
            | Action::Destroy { .. }
            | Action::Freed { .. }
            | Action::Yield => Self::None,
        }
    }
}

/// Pages that have bytes to move: one of zeros has none, and what failed has moved nothing.
fn pages_moved(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::CopiedOut(Copied::Done { same }) => {
            same.iter().filter(|same| same.is_none()).count() as u64
        }
        Outcome::CopiedOut(Copied::Failed)
        | Outcome::Filled { .. }
        | Outcome::FillFailed
        | Outcome::Installed(_)
        | Outcome::Unprotected
        | Outcome::Punched { .. }
        | Outcome::Discarded
        | Outcome::Destroyed
        | Outcome::Yielded => 0,
    }
}

impl Shell {
    /// Does one thing, or lets the link do it. `None`: nobody waits for the outcome, or it will be
    /// reported when the transfer has arrived.
    pub(crate) fn perform(&self, effect: Effect) -> Option<(EffectId, Outcome)> {
        let Effect { id, action, ahead: _ } = effect;
        let (Some(link), Some(id)) = (&self.link, id) else { return id.zip(self.act(action)) };
        let returned = match Crossing::of(&action) {
            Crossing::None => return Some(id).zip(self.act(action)),
            Crossing::Before { bytes } => {
                let action = Box::new(action);
                link.submit(Direction::In, bytes, Cargo::Todo { id, action })
            }
            Crossing::After { page_bytes } => {
                let outcome = self.act(action)?;
                match page_bytes * pages_moved(&outcome) {
                    0 => return Some((id, outcome)),
                    bytes => link.submit(Direction::Out, bytes, Cargo::Done { id, outcome }),
                }
            }
        };
        // The link has been given up: as if there had never been one.
        self.unload(returned?)
    }

    fn unload(&self, cargo: Cargo) -> Option<(EffectId, Outcome)> {
        match cargo {
            Cargo::Todo { id, action } => Some(id).zip(self.act(*action)),
            Cargo::Done { id, outcome } => Some((id, outcome)),
        }
    }
}

#[cfg(test)]
mod tests;
