//! System calls on managed memory, each checked byte by byte.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use bo_client::Mapping;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::getpid;
use rustix::thread::futex;

use crate::memory::span;
use crate::order::{Rounds, SystemCall};
use crate::pattern::{self, Dice, scramble};
use crate::raw::{self, Ring, Transfer};
use crate::{PAGE, PAGE_LEN};

/// Failures that are reported word by word.
const MESSAGES: usize = 4;

/// A lost wake-up fails after this long.
const FUTEX_SECONDS_MAX: i64 = 20;

/// Makes `rounds` calls on random pages of a mapping that holds the pattern of `seed`.
pub(crate) fn run(
    call: SystemCall,
    mapping: &Mapping,
    seed: u64,
    rounds: u64,
    path: &Path,
) -> io::Result<Rounds> {
    if call == SystemCall::Futex {
        return Ok(pass_words(mapping, seed, rounds));
    }
    let mut caller = Caller::new(call, mapping, seed, path)?;
    let mut result = Rounds::default();
    for round in 1..=rounds {
        result.rounds += 1;
        let moved = caller.round(seed + round);
        note(&mut result, moved);
    }
    // What came in must also be there after all that moving.
    for index in span(mapping, 0, u64::MAX) {
        if !caller.holds(index) {
            result.wrong += 1;
        }
    }
    Ok(result)
}

fn note(result: &mut Rounds, moved: io::Result<bool>) {
    match moved {
        Ok(true) => {}
        Ok(false) => result.wrong += 1,
        Err(error) => {
            result.errors += 1;
            if result.messages.len() < MESSAGES {
                result.messages.push(error.to_string());
            }
        }
    }
}

struct Caller<'mapping> {
    call: SystemCall,
    mapping: &'mapping Mapping,
    /// Of the pattern that each page should hold.
    seeds: Vec<u64>,
    dice: Dice,
    /// What ordinary memory is read from and written to.
    plain: File,
    /// The same file, as the call uses it.
    file: File,
    pipe: (OwnedFd, OwnedFd),
    ring: Ring,
}

impl<'mapping> Caller<'mapping> {
    fn new(
        call: SystemCall,
        mapping: &'mapping Mapping,
        seed: u64,
        path: &Path,
    ) -> io::Result<Self> {
        let pages = span(mapping, 0, u64::MAX).end;
        let plain =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        plain.set_len(pages * PAGE)?;
        let mut options = File::options();
        options.read(true).write(true);
        if matches!(call, SystemCall::DirectRead | SystemCall::DirectWrite) {
            let direct = i32::try_from(OFlags::DIRECT.bits()).expect("a flag of open(2)");
            options.custom_flags(direct);
        }
        let file = options.open(path).map_err(|error| {
            let place = path.display();
            io::Error::other(format!(
                "cannot open {place} as {call:?} needs it, point TMPDIR to a disk: {error}"
            ))
        })?;
        Ok(Caller {
            call,
            mapping,
            seeds: vec![seed; usize::try_from(pages).expect("a 64-bit target")],
            dice: Dice::new(scramble(seed)),
            plain,
            file,
            pipe: rustix::pipe::pipe()?,
            ring: Ring::new()?,
        })
    }

    /// One call on one page. True if the right bytes were moved; `fresh` is the seed of those that
    /// come in.
    fn round(&mut self, fresh: u64) -> io::Result<bool> {
        let index = self.dice.below(self.seeds.len() as u64);
        let (mapping, offset) = (self.mapping, index * PAGE);
        match self.call {
            SystemCall::WriteFile | SystemCall::DirectWrite => {
                let write = |page: &[u8]| whole(self.file.write_at(page, offset));
                raw::with_page(mapping, index, write)?;
                self.has_come_out(index)
            }
            SystemCall::UringWrite => {
                self.ring.page(Transfer::Write, &self.file, mapping, index)?;
                self.has_come_out(index)
            }
            SystemCall::FixedWrite => {
                self.ring.fixed_page(Transfer::Write, &self.file, mapping, index)?;
                self.has_come_out(index)
            }
            SystemCall::ReadFile | SystemCall::DirectRead => {
                self.offer(index, fresh)?;
                let read = |page: &mut [u8]| whole(self.file.read_at(page, offset));
                raw::with_page_mut(mapping, index, read)?;
                Ok(self.holds(index))
            }
            SystemCall::UringRead => {
                self.offer(index, fresh)?;
                self.ring.page(Transfer::Read, &self.file, mapping, index)?;
                Ok(self.holds(index))
            }
            SystemCall::FixedRead => {
                self.offer(index, fresh)?;
                self.ring.fixed_page(Transfer::Read, &self.file, mapping, index)?;
                Ok(self.holds(index))
            }
            SystemCall::WritePipe => {
                let write = |page: &[u8]| rustix::io::write(&self.pipe.1, page);
                whole(raw::with_page(mapping, index, write).map_err(io::Error::from))?;
                self.has_come_through(index)
            }
            SystemCall::Vmsplice => {
                let sent = raw::vmsplice(self.pipe.1.as_fd(), mapping, index);
                whole(sent.map_err(io::Error::from))?;
                self.has_come_through(index)
            }
            SystemCall::ReadPipe => {
                let page = pattern::page(fresh, index);
                whole(rustix::io::write(&self.pipe.1, &page).map_err(io::Error::from))?;
                let read = |page: &mut [u8]| rustix::io::read(&self.pipe.0, page);
                whole(raw::with_page_mut(mapping, index, read).map_err(io::Error::from))?;
                self.seeds[slot(index)] = fresh;
                Ok(self.holds(index))
            }
            SystemCall::ProcessVmRead => {
                let mut found = [0; PAGE_LEN];
                raw::process_vm_read(getpid(), mapping.address() + offset, &mut found)?;
                Ok(found == self.expected(index))
            }
            SystemCall::Futex => unreachable!("`run` has seen to it"),
        }
    }

