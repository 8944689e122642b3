//! One process with memory to sweep and to rewrite at random: our objects, or what a program has
//! by itself. The accesses are the same code on both.

pub(crate) mod orders;
mod uniform;

use anyhow::{Context, Result};
use bo_client::{AllocSpec, Client, ExclusiveMapping};
use bo_units::PageSize;

use crate::contents::{CELL_BYTES, Contents, RecordBytes};
use crate::ground::orders::{GroundAnswer, GroundOrder, GroundPlan, Kind};
use crate::mismatch::{Mismatches, Place};
use crate::orders::VerifyFigures;
use crate::sizes;
use crate::station::{self, Meter};
use crate::sweep::Sweeper;

/// Serves orders until there are no more.
///
/// # Errors
///
/// What an order failed with; the parent was told.
pub(crate) fn serve() -> Result<()> {
    let mut ground: Option<Ground> = None;
    station::serve(|order, meter| match order {
        GroundOrder::Prepare(plan) => {
            ground = Some(Ground::prepare(plan)?);
            Ok(GroundAnswer::Done)
        }
        GroundOrder::Take { bytes } => of(&mut ground)?.take(bytes),
        GroundOrder::Write => of(&mut ground)?.write(meter),
        GroundOrder::Read => of(&mut ground)?.read(meter),
        GroundOrder::Rewrite { ops, part } => of(&mut ground)?.rewrite(ops, part, meter),
        GroundOrder::Check => of(&mut ground)?.check(meter),
        GroundOrder::Leave => {
            of(&mut ground)?.field = None;
            Ok(GroundAnswer::Done)
        }
    })
}

fn of(ground: &mut Option<Ground>) -> Result<&mut Ground> {
    ground.as_mut().context("`Prepare` comes first")
}

struct Ground {
    plan: GroundPlan,
    /// `None` for memory of this process.
    client: Option<Client>,
    contents: Contents,
    /// Made before the process is limited: its buffers are part of the bench, not of the data.
    sweeper: Sweeper,
    field: Option<Field>,
}

/// The memory, and what must be in it.
struct Field {
    memory: Memory,
    swept: bool,
    /// How often each cell was rewritten since the sweep.
    writes: Vec<u32>,
}

enum Memory {
    Own(Vec<u8>),
    Object(ExclusiveMapping),
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Own(memory) => memory,
            Memory::Object(memory) => memory,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Own(memory) => memory,
            Memory::Object(memory) => memory,
        }
    }
}

impl Ground {
    fn prepare(plan: GroundPlan) -> Result<Ground> {
        let client = match &plan.kind {
            Kind::Own => None,
            Kind::Object { socket, .. } => Some(Client::builder().name("ground").connect(socket)?),
        };
        let cell = RecordBytes::new(4096).context("a whole cell is a legal record")?;
        let contents = Contents::new(plan.seed, 0, cell);
        Ok(Ground { client, contents, sweeper: Sweeper::new(plan.seed), field: None, plan })
    }

    /// Memory that nothing was written to, in place of what was held.
    fn take(&mut self, bytes: u64) -> Result<GroundAnswer> {
        self.field = None;
        let bytes = bytes.next_multiple_of(CELL_BYTES);
        let memory = match (&self.client, &self.plan.kind) {
            (Some(client), Kind::Object { page_bytes, .. }) => {
                let spec = AllocSpec::new(bytes).label("bench ground");
                let spec = match page_bytes {
                    Some(page_bytes) => spec.page_size(PageSize::new(u64::from(*page_bytes))?),
                    None => spec,
                };
                Memory::Object(client.allocate(spec)?.into_exclusive()?)
            }
            // Zeros that the kernel hands out at the first touch, page by page.
            (Some(_) | None, Kind::Own | Kind::Object { .. }) => {
                Memory::Own(vec![0; sizes::in_memory(bytes)])
            }
        };
        let cells = memory.bytes().len() / sizes::in_memory(CELL_BYTES);
        let bytes = sizes::as_u64(memory.bytes().len());
        self.field = Some(Field { memory, swept: false, writes: vec![0; cells] });
        Ok(GroundAnswer::Taken { bytes })
    }

