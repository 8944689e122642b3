//! The thread that frees frames ahead of need, so that a fault need not wait for an eviction, and
//! copies pages to the store ahead of that, so that they can leave without a copy.

use std::sync::Arc;
use std::thread::JoinHandle;

use bo_units::Tick;
use parking_lot::{Condvar, Mutex};

use crate::shell::Shell;
use crate::worker;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Nothing,
    Work,
    Stop,
}

#[derive(Debug, Clone, Copy)]
struct State {
    call: Call,
    /// When the bell rings by itself.
    at: Option<Tick>,
}

/// Wakes the reclaimer. Ringing while it works costs one uncontended lock and no system call.
#[derive(Debug)]
pub(crate) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

impl Default for Bell {
    fn default() -> Self {
        Self { state: Mutex::new(State { call: Call::Nothing, at: None }), rung: Condvar::new() }
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        if state.call == Call::Nothing {
            state.call = Call::Work;
            self.rung.notify_one();
        }
    }

    /// Rings at that time, unless another was said since.
    pub(crate) fn ring_at(&self, at: Tick) {
        let mut state = self.state.lock();
        if state.at != Some(at) {
            state.at = Some(at);
            self.rung.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().call = Call::Stop;
        self.rung.notify_all();
    }

    /// Waits for a ring; false when it is time to stop.
    fn wait(&self, now: impl Fn() -> Tick) -> bool {
        let mut state = self.state.lock();
        while state.call == Call::Nothing {
            let Some(at) = state.at else {
                self.rung.wait(&mut state);
                continue;
            };
            let left = at.saturating_since(now());
            if left.is_zero() {
                *state = State { call: Call::Work, at: None };
            } else {
                // Woken too early, or for another time: the loop looks again.
                let _ = self.rung.wait_for(&mut state, left);
            }
        }
        state.call != Call::Stop
    }

    /// The work that was called for begins to be done: a ring from here on is a new one.
    fn answer(&self) -> bool {
        let mut state = self.state.lock();
        if state.call == Call::Work {
            state.call = Call::Nothing;
        }
        state.call != Call::Stop
    }
}

/// Starts the reclaimer. It ends after [`Bell::stop`].
///
/// It is the cleaner as well: room comes first, and pages are made clean when there is enough of
/// it, one run at a time, so that a fault which takes the last of it waits for one copy at the
/// most.
pub(crate) fn start(shell: Arc<Shell>) -> std::io::Result<JoinHandle<()>> {
    worker::spawn("bo-reclaim", move || {
        while shell.bell.wait(|| shell.now()) {
            let work =
                || shell.decide(|core, now| core.handle_reclaim(now) || core.handle_clean(now));
            while shell.bell.answer() && work() {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_heard_once() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        assert!(bell.wait(|| Tick::ZERO) && bell.answer());
        assert_eq!(bell.state.lock().call, Call::Nothing);
    }

    #[test]
    fn a_bell_rings_by_itself_when_it_is_time() {
        let bell = Bell::default();
        bell.ring_at(Tick::from_nanos(5));
        assert!(bell.wait(|| Tick::from_nanos(5)) && bell.answer());
        assert_eq!(bell.state.lock().at, None, "it rings once");
    }

    #[test]
    fn who_is_told_to_stop_stops_whatever_else_is_to_do() {
        let bell = Bell::default();
        bell.stop();
        bell.ring();
        assert!(!bell.wait(|| Tick::ZERO) && !bell.answer());
    }
}
