//! The thread that frees frames ahead of need, so that a fault need not wait for an eviction.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::shell::Shell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Nothing,
    Work,
    Stop,
}

/// Wakes the reclaimer. Ringing while it works costs one uncontended lock and no system call.
#[derive(Debug)]
pub(crate) struct Bell {
    call: Mutex<Call>,
    rung: Condvar,
}

impl Default for Bell {
    fn default() -> Self {
        Self { call: Mutex::new(Call::Nothing), rung: Condvar::new() }
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut call = self.call.lock();
        if *call == Call::Nothing {
            *call = Call::Work;
            self.rung.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        *self.call.lock() = Call::Stop;
        self.rung.notify_all();
    }

    /// Waits for a ring; false when it is time to stop.
    fn wait(&self) -> bool {
        let mut call = self.call.lock();
        while *call == Call::Nothing {
            self.rung.wait(&mut call);
        }
        *call != Call::Stop
    }

    /// The work that was called for begins to be done: a ring from here on is a new one.
    fn answer(&self) -> bool {
        let mut call = self.call.lock();
        if *call == Call::Work {
            *call = Call::Nothing;
        }
        *call != Call::Stop
    }
}

/// Starts the reclaimer. It ends after [`Bell::stop`].
pub(crate) fn start(shell: Arc<Shell>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("bo-reclaim".to_owned()).spawn(move || {
        if let Err(error) = bo_sys::thread::block_all_signals() {
            tracing::warn!(%error, "cannot block signals in the reclaimer");
        }
        while shell.bell.wait() {
            while shell.bell.answer() && shell.decide(|core, now| core.handle_reclaim(now)) {}
        }
    })
}
