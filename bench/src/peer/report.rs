//! What came of a comparison with zram, as JSON and as a table.

use bo_units::ByteCount;
use serde::Serialize;

use crate::cli::ZramArgs;
use crate::latency::Percentiles;
use crate::machine::Machine;
use crate::mismatch::{Mismatch, Mismatches};
use crate::peer::Side;
use crate::peer::keeper::{Setup, Sight};
use crate::report::table::{new_table, row};
use crate::spread::{Spread, digits};

/// The names of the fields are the keys of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
pub(crate) struct PeerReport {
    pub(crate) ratios: PeerRatios,
    /// Of each ratio over the rounds; `ratios` are their medians.
    pub(crate) spread: PeerSpread,
    pub(crate) ours: SideFigures,
    pub(crate) zram: SideFigures,
    pub(crate) swap: Setup,
    /// From the first round to the last. The contents are those of the last look.
    pub(crate) swapped: Sight,
    pub(crate) data_bytes: u64,
    pub(crate) fast_bytes: u64,
    /// `None`: the daemon chooses by object size.
    pub(crate) page_bytes: Option<u64>,
    pub(crate) rounds: u32,
    pub(crate) ops: u64,
    pub(crate) seed: u64,
    /// The data is random, and no compressor makes it smaller.
    pub(crate) random: bool,
    /// Flags of our daemon.
    pub(crate) daemon: String,
    pub(crate) bytes_verified: u64,
    /// Wrong bytes on either side.
    pub(crate) mismatches: u64,
    pub(crate) first_mismatches: Vec<Mismatch>,
    pub(crate) machine: Machine,
}

/// `None` when no round could be compared.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct PeerRatios {
    /// Our throughput over that of zram.
    pub(crate) write_sweep: Option<f64>,
    pub(crate) read_sweep: Option<f64>,
    /// Our time for one operation over that of zram.
    pub(crate) uniform_mean: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct PeerSpread {
    pub(crate) write_sweep: Option<Spread>,
    pub(crate) read_sweep: Option<Spread>,
    pub(crate) uniform_mean: Option<Spread>,
}

/// One side by itself, in its own units.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SideFigures {
    pub(crate) write_sweep_gbps: Option<Spread>,
    pub(crate) read_sweep_gbps: Option<Spread>,
    pub(crate) uniform_mean_us: Option<Spread>,
    /// Of the operations of all rounds together.
    pub(crate) uniform_us: Percentiles,
    pub(crate) bytes_verified: u64,
    pub(crate) mismatches: u64,
}

impl SideFigures {
    fn new(side: &Side) -> SideFigures {
        SideFigures {
            write_sweep_gbps: Spread::of(side.write_gbps.iter().copied()),
            read_sweep_gbps: Spread::of(side.read_gbps.iter().copied()),
            uniform_mean_us: Spread::of(side.uniform_mean_us.iter().copied()),
            uniform_us: side.uniform.percentiles(),
            bytes_verified: side.bytes_verified,
            mismatches: side.mismatches.bytes,
        }
    }
}

impl PeerSpread {
    fn new(ours: &Side, zram: &Side) -> PeerSpread {
        PeerSpread {
            write_sweep: Spread::of_ratios(&ours.write_gbps, &zram.write_gbps),
            read_sweep: Spread::of_ratios(&ours.read_gbps, &zram.read_gbps),
            uniform_mean: Spread::of_ratios(&ours.uniform_mean_us, &zram.uniform_mean_us),
        }
    }

    fn medians(&self) -> PeerRatios {
        let PeerSpread { write_sweep, read_sweep, uniform_mean } = *self;
        let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
        PeerRatios {
            write_sweep: median(write_sweep),
            read_sweep: median(read_sweep),
            uniform_mean: median(uniform_mean),
        }
    }
}

