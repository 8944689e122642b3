//! Threads that write their own words of shared pages, and watch everybody's.
//!
//! Word `w` of each page belongs to writer `w`, a thread of one of the processes. Its value is a
//! count that only ever grows, together with a checksum of count, page and writer. So a writer
//! finds a lost write by reading its own word, a reader finds a stale page by a count that goes
//! back, and a word that was put together from two others, or that belongs elsewhere, has a
//! checksum that is wrong.

use std::sync::atomic::Ordering;
use std::thread;

use bo_client::Mapping;

use crate::PAGE;
use crate::memory::span;
use crate::order::{Census, Tally};
use crate::pattern::{Dice, scramble};

/// What the threads of one process have to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    /// The number of this process's first writer.
    pub(crate) first_writer: u64,
    /// Writers in all processes together.
    pub(crate) writers: u64,
    /// Writers in this process.
    pub(crate) threads: u64,
    /// Loads and stores of each.
    pub(crate) steps: u64,
    pub(crate) seed: u64,
}

impl Storm {
    pub(crate) fn run(self, mapping: &Mapping) -> Tally {
        let mine = self.first_writer..self.first_writer + self.threads;
        thread::scope(|scope| {
            let threads: Vec<_> =
                mine.map(|id| scope.spawn(move || Writer::new(self, mapping, id).run())).collect();
            threads.into_iter().fold(Tally::default(), |sum, thread| {
                let one = thread.join().expect("a writer does not panic");
                merge(sum, one)
            })
        })
    }
}

fn merge(mut sum: Tally, one: Tally) -> Tally {
    sum.steps += one.steps;
    sum.lost += one.lost;
    sum.stale += one.stale;
    sum.torn += one.torn;
    sum.written.extend(one.written);
    sum
}

/// The sum of each writer's counts over all pages.
pub(crate) fn census(mapping: &Mapping, writers: u64) -> Census {
    let sum = |writer| {
        let counts = span(mapping, 0, u64::MAX).map(|page| {
            let word = load(mapping, page, writer);
            decode(word, page, writer).expect("a word of the storm")
        });
        counts.sum()
    };
    Census { sums: (0..writers).map(sum).collect() }
}

struct Writer<'mapping> {
    storm: Storm,
    mapping: &'mapping Mapping,
    id: u64,
    dice: Dice,
    /// What each of our own words should hold.
    own: Vec<u64>,
    /// The highest count seen of each word of each page.
    seen: Vec<u64>,
    tally: Tally,
}

impl<'mapping> Writer<'mapping> {
    fn new(storm: Storm, mapping: &'mapping Mapping, id: u64) -> Self {
        let pages = index(span(mapping, 0, u64::MAX).end);
        Writer {
            storm,
            mapping,
            id,
            dice: Dice::new(scramble(storm.seed ^ id)),
            own: vec![0; pages],
            seen: vec![0; pages * index(storm.writers)],
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        let pages = self.own.len() as u64;
        for _ in 0..self.storm.steps {
            let page = self.dice.below(pages);
            if self.dice.below(2) == 0 {
                self.write(page);
            } else {
                let writer = self.dice.below(self.storm.writers);
                self.watch(page, writer);
            }
        }
        for page in 0..pages {
            self.check_own(page);
        }
        self.tally.written = vec![self.own.iter().sum()];
        self.tally
    }

    fn write(&mut self, page: u64) {
        self.check_own(page);
        let count = &mut self.own[index(page)];
        *count += 1;
        let word = encode(*count, page, self.id);
        let cell = self.mapping.atomic_u64(place(page, self.id)).expect("aligned, inside");
        cell.store(word, Ordering::Relaxed);
    }

    fn check_own(&mut self, page: u64) {
        self.tally.steps += 1;
        let word = load(self.mapping, page, self.id);
        let expected = self.own[index(page)];
        match decode(word, page, self.id) {
            Some(found) if found == expected => {}
            // Counted once, and then taken as it is.
            Some(found) => {
                self.tally.lost += 1;
                self.own[index(page)] = found;
            }
            None => self.tally.torn += 1,
        }
    }

    fn watch(&mut self, page: u64, writer: u64) {
        self.tally.steps += 1;
        let word = load(self.mapping, page, writer);
        let seen = &mut self.seen[index(page * self.storm.writers + writer)];
        match decode(word, page, writer) {
            Some(found) if *seen <= found => *seen = found,
            Some(_) => self.tally.stale += 1,
            None => self.tally.torn += 1,
        }
    }
}

fn load(mapping: &Mapping, page: u64, writer: u64) -> u64 {
    let cell = mapping.atomic_u64(place(page, writer)).expect("aligned, inside, writable");
    cell.load(Ordering::Relaxed)
}

fn place(page: u64, writer: u64) -> u64 {
    page * PAGE + writer * 8
}

/// Zero is what a word holds that was never written.
fn encode(count: u64, page: u64, writer: u64) -> u64 {
    if count == 0 { 0 } else { count << 32 | checksum(count, page, writer) }
}

fn decode(word: u64, page: u64, writer: u64) -> Option<u64> {
    let count = word >> 32;
    (encode(count, page, writer) == word).then_some(count)
}

fn checksum(count: u64, page: u64, writer: u64) -> u64 {
    scramble(scramble(count) ^ scramble(page << 8 | writer)) >> 32
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a 64-bit target")
}