    /// Puts a page of fresh bytes into the file, which are to be read into the mapping.
    fn offer(&mut self, index: u64, fresh: u64) -> io::Result<()> {
        self.seeds[slot(index)] = fresh;
        self.plain.write_all_at(&pattern::page(fresh, index), index * PAGE)
    }

    /// Whether the file has got what the mapping holds.
    fn has_come_out(&self, index: u64) -> io::Result<bool> {
        let mut found = [0; PAGE_LEN];
        self.plain.read_exact_at(&mut found, index * PAGE)?;
        Ok(found == self.expected(index))
    }

    /// The same of the pipe.
    fn has_come_through(&self, index: u64) -> io::Result<bool> {
        let mut found = [0; PAGE_LEN];
        whole(rustix::io::read(&self.pipe.0, &mut found).map_err(io::Error::from))?;
        Ok(found == self.expected(index))
    }

    fn expected(&self, index: u64) -> [u8; PAGE_LEN] {
        pattern::page(self.seeds[slot(index)], index)
    }

    /// Whether a page holds what it should, by plain loads.
    fn holds(&self, index: u64) -> bool {
        let mut found = [0; PAGE_LEN];
        self.mapping.read_at(index * PAGE, &mut found).expect("inside");
        found == self.expected(index)
    }
}

fn whole(moved: io::Result<usize>) -> io::Result<()> {
    match moved? {
        PAGE_LEN => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn slot(index: u64) -> usize {
    usize::try_from(index).expect("a 64-bit target")
}

/// Two threads pass a number to and fro, by words on random pages. Each of them sleeps and wakes
/// the other by futex(2). The bytes that were there are of no interest.
fn pass_words(mapping: &Mapping, seed: u64, rounds: u64) -> Rounds {
    thread::scope(|scope| {
        let other = scope.spawn(|| half(mapping, seed, rounds, Half::Answers));
        let mut result = half(mapping, seed, rounds, Half::Asks);
        let other = other.join().expect("it does not panic");
        result.errors += other.errors;
        result.messages.extend(other.messages);
        result
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Asks,
    Answers,
}

fn half(mapping: &Mapping, seed: u64, rounds: u64, half: Half) -> Rounds {
    let pages = span(mapping, 0, u64::MAX).end;
    let mut dice = Dice::new(seed);
    let mut result = Rounds::default();
    for round in 1..=rounds {
        let mut place = |offset| {
            let place = dice.below(pages) * PAGE + offset;
            mapping.atomic_u32(place).expect("aligned, inside, writable")
        };
        let (question, answer) = (place(0), place(64));
        let number = u32::try_from(round).expect("not that many rounds");
        let passed = match half {
            Half::Asks => tell(question, number).and_then(|()| hear(answer, number)),
            Half::Answers => hear(question, number).and_then(|()| tell(answer, number)),
        };
        result.rounds += 1;
        note(&mut result, passed.map(|()| true).map_err(io::Error::from));
        if result.errors != 0 {
            break;
        }
    }
    result
}

fn tell(word: &AtomicU32, number: u32) -> Result<(), Errno> {
    word.store(number, Ordering::Release);
    futex::wake(word, futex::Flags::empty(), 1).map(|_| ())
}

fn hear(word: &AtomicU32, number: u32) -> Result<(), Errno> {
    let patience = futex::Timespec { tv_sec: FUTEX_SECONDS_MAX, tv_nsec: 0 };
    loop {
        let found = word.load(Ordering::Acquire);
        if found == number {
            return Ok(());
        }
        match futex::wait(word, futex::Flags::empty(), found, Some(&patience)) {
            // Woken, or it has changed by now.
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