impl PeerReport {
    pub(super) fn new(
        args: &ZramArgs,
        machine: Machine,
        swap: Setup,
        swapped: Sight,
        ours: Side,
        zram: Side,
    ) -> PeerReport {
        let spread = PeerSpread::new(&ours, &zram);
        let (our_figures, their_figures) = (SideFigures::new(&ours), SideFigures::new(&zram));
        let mut mismatches = Mismatches::default();
        mismatches.add(ours.mismatches);
        mismatches.add(zram.mismatches);
        PeerReport {
            ratios: spread.medians(),
            spread,
            ours: our_figures,
            zram: their_figures,
            swap,
            swapped,
            data_bytes: args.data.get(),
            fast_bytes: args.fast.get(),
            page_bytes: args.page_size.map(|size| size.bytes()),
            rounds: args.rounds,
            ops: args.ops,
            seed: args.seed,
            random: true,
            daemon: format!("{:?}", args.tuning),
            bytes_verified: our_figures.bytes_verified + their_figures.bytes_verified,
            mismatches: mismatches.bytes,
            first_mismatches: mismatches.first,
            machine,
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = new_table(&["", "ours", "zram", "ours / zram, over the rounds"]);
        let PeerReport { ours, zram, spread, .. } = self;
        let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| spread.text());
        let middle =
            |spread: Option<Spread>| spread.map_or("-".to_owned(), |one| digits(one.median));
        for (what, our, their, ratio) in [
            ("write sweep, GB/s", ours.write_sweep_gbps, zram.write_sweep_gbps, spread.write_sweep),
            ("read sweep, GB/s", ours.read_sweep_gbps, zram.read_sweep_gbps, spread.read_sweep),
            (
                "4 KiB rewrite, mean, µs",
                ours.uniform_mean_us,
                zram.uniform_mean_us,
                spread.uniform_mean,
            ),
        ] {
            row(&mut table, what, &[middle(our), middle(their), text(ratio)]);
        }
        let percentile = |value: Option<f64>| value.map_or("-".to_owned(), digits);
        for (what, our, their) in [
            ("4 KiB rewrite, p50, µs", ours.uniform_us.p50, zram.uniform_us.p50),
            ("4 KiB rewrite, p99, µs", ours.uniform_us.p99, zram.uniform_us.p99),
        ] {
            row(&mut table, what, &[percentile(our), percentile(their), String::new()]);
        }
        format!("{}\n\n{table}\n\n{}\n{}", self.what_ran(), self.what_swapped(), self.verdict())
    }

    fn what_ran(&self) -> String {
        let page = match self.page_bytes {
            Some(bytes) => format!("pages of {}", ByteCount::new(bytes)),
            None => "pages by object size".to_owned(),
        };
        format!(
            "{} of random data in {} of fast memory, {page}; {} round(s) of each side in turn, {} \
             rewrites each\nLinux {}, {}, {} CPU(s), commit {}",
            ByteCount::new(self.data_bytes),
            ByteCount::new(self.fast_bytes),
            self.rounds,
            self.ops,
            self.machine.kernel,
            self.machine.cpu,
            self.machine.cpus,
            self.machine.commit,
        )
    }

    fn what_swapped(&self) -> String {
        let Setup { cgroup, limit_bytes, algorithm, swappiness, page_cluster, .. } = &self.swap;
        let Sight { swapped_in_pages, swapped_out_pages, .. } = self.swapped;
        format!(
            "zram: {swapped_out_pages} pages swapped out, {swapped_in_pages} in; {algorithm}, \
             cgroup {cgroup:?} limited to {}, swappiness {swappiness}, page-cluster {page_cluster}",
            ByteCount::new(*limit_bytes),
        )
    }

    fn verdict(&self) -> String {
        let checked = ByteCount::new(self.bytes_verified);
        match self.mismatches {
            0 => format!("all right: {checked} checked on both sides, no byte wrong"),
            wrong => {
                let (ours, zram) = (self.ours.mismatches, self.zram.mismatches);
                format!("NOT RIGHT: {wrong} wrong bytes in {checked}: {ours} ours, {zram} of zram")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    fn side(gbps: [f64; 2], micros: [f64; 2]) -> Side {
        Side {
            write_gbps: gbps.to_vec(),
            read_gbps: gbps.to_vec(),
            uniform_mean_us: micros.to_vec(),
            uniform: Latencies::new(),
            bytes_verified: 7,
            mismatches: Mismatches::default(),
        }
    }

    #[test]
    fn throughput_is_ours_over_theirs_and_so_is_time() {
        let (ours, zram) = (side([2.0, 4.0], [5.0, 10.0]), side([1.0, 1.0], [10.0, 10.0]));
        let ratios = PeerSpread::new(&ours, &zram).medians();
        assert_eq!(ratios.write_sweep, Some(3.0));
        assert_eq!(ratios.read_sweep, Some(3.0));
        assert_eq!(ratios.uniform_mean, Some(0.75));
    }
}
