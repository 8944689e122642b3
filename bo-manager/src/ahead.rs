//! The thread that fills what nobody has asked for yet.
//!
//! Whoever answers a fault also learns what will be wanted next. If it brought that in itself, it
//! would keep its CPU from the thread that it has just woken, and its ear from the next fault. So
//! guesses are handed to a thread of their own, which may run where there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use bo_core::Effect;
use parking_lot::{Condvar, Mutex};

use crate::shell::Shell;
use crate::worker;

/// Guesses that wait for the thread. There is at most one for each stream of faults.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct State {
    guesses: VecDeque<Effect>,
    stopped: bool,
}

impl Ahead {
    /// Hands a guess over; gives it back if nobody is there to take it.
    pub(crate) fn give(&self, guess: Effect) -> Option<Effect> {
        let mut state = self.state.lock();
        if state.stopped {
            return Some(guess);
        }
        state.guesses.push_back(guess);
        drop(state);
        self.given.notify_one();
        None
    }

    /// Lets the thread end when it has done what it was given.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.given.notify_all();
    }

    fn take(&self) -> Option<Effect> {
        let mut state = self.state.lock();
        loop {
            match state.guesses.pop_front() {
                Some(guess) => return Some(guess),
                None if state.stopped => return None,
                None => self.given.wait(&mut state),
            }
        }
    }
}

/// Starts the thread. It ends after [`Ahead::stop`].
pub(crate) fn start(shell: Arc<Shell>) -> std::io::Result<JoinHandle<()>> {
    worker::spawn("bo-ahead", move || {
        let mut wanted = VecDeque::new();
        while let Some(guess) = shell.ahead.take() {
            wanted.push_back(guess);
            shell.carry_out_all(&mut wanted);
        }
    })
}

#[cfg(test)]
mod tests {
    use bo_core::Action;

    use super::*;

    fn guess() -> Effect {
        Effect { id: None, action: Action::Yield, ahead: true }
    }

    #[test]
    fn what_was_given_is_done_before_the_end() {
        let ahead = Ahead::default();
        assert_eq!(ahead.give(guess()), None);
        ahead.stop();
        assert_eq!(ahead.take(), Some(guess()));
        assert_eq!(ahead.take(), None);
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let ahead = Ahead::default();
        ahead.stop();
        assert_eq!(ahead.give(guess()), Some(guess()));
    }
}
