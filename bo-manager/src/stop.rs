//! An orderly end: nothing is written off, and no client reads zeros.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bo_sys::uffd::Protection;
use bo_units::PageRange;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smallvec::SmallVec;

use crate::limits::{DRAIN_MAX, DRAIN_STEP, LAST_ANSWERS, WOKEN_MAX};
use crate::shell::Shell;
use crate::tables::{MappingEntry, Session};

/// Ends the service of faults. New requests are refused by now, and whoever is blocked is served.
///
/// What is present stays: each client's own mapping keeps the file. What is not present goes with
/// this process, so touching it gives SIGBUS from here on.
pub(crate) fn wind_down(shell: &Arc<Shell>) {
    // Those who are suspended go on: their threads are woken, and fault again.
    let (before, parked) = heard_and_parked(shell);
    shell.decide(|core, _| core.drain());
    let back = || before + parked <= heard_and_parked(shell).0;
    if parked > 0 && !in_time(WOKEN_MAX, back) {
        tracing::warn!(parked, "some threads of suspended clients have not come back in time");
    }
    if let Some(link) = &shell.link {
        // Nobody who is blocked waits for simulated time any more.
        link.give_up();
    }
    if !hears_everybody(shell) {
        tracing::warn!("some faults were not heard in time");
    }
    if !comes_to_rest(shell) {
        tracing::warn!("some moves did not end in time");
    }
    shell.seal();
    // What was heard before the seal is still at work.
    if !comes_to_rest(shell) {
        tracing::warn!("some moves did not end in time");
    }
    for session in shell.every_session() {
        close_session(shell, &session);
    }
    // The readers go on meanwhile: a thread may have seen an empty entry just before it was
    // poisoned, and now be waiting for an answer.
    std::thread::sleep(LAST_ANSWERS);
}

/// Faults that were read so far, and those of them that wait for their client to go on.
fn heard_and_parked(shell: &Shell) -> (u64, u64) {
    let (stats, gauges) = shell.numbers();
    let heard = stats.faults_read + stats.faults_write + stats.faults_protect;
    (heard, gauges.faults_parked)
}

/// Waits until, at one moment, no fault waits to be read and none that was read waits for the core.
///
/// In this order: who has read an event was counted before that.
fn hears_everybody(shell: &Shell) -> bool {
    in_time(DRAIN_MAX, || {
        let sessions = shell.every_session();
        !sessions.iter().any(|session| has_unread(session)) && shell.readers.are_idle()
    })
}

/// Whether a fault of this client waits to be read.
fn has_unread(session: &Session) -> bool {
    let uffds: SmallVec<[_; 16]> = session.uffds().collect();
    let mut polled: SmallVec<[PollFd<'_>; 16]> =
        uffds.iter().map(|uffd| PollFd::new(uffd.as_ref(), PollFlags::IN)).collect();
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        && polled.iter().any(|each| each.revents().contains(PollFlags::IN))
}

/// Waits until nothing is in flight.
fn comes_to_rest(shell: &Shell) -> bool {
    in_time(DRAIN_MAX, || shell.lock().is_idle())
}

/// Looks again and again whether it is `done`; false if it is not in that time.
fn in_time(most: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < most {
        if done() {
            return true;
        }
        std::thread::sleep(DRAIN_STEP);
    }
    false
}

/// Lets every write through, and poisons every page that will never come.
fn close_session(shell: &Shell, session: &Session) {
    let mappings: Vec<_> = session.ranges.read().values().map(Arc::clone).collect();
    for mapping in mappings {
        for (uffd, part) in mapping.parts(mapping.range) {
            drop(uffd.unprotect(part));
        }
        let absent = match session.is_revoked() {
            // Its contents went with its connection.
            true => vec![mapping.pages],
            false => shell.lock().absent_runs(mapping.id),
        };
        let mut next = mapping.pages.first();
        for run in absent {
            install(&mapping, PageRange::between(next, run.first()));
            next = run.end();
            if let Some(addresses) = mapping.addresses(run) {
                shell.poison(&mapping, addresses);
            }
        }
        install(&mapping, PageRange::between(next, mapping.pages.end()));
    }
}

/// Gives a run of present pages their entries: nobody will be there to answer for them.
fn install(mapping: &MappingEntry, run: Option<PageRange>) {
    let addresses = run.filter(|run| !run.is_empty()).and_then(|run| mapping.addresses(run));
    let parts = addresses.into_iter().flat_map(|addresses| mapping.parts(addresses));
    for (uffd, addresses) in parts {
        // Whatever is in the way, a client that has unmapped a part or is gone, needs no entry.
        let _ = uffd.install(addresses, Protection::Writable);
    }
}
