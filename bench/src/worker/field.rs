//! All objects of one client as one long row of cells, shared out among its threads.

use std::ops::Range;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use bo_client::{AllocSpec, Client, Mapping, Object};
use bo_units::PageSize;

use crate::contents::{CELL_BYTES, Contents};
use crate::mismatch::{Mismatches, Place};
use crate::orders::{Plan, VerifyFigures};
use crate::sizes;
use crate::station::Meter;

/// How much one copy moves while filling and verifying.
const BLOCK_CELLS: u64 = 256;

/// The objects and who writes where.
pub(super) struct Field {
    client: u32,
    objects: Vec<Held>,
    cells_per_object: u64,
    page_bytes: u64,
    shares: Vec<Share>,
}

/// One object, mapped.
pub(super) struct Held {
    pub(super) contents: Contents,
    /// Keeps the object alive.
    pub(super) mapping: Mapping,
    page_bytes: u64,
}

/// The cells that one thread alone writes, and how often it has written each.
pub(super) struct Share {
    pub(super) cells: Range<u64>,
    pub(super) writes: Vec<u32>,
}

/// Where a cell of the row lies.
pub(super) struct Spot<'a> {
    pub(super) held: &'a Held,
    /// Inside its object.
    pub(super) cell: u64,
    pub(super) place: Place,
}

impl Field {
    /// Allocates and maps the objects of `plan`.
    ///
    /// # Errors
    ///
    /// When the daemon refuses, or there are fewer pages than threads.
    pub(super) fn allocate(client: &Client, plan: &Plan) -> Result<Field> {
        let objects: Vec<Held> =
            (0..plan.objects).map(|number| hold(client, plan, number)).collect::<Result<_>>()?;
        let first = objects.first().context("a client has at least one object")?;
        let (bytes, page_bytes) = (first.mapping.len(), first.page_bytes);
        let pages = bytes / page_bytes * u64::from(plan.objects);
        ensure!(
            u64::from(plan.threads) <= pages,
            "cannot share {pages} pages among {} threads: use larger objects or fewer threads",
            plan.threads
        );
        let shares = share_out(pages, page_bytes / CELL_BYTES, plan.threads);
        let cells_per_object = bytes / CELL_BYTES;
        Ok(Field { client: plan.client, objects, cells_per_object, page_bytes, shares })
    }

    pub(super) fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    pub(super) fn cells_per_page(&self) -> u64 {
        self.page_bytes / CELL_BYTES
    }

