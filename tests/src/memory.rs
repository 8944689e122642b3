//! Plain loads and stores: filling, comparing, sweeping.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use bo_client::Mapping;
use rustix::io::Errno;

use crate::order::{Checked, Peeked};
use crate::pattern;
use crate::{PAGE, PAGE_LEN, raw};

/// How many page numbers an answer lists.
const LISTED: usize = 16;

/// The pages of a mapping from `first` on, at most `pages` of them.
pub(crate) fn span(mapping: &Mapping, first: u64, pages: u64) -> Range<u64> {
    let end = mapping.len() / PAGE;
    first.min(end)..first.saturating_add(pages).min(end)
}

pub(crate) fn fill(mapping: &Mapping, seed: u64, pages: Range<u64>) {
    for index in pages {
        let bytes = pattern::page(seed, index);
        mapping.write_at(index * PAGE, &bytes).expect("inside, and writable");
    }
}

pub(crate) fn check(mapping: &Mapping, seed: u64, pages: Range<u64>) -> Checked {
    let mut checked = Checked::default();
    let mut found = [0; PAGE_LEN];
    for index in pages {
        mapping.read_at(index * PAGE, &mut found).expect("inside");
        compare(&mut checked, seed, index, &found);
    }
    checked
}

/// Compares with what is at an address, whatever is mapped there.
pub(crate) fn check_at(address: u64, seed: u64, first: u64, pages: u64) -> Checked {
    let mut checked = Checked::default();
    for index in 0..pages {
        let found = raw::load_page(address + index * PAGE);
        compare(&mut checked, seed, first + index, &found);
    }
    checked
}

fn compare(checked: &mut Checked, seed: u64, index: u64, found: &[u8; PAGE_LEN]) {
    if *found == pattern::page(seed, index) {
        return;
    }
    checked.wrong_pages += 1;
    checked.zero_pages += u64::from(found.iter().all(|byte| *byte == 0));
    if checked.wrong.len() < LISTED {
        checked.wrong.push(index);
    }
}

/// Has the kernel copy each page into a pipe, which fails where plain loads would raise SIGBUS.
pub(crate) fn peek(mapping: &Mapping, seed: u64, pages: Range<u64>) -> Result<Peeked, Errno> {
    let (reader, writer) = rustix::pipe::pipe()?;
    let mut peeked = Peeked::default();
    let mut found = [0; PAGE_LEN];
    for index in pages {
        match raw::with_page(mapping, index, |page| rustix::io::write(&writer, page)) {
            Ok(PAGE_LEN) => {
                let read = rustix::io::read(&reader, &mut found)?;
                let right = read == PAGE_LEN && found == pattern::page(seed, index);
                if right { peeked.right.push(index) } else { peeked.wrong.push(index) }
            }
            Err(Errno::FAULT) => peeked.lost.push(index),
            // Half a page is none.
            Ok(_) => peeked.wrong.push(index),
            Err(errno) => return Err(errno),
        }
    }
    Ok(peeked)
}

/// Touches one page after the other. What is written is what was there.
pub(crate) fn sweep(mapping: &Mapping, write: bool, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    let mut word = [0; 8];
    while !stop.load(Ordering::Relaxed) {
        for index in span(mapping, 0, u64::MAX) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if write {
                let cell = mapping.atomic_u64(index * PAGE).expect("aligned, inside, writable");
                let there = cell.load(Ordering::Relaxed);
                // Adding zero would be no write: the compiler leaves it out.
                let _others_won =
                    cell.compare_exchange(there, there, Ordering::Relaxed, Ordering::Relaxed);
            } else {
                mapping.read_at(index * PAGE, &mut word).expect("inside");
            }
            count += 1;
        }
    }
    count
}

/// Counts in managed memory until stopped; says how far. Before each step it touches a page of
/// `between`, if that is given, and so leaves the counter alone for a while.
pub(crate) fn add(
    mapping: &Mapping,
    offset: u64,
    between: Option<&Mapping>,
    stop: &AtomicBool,
) -> u64 {
    let cell = mapping.atomic_u64(offset).expect("aligned, inside, writable");
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Some(other) = between {
            let page = count % (other.len() / PAGE);
            other.read_at(page * PAGE, &mut [0; 8]).expect("inside");
        }
        cell.fetch_add(1, Ordering::Relaxed);
        count += 1;
    }
    count
}
