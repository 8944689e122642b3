//! What a client can do to its own memory and descriptors behind everybody's back.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use bo_client::Mapping;
use rustix::mm::Advice;

use crate::order::{Answer, Order};
use crate::problem::Problem;
use crate::raw;

#[expect(clippy::wildcard_enum_match_arm, reason = "`Player::perform` has sorted the orders")]
pub(crate) fn perform(
    order: &Order,
    mapping: impl Fn(usize) -> Result<Arc<Mapping>, Problem>,
) -> Result<Answer, Problem> {
    match order {
        Order::CountSignals => Ok(raw::count_signals().map(|()| Answer::Done)?),
        Order::Signals => Ok(Answer::Number(raw::signals())),
        Order::SignalledThread => {
            Ok(Answer::Number(u64::from(raw::signalled_thread().unsigned_abs())))
        }
        Order::Unmap { mapping: slot, first, pages } => {
            raw::unmap(&*mapping(*slot)?, *first, *pages)?;
            Ok(Answer::Done)
        }
        Order::Move { mapping: slot, first, pages } => {
            Ok(Answer::Number(raw::relocate(&*mapping(*slot)?, *first, *pages)?))
        }
        Order::DontNeed { mapping: slot, first, pages } => {
            raw::advise(&*mapping(*slot)?, *first, *pages, Advice::LinuxDontNeed)?;
            Ok(Answer::Done)
        }
        Order::Remove { mapping: slot, first, pages } => {
            raw::advise(&*mapping(*slot)?, *first, *pages, Advice::LinuxRemove)?;
            Ok(Answer::Done)
        }
        Order::ForkAndLoad { mapping: slot, offset } => {
            let address = mapping(*slot)?.address() + offset;
            Ok(Answer::Ended(raw::fork_and_load(address)?))
        }
        // Returns only if it fails.
        Order::Exec => Err(Command::new("/proc/self/exe").arg("again").exec().into()),
        Order::ForceStore { mapping: slot, offset, value } => {
            let mapping = mapping(*slot)?;
            match raw::make_writable(&mapping) {
                Ok(()) => raw::store(&mapping, *offset, *value),
                Err(errno) => {
                    return Ok(Answer::Number(u64::from(errno.raw_os_error().unsigned_abs())));
                }
            }
            Ok(Answer::Number(0))
        }
        Order::ReopenAll => Ok(Answer::Number(reopen_all()?)),
        other => unreachable!("`perform` does not send {other:?} here"),
    }
}

/// How many of this process's memory files can be opened for writing by their names.
fn reopen_all() -> io::Result<u64> {
    let mut opened = 0;
    for descriptor in fs::read_dir("/proc/self/fd")? {
        let path = descriptor?.path();
        // The descriptor of the directory itself has gone by now.
        let link = fs::read_link(&path).unwrap_or_default();
        if link.to_string_lossy().starts_with("/memfd:") {
            opened += u64::from(File::options().write(true).open(&path).is_ok());
        }
    }
    Ok(opened)
}