    /// Where cell number `cell` of the whole row lies.
    ///
    /// # Panics
    ///
    /// If the row is shorter.
    pub(super) fn spot(&self, cell: u64) -> Spot<'_> {
        let object = cell / self.cells_per_object;
        let cell = cell % self.cells_per_object;
        let held = &self.objects[sizes::in_memory(object)];
        let object = u32::try_from(object).unwrap_or(u32::MAX);
        Spot { held, cell, place: Place { client: self.client, object, offset: cell * CELL_BYTES } }
    }

    /// Runs `work` on one thread per share, and gathers what the threads return.
    pub(super) fn on_each_thread<T: Send>(
        &mut self,
        work: impl Fn(&Field, usize, &mut Share) -> T + Sync,
    ) -> Result<Vec<T>> {
        let mut shares = std::mem::take(&mut self.shares);
        let field = &*self;
        let work = &work;
        let results = thread::scope(|scope| {
            let threads: Vec<_> = shares
                .iter_mut()
                .enumerate()
                .map(|(number, share)| scope.spawn(move || work(field, number, share)))
                .collect();
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined.collect::<Result<Vec<T>, _>>()
        });
        self.shares = shares;
        results.map_err(|_| anyhow!("a client thread panicked"))
    }

    /// Writes every byte of every object.
    ///
    /// # Errors
    ///
    /// When a mapping refuses the bytes.
    pub(super) fn fill(&mut self, meter: &Meter) -> Result<()> {
        let done = self.on_each_thread(|field, _, share| {
            let mut block = Vec::new();
            field.blocks(share).try_for_each(|cells| {
                let spot = field.expect_block(share, &cells, &mut block);
                let offset = spot.place.offset;
                spot.held.mapping.write_at(offset, &block)?;
                meter.add(sizes::as_u64(block.len()));
                Ok(())
            })
        })?;
        done.into_iter().collect()
    }

    /// Compares every byte of every object with what it must be.
    ///
    /// # Errors
    ///
    /// When a mapping cannot be read; a wrong byte is a figure, not an error.
    pub(super) fn verify(&mut self, meter: &Meter) -> Result<VerifyFigures> {
        let parts = self.on_each_thread(|field, _, share| field.verify_share(share, meter))?;
        let mut sum = VerifyFigures { bytes: 0, mismatches: Mismatches::default() };
        for part in parts {
            let VerifyFigures { bytes, mismatches } = part?;
            sum.bytes += bytes;
            sum.mismatches.add(mismatches);
        }
        Ok(sum)
    }

    fn verify_share(&self, share: &Share, meter: &Meter) -> Result<VerifyFigures> {
        let mut figures = VerifyFigures { bytes: 0, mismatches: Mismatches::default() };
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for cells in self.blocks(share) {
            let spot = self.expect_block(share, &cells, &mut expected);
            found.resize(expected.len(), 0);
            let offset = spot.place.offset;
            spot.held.mapping.read_at(offset, &mut found)?;
            figures.mismatches.compare(spot.place, &expected, &found);
            figures.bytes += sizes::as_u64(found.len());
            meter.add(sizes::as_u64(found.len()));
        }
        Ok(figures)
    }

    /// What `cells`, a block of `share`, must hold; and where it begins.
    fn expect_block(&self, share: &Share, cells: &Range<u64>, block: &mut Vec<u8>) -> Spot<'_> {
        let start = self.spot(cells.start);
        block.resize(sizes::in_memory((cells.end - cells.start) * CELL_BYTES), 0);
        let targets = block.chunks_exact_mut(sizes::in_memory(CELL_BYTES));
        for ((row_cell, cell), target) in cells.clone().zip(start.cell..).zip(targets) {
            let writes = share.writes[sizes::in_memory(row_cell - share.cells.start)];
            start.held.contents.write_cell(cell, writes, target);
        }
        start
    }

    /// The cells of a share in blocks that do not cross from one object into the next.
    fn blocks(&self, share: &Share) -> impl Iterator<Item = Range<u64>> + use<> {
        let (mut next, end, per_object) =
            (share.cells.start, share.cells.end, self.cells_per_object);
        std::iter::from_fn(move || {
            let object_end = (next / per_object + 1) * per_object;
            let block = next..(next + BLOCK_CELLS).min(object_end).min(end);
            next = block.end;
            (!block.is_empty()).then_some(block)
        })
    }
}

fn hold(client: &Client, plan: &Plan, number: u32) -> Result<Held> {
    let object = allocate(client, plan, plan.object_bytes, &format!("bench {number}"))?;
    let mapping = object.map()?;
    let unique = (u64::from(plan.client) << 32) | u64::from(number);
    let contents = Contents::new(plan.seed, unique, plan.record);
    Ok(Held { contents, mapping, page_bytes: object.page_size().bytes() })
}

/// Allocates one object with the page size of the plan.
pub(super) fn allocate(client: &Client, plan: &Plan, bytes: u64, label: &str) -> Result<Object> {
    let spec = AllocSpec::new(bytes).label(label);
    let spec = match plan.page_bytes {
        Some(page_bytes) => spec.page_size(PageSize::new(u64::from(page_bytes))?),
        None => spec,
    };
    Ok(client.allocate(spec)?)
}

/// Whole pages, as evenly as they go.
fn share_out(pages: u64, cells_per_page: u64, threads: u32) -> Vec<Share> {
    let bound = |thread: u32| pages * u64::from(thread) / u64::from(threads) * cells_per_page;
    (0..threads)
        .map(|thread| {
            let cells = bound(thread)..bound(thread + 1);
            let writes = vec![0; sizes::in_memory(cells.end - cells.start)];
            Share { cells, writes }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_cell_once_and_in_whole_pages() {
        let shares = share_out(10, 16, 3);
        let bounds: Vec<_> = shares.iter().map(|share| share.cells.clone()).collect();
        assert_eq!(bounds, [0..48, 48..96, 96..160]);
        assert!(shares.iter().all(|share| !share.writes.is_empty()));
    }
}
