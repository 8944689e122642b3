//! Ahead of need: which pages come with the one that is wanted, which follow, and what keeps
//! them within bounds.
//!
//! The thread that faulted waits for one fill, of at most 256 KiB. What else is guessed follows
//! fill by fill when that one has ended, as long as there is room to spare and nobody waits:
//! a guess never joins the queue, and so never evicts anything by itself.

use std::ops::Range;

use bo_units::{MappingId, ObjectId, PageIndex, PageRange};

use crate::Placement;
use crate::limits::{FILL_RUN_BYTES, STREAM_PAGES_MIN, STRIDE_PAGES_MAX, STRIDE_PAGES_MIN};
use crate::manager::answer::single;
use crate::manager::{Fault, Manager, Primary, Wanted};
use crate::page::run;
use crate::prefetch::{Cause, Marks, Pattern, PrefetchMode, region};

/// Pages that are to come when a fill has ended, nearest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guess {
    mapping: MappingId,
    /// They will probably be written to.
    write: bool,
    cause: Cause,
    track: Track,
}

/// Where the pages of a guess are. Those that are not absent are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Track {
    /// What lies above the fault and what lies below it, one after the other.
    Sides { above: Range<u32>, below: Range<u32>, below_first: bool },
    /// So many single pages, at a distance.
    Steps { next: i64, stride: i16, left: u32 },
}

impl Track {
    /// The next run of absent pages, of at most `most` pages.
    fn next_run(&mut self, marks: &Marks, pages: PageRange, most: u32) -> Option<PageRange> {
        match self {
            Self::Sides { above, below, below_first: true } => {
                down(marks, below, most).or_else(|| up(marks, above, most))
            }
            Self::Sides { above, below, below_first: false } => {
                up(marks, above, most).or_else(|| down(marks, below, most))
            }
            Self::Steps { next, stride, left } => {
                while *left > 0 {
                    let at = u32::try_from(*next).ok().map(PageIndex::new);
                    let at = at.filter(|at| pages.contains(*at))?;
                    *left -= 1;
                    *next += i64::from(*stride);
                    if marks.first_absent(at.get()..at.get() + 1).is_some() {
                        return Some(single(at));
                    }
                }
                None
            }
        }
    }
}

/// The lowest run of absent pages; `side` begins behind it then.
fn up(marks: &Marks, side: &mut Range<u32>, most: u32) -> Option<PageRange> {
    let first = marks.first_absent(side.clone())?;
    let end = marks.absent_until(first..side.end.min(first.saturating_add(most)));
    side.start = end;
    Some(pages(first..end))
}

/// The highest run of absent pages; `side` ends before it then.
fn down(marks: &Marks, side: &mut Range<u32>, most: u32) -> Option<PageRange> {
    let end = marks.last_absent(side.clone())? + 1;
    let first = marks.absent_since(side.start.max(end.saturating_sub(most))..end);
    side.end = first;
    Some(pages(first..end))
}

fn pages(range: Range<u32>) -> PageRange {
    run(PageIndex::new(range.start), (range.end - range.start) as usize)
}

fn clip(range: &Range<u32>, bounds: &Range<u32>) -> Range<u32> {
    range.start.max(bounds.start)..range.end.min(bounds.end)
}

/// What a fault asks for, and what it suggests.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) primary: Primary,
    /// Absent pages, the one that faulted among them.
    pub(crate) range: PageRange,
    pub(crate) then: Option<Guess>,
}