    fn write(&mut self, meter: &Meter) -> Result<GroundAnswer> {
        let field = self.field.as_mut().context("`Take` comes before `Write`")?;
        let seconds = self.sweeper.write(field.memory.bytes_mut(), meter);
        field.swept = true;
        field.writes.fill(0);
        Ok(GroundAnswer::Swept { bytes: sizes::as_u64(field.memory.bytes().len()), seconds })
    }

    fn read(&mut self, meter: &Meter) -> Result<GroundAnswer> {
        let field = self.field.as_ref().context("`Take` comes before `Read`")?;
        let bytes = sizes::as_u64(field.memory.bytes().len());
        let seconds = self.sweeper.read(field.memory.bytes(), meter);
        Ok(GroundAnswer::Swept { bytes, seconds })
    }

    fn rewrite(&mut self, ops: u64, part: u64, meter: &Meter) -> Result<GroundAnswer> {
        let field = self.field.as_mut().filter(|field| field.swept);
        let field = field.context("`Write` comes before `Rewrite`")?;
        let seed = self.plan.seed ^ part.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let figures = uniform::run(field, &self.contents, &self.sweeper, ops, seed, meter)?;
        Ok(GroundAnswer::Rewritten(Box::new(figures)))
    }

    /// Compares every byte, whatever was done to it.
    fn check(&mut self, meter: &Meter) -> Result<GroundAnswer> {
        let field = self.field.as_ref().filter(|field| field.swept);
        let field = field.context("`Write` comes before `Check`")?;
        let mut figures = VerifyFigures { bytes: 0, mismatches: Mismatches::default() };
        let mut expected = vec![0; sizes::in_memory(CELL_BYTES)];
        let cells = field.memory.bytes().chunks_exact(expected.len());
        for (number, (found, writes)) in cells.zip(&field.writes).enumerate() {
            expect(&self.contents, &self.sweeper, number, *writes, &mut expected);
            figures.mismatches.compare(place(number), &expected, found);
            figures.bytes += CELL_BYTES;
            meter.add(CELL_BYTES);
        }
        Ok(GroundAnswer::Checked(figures))
    }
}

/// What cell `number` must hold after the sweep and `writes` rewrites.
fn expect(contents: &Contents, sweeper: &Sweeper, number: usize, writes: u32, cell: &mut [u8]) {
    match writes {
        0 => cell.copy_from_slice(sweeper.cell(number)),
        _ => contents.write_cell(sizes::as_u64(number), writes, cell),
    }
}

fn place(cell: usize) -> Place {
    Place { client: 0, object: 0, offset: sizes::as_u64(cell) * CELL_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground() -> Ground {
        let mut ground = Ground::prepare(GroundPlan { seed: 3, kind: Kind::Own }).expect("memory");
        ground.take(1 << 20).expect("a megabyte");
        ground
    }

    fn wrong_bytes(ground: &mut Ground) -> u64 {
        let answer = ground.check(&Meter::default()).expect("it was written");
        let GroundAnswer::Checked(figures) = answer else { panic!("not a check: {answer:?}") };
        figures.mismatches.bytes
    }

    #[test]
    fn sweeps_and_rewrites_leave_what_the_check_expects() {
        let (mut ground, meter) = (ground(), Meter::default());
        ground.write(&meter).expect("memory was taken");
        ground.read(&meter).expect("memory was taken");
        for part in 0..2 {
            let answer = ground.rewrite(1000, part, &meter).expect("it was written");
            let GroundAnswer::Rewritten(figures) = answer else { panic!("not that: {answer:?}") };
            assert_eq!((figures.op.count(), figures.mismatches.bytes), (1000, 0));
        }
        assert_eq!(wrong_bytes(&mut ground), 0);
    }

    #[test]
    fn a_lost_rewrite_is_noticed() {
        let (mut ground, meter) = (ground(), Meter::default());
        ground.write(&meter).expect("memory was taken");
        let before = ground.field.as_ref().expect("taken").memory.bytes().to_vec();
        ground.rewrite(200, 0, &meter).expect("it was written");
        ground.field.as_mut().expect("taken").memory.bytes_mut().copy_from_slice(&before);
        assert!(0 < wrong_bytes(&mut ground));
    }

    #[test]
    fn memory_cannot_be_checked_before_it_was_written() {
        assert!(ground().check(&Meter::default()).is_err());
        assert!(ground().rewrite(1, 0, &Meter::default()).is_err());
    }
}
