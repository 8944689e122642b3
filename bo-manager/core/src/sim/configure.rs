//! What the manager of a world is set up with.

use bo_units::ByteCount;

use crate::policy::NAMES;
use crate::sim::rng::Rng;
use crate::{CoreConfig, PrefetchConfig, PrefetchMode};

/// Small enough that everything collides.
pub(crate) fn configure(rng: &mut Rng) -> CoreConfig {
    let pages = |count: u64| ByteCount::new(count * 4096);
    let vram = rng.pick(&[16, 16, 16, 20, 32, 64, 200]);
    let ram = rng.pick(&[0, 8, 24, 40, 64, 96]);
    let mut config = CoreConfig::new(pages(vram), pages(ram));
    config.fault_around = pages(rng.pick(&[0, 2, 4, 4, 16]));
    let density = PrefetchMode::Density;
    let modes = [PrefetchMode::None, PrefetchMode::Stream, density, density];
    config.prefetch = PrefetchConfig {
        mode: rng.pick(&modes),
        threshold_percent: rng.pick(&[0, 0, 10, 30, 51, 100]),
        block: pages(rng.pick(&[2, 4, 8, 16, 512])),
        sample_every: rng.pick(&[1, 2, 5, 64]),
    };
    config.step_pages = rng.pick(&[1, 2, 5, 512]);
    config.marks.reclaim_start_free = pages(rng.pick(&[0, 2, 2, 6, vram / 3]));
    let more = pages(rng.pick(&[0, 1, 2, vram / 3]));
    config.marks.reclaim_stop_free = config.marks.reclaim_start_free.saturating_add(more);
    config.marks.reserve = pages(rng.pick(&[0, 1, vram / 8]));
    config.reclaim_yields = rng.chance(500);
    config.marks.clean_start =
        rng.pick(&[None, Some(0), Some(vram / 2), Some(vram - 2)]).map(pages);
    config.policy = rng.pick(NAMES).to_owned();
    config.limits.patterns = rng.pick(&[0, 1, 4096, 4096]);
    config
}