impl Manager {
    /// Decides what comes for a fault on an absent page.
    ///
    /// A lone fault takes what is around it in the aligned window, as the kernel does for files; a
    /// stream looks in its own direction only, and further with each fault; and what is mostly
    /// there already is completed.
    pub(crate) fn plan(&mut self, id: ObjectId, fault: &Fault) -> Plan {
        let (mapping, at) = (fault.mapping, fault.page.get());
        let pattern = self.follow(id, fault);
        let sequential = matches!(pattern, Pattern::Up { .. } | Pattern::Down { .. });
        let primary = Primary { mapping, page: fault.page, write: fault.write, stream: sequential };
        let alone = Plan { primary, range: single(fault.page), then: None };
        if self.config.fault_around.get() == 0 || !self.queue.is_empty() {
            return alone;
        }
        let Some(shown) = self.mappings.get(mapping).map(|entry| entry.range) else { return alone };
        let bounds = shown.first().get()..shown.end().get();
        if let Pattern::Stride { stride, doublings } = pattern {
            let steps = self.steps(id, fault, stride, doublings);
            return Plan { then: steps, ..alone };
        }
        let near = self.near(id, fault, &pattern, &bounds);
        let marks = &self.object(id).marks;
        let piece = clip(&near, &self.piece(id, at, &pattern));
        let range = marks.absent_since(piece.start..at)..marks.absent_until(at + 1..piece.end);
        let whole = self.dense(id, fault, &range, &bounds);
        let hull = near.start.min(whole.start)..near.end.max(whole.end);
        let more = whole.start < near.start || near.end < whole.end;
        let guess = Guess {
            mapping,
            write: fault.write && sequential,
            cause: match (more, sequential) {
                (true, _) => Cause::Density,
                (false, true) => Cause::Stream,
                (false, false) => Cause::Around,
            },
            track: Track::Sides {
                above: range.end..hull.end,
                below: hull.start..range.start,
                below_first: matches!(pattern, Pattern::Down { .. }),
            },
        };
        if let Some(entry) = self.mappings.get_mut(mapping) {
            entry.streams.reach(at - hull.start, hull.end - 1 - at);
        }
        Plan { primary, then: (hull != range).then_some(guess), range: pages(range) }
    }

    /// Tells the streams of a mapping of its fault.
    fn follow(&mut self, id: ObjectId, fault: &Fault) -> Pattern {
        let Some(entry) = self.mappings.get_mut(fault.mapping) else { return Pattern::Lone };
        let object = self.objects.get(id).expect("a fault has an object");
        let all_here =
            |gap: Range<u32>| object.marks.count_here(gap.clone()) == gap.end - gap.start;
        let pattern = entry.streams.follow(fault.page.get(), all_here);
        match self.config.prefetch.mode {
            PrefetchMode::None => Pattern::Lone,
            PrefetchMode::Stream | PrefetchMode::Density => pattern,
        }
    }

    /// The extent of a fault by its pattern, as far as there is room.
    fn near(
        &self,
        id: ObjectId,
        fault: &Fault,
        pattern: &Pattern,
        bounds: &Range<u32>,
    ) -> Range<u32> {
        let at = fault.page.get();
        let (cause, doublings) = match pattern {
            Pattern::Up { doublings } | Pattern::Down { doublings } => (Cause::Stream, *doublings),
            Pattern::Lone | Pattern::Stride { .. } => (Cause::Around, 0),
        };
        let least = match pattern {
            Pattern::Up { .. } | Pattern::Down { .. } => STREAM_PAGES_MIN,
            Pattern::Lone | Pattern::Stride { .. } => 0,
        };
        let wished = self.window(id, fault.mapping, doublings, least);
        let window = wished.min(self.spare_pages(id, cause)).max(1);
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        let range = match pattern {
            Pattern::Up { .. } => at..at.saturating_add(window),
            Pattern::Down { .. } => (at + 1).saturating_sub(window)..at + 1,
            Pattern::Lone | Pattern::Stride { .. } => {
                let start = at - at % window;
                start..start.saturating_add(window)
            }
        };
        clip(&range, bounds)
    }

    /// Pages of an extent that has doubled so often, unless the guesses for this mapping are bad:
    /// `least` of them at the least, however large they are, and as often doubled.
    fn window(&self, id: ObjectId, mapping: MappingId, doublings: u32, least: u64) -> u64 {
        let page_bytes = self.object(id).page_size.bytes();
        let pages = (self.config.fault_around.get() / page_bytes).max(least) << doublings;
        self.mappings.get(mapping).map_or(1, |entry| entry.accuracy.shrink(pages))
    }

    /// The part of the surroundings of a page that one fill may bring.
    fn piece(&self, id: ObjectId, at: u32, pattern: &Pattern) -> Range<u32> {
        let most = self.fill_pages_max(id);
        match pattern {
            Pattern::Up { .. } => at..at.saturating_add(most),
            Pattern::Down { .. } => (at + 1).saturating_sub(most)..at + 1,
            Pattern::Lone | Pattern::Stride { .. } => {
                let start = at - at % most;
                start..start.saturating_add(most)
            }
        }
    }

