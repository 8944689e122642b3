//! What must hold in every run, whatever its figures.

use bo_units::ByteCount;

use crate::report::{FaultCounts, Figures, Scene};
use crate::settings::{Limit, Settings};
use crate::status::Pool;

/// The rules that this run broke, as sentences.
pub(super) fn broken(settings: &Settings, figures: &Figures, vram: &Pool) -> Vec<String> {
    let mut broken = Vec::new();
    let Pool { name: _, capacity_bytes, used_bytes, peak_bytes } = vram;
    if capacity_bytes < peak_bytes.max(used_bytes) {
        broken.push(format!(
            "the VRAM pool held {} of a capacity of {}",
            ByteCount::new(*peak_bytes.max(used_bytes)),
            ByteCount::new(*capacity_bytes)
        ));
    }
    if figures.sweep.bytes < settings.sweep_bytes {
        broken.push(format!("only {} bytes of the sweep were checked", figures.sweep.bytes));
    }
    let wrong_in_sweep = figures.sweep.mismatches.bytes;
    if 0 < wrong_in_sweep {
        broken.push(format!("{wrong_in_sweep} bytes of the sweep were wrong"));
    }
    if let Some(rush) = &figures.rush {
        broken.extend(rush.broken());
    }
    for scene in figures.one_client.iter().chain([&figures.scene]) {
        check_scene(settings, scene, &mut broken);
    }
    broken
}

fn check_scene(settings: &Settings, scene: &Scene, broken: &mut Vec<String>) {
    let wrong = scene.storm.mismatches.bytes;
    if 0 < wrong {
        broken.push(format!("{wrong} bytes were wrong when the pattern read them"));
    }
    let wrong = scene.verify.mismatches.bytes;
    if 0 < wrong {
        broken.push(format!("{wrong} bytes were wrong at the end"));
    }
    if scene.verify.bytes < settings.data_bytes {
        broken.push(format!("only {} bytes were checked at the end", scene.verify.bytes));
    }
    match settings.limit {
        Limit::Ops(asked) if asked != scene.storm.ops => {
            broken.push(format!("{} operations were done instead of {asked}", scene.storm.ops));
        }
        Limit::Ops(_) | Limit::DurationMs(_) => {}
    }
    broken.extend(check_counts(scene.fault_counts()));
}

/// So few are chance: an interruption that fell together with a fault the kernel answers alone.
const FAULTS_UNSURE: u64 = 100;

/// The daemon may count fewer faults than its clients: a wake-up meant for a neighbour can let a
/// thread go before its own event is read, and a minor fault that the kernel answers alone looks
/// like one of the daemon's when the thread is interrupted in it. Half of them is too few.
fn check_counts(counts: FaultCounts) -> Option<String> {
    let FaultCounts { client, slow_without_fault: _, kernel, daemon } = counts;
    if kernel < client {
        return Some(format!("{client} operations faulted in {kernel} page faults"));
    }
    let daemon_min = (client / 2).saturating_sub(FAULTS_UNSURE);
    (daemon < daemon_min)
        .then(|| format!("the daemon counted {daemon} faults, its clients met {client}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(client: u64, kernel: u64, daemon: u64) -> FaultCounts {
        FaultCounts { client, slow_without_fault: 0, kernel, daemon }
    }

    #[test]
    fn counts_that_agree_break_no_rule() {
        assert_eq!(check_counts(counts(1000, 1010, 990)), None);
    }

    #[test]
    fn faults_cannot_escape_the_daemon() {
        assert!(check_counts(counts(1000, 1010, 300)).is_some());
    }

    #[test]
    fn an_operation_cannot_fault_without_a_page_fault() {
        assert!(check_counts(counts(1000, 900, 1000)).is_some());
    }
}