    fn fill_pages_max(&self, id: ObjectId) -> u32 {
        let pages = (FILL_RUN_BYTES / self.object(id).page_size.bytes()).max(1);
        u32::try_from(pages).expect("64 pages at most")
    }

    /// The part of its block that a fault completes, when `wanted` comes anyway.
    fn dense(
        &self,
        id: ObjectId,
        fault: &Fault,
        wanted: &Range<u32>,
        bounds: &Range<u32>,
    ) -> Range<u32> {
        let (mapping, at) = (fault.mapping, fault.page.get());
        let config = self.config.prefetch;
        match config.mode {
            PrefetchMode::None | PrefetchMode::Stream => return at..at + 1,
            PrefetchMode::Density => {}
        }
        let object = self.object(id);
        let block = u64::from(config.block_pages(object.page_size));
        let accuracy = self.mappings.get(mapping).map(|entry| entry.accuracy);
        let block = accuracy.map_or(1, |accuracy| accuracy.shrink(block));
        if block == 1 || self.spare_pages(id, Cause::Density) == 0 {
            return at..at + 1;
        }
        let block = u32::try_from(block).expect("512 pages at most");
        region(&object.marks, at, wanted, bounds, block, config.threshold_percent)
    }

    /// The pages that a strided stream will come to.
    fn steps(&mut self, id: ObjectId, fault: &Fault, stride: i16, doublings: u32) -> Option<Guess> {
        let most = self.window(id, fault.mapping, 2, 0);
        let steps = (STRIDE_PAGES_MIN << doublings).min(STRIDE_PAGES_MAX).min(most);
        let steps = steps.min(self.spare_pages(id, Cause::Stream).saturating_sub(1));
        let steps = u32::try_from(steps).expect("16 at most");
        let entry = self.mappings.get_mut(fault.mapping)?;
        entry.streams.reach(0, steps);
        let next = i64::from(fault.page.get()) + i64::from(stride);
        Some(Guess {
            mapping: fault.mapping,
            write: fault.write,
            cause: Cause::Stream,
            track: Track::Steps { next, stride, left: steps },
        })
    }

    /// How many pages a guess of this sort may take from what is free. None of them makes anybody
    /// wait, and what is taken leaves a reserve for those who fault.
    fn spare_pages(&self, id: ObjectId, cause: Cause) -> u64 {
        let object = self.object(id);
        let free = self.pool.free();
        let spare = match (object.placement, cause) {
            (Placement::Ram, _) => u64::MAX,
            (Placement::Vram, _) if !self.queue.is_empty() => 0,
            // Little speaks for them but that they are near: only while reclaim rests. Where half
            // of an object is present because the pool holds no more, it is dense everywhere.
            (Placement::Vram, Cause::Around | Cause::Density) => {
                free.saturating_sub(self.stop_free())
            }
            // A stream that waits for reclaim at each page would never be ahead of it.
            (Placement::Vram, Cause::Stream) => free / 2,
            (Placement::Vram, Cause::Hint) => free,
        };
        spare / object.page_size.bytes()
    }

    /// Begins with the next pages of a guess, if there is room and nobody waits.
    pub(crate) fn pursue(&mut self, id: ObjectId, mut guess: Guess) {
        let Some(entry) = self.mappings.get(guess.mapping).filter(|entry| !entry.closing) else {
            return;
        };
        let object = self.object(id);
        let asleep = self.sleeps(guess.mapping);
        if self.sealed || self.draining || object.dying || asleep || !self.queue.is_empty() {
            return;
        }
        let most = u64::from(self.fill_pages_max(id)).min(self.spare_pages(id, guess.cause));
        let most = u32::try_from(most).expect("64 pages at most");
        if most == 0 {
            return;
        }
        let Some(run) = guess.track.next_run(&object.marks, entry.range, most) else { return };
        let Guess { mapping, write, cause, .. } = guess;
        let wanted = Wanted::Guess { mapping, write, cause };
        self.start_fill(id, run, wanted, Some(guess));
    }
}
