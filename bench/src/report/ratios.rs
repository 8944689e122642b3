//! Figures as multiples of what this machine did by itself in the same run.

use serde::Serialize;

use crate::calibration::Calibration;
use crate::report::{Figures, Report};

/// `None` when one side was not measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratios {
    /// Resident access, object to ordinary memfd.
    pub(crate) hit: Option<f64>,
    /// Write sweep to memcpy.
    pub(crate) write_sweep: Option<f64>,
    /// Read sweep to memcpy.
    pub(crate) read_sweep: Option<f64>,
    /// Median fault to the ping-pong on one CPU.
    pub(crate) fault_p50: Option<f64>,
    /// Throughput of all clients to that of one.
    pub(crate) clients_to_one: Option<f64>,
}

impl Ratios {
    pub(super) fn new(calibration: &Calibration, figures: &Figures) -> Ratios {
        let memcpy = Some(calibration.memcpy_gbps);
        let together = Some(figures.scene.throughput());
        let fault_p50 = figures.scene.storm.fault.percentiles().p50;
        Ratios {
            hit: quotient(Some(figures.hit.object_ns), Some(figures.hit.plain_ns)),
            write_sweep: quotient(figures.sweep.write_gbps(), memcpy),
            read_sweep: quotient(figures.sweep.read_gbps(), memcpy),
            fault_p50: quotient(fault_p50, Some(calibration.pingpong_same_cpu_us)),
            clients_to_one: quotient(
                together,
                figures.one_client.as_ref().map(|one| one.throughput()),
            ),
        }
    }
}

fn quotient(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    match (above, below) {
        (Some(above), Some(below)) if 0.0 < below => Some(above / below),
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// One ratio and what it should be.
pub(super) struct Bar {
    pub(super) what: &'static str,
    pub(super) ratio: f64,
    pub(super) aim: Aim,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
    /// The aim is stated for other settings than these.
    NotForThese,
}

impl Aim {
    pub(crate) fn is_met(self, ratio: f64) -> Option<bool> {
        match self {
            Aim::AtMost(most) => Some(ratio <= most),
            Aim::AtLeast(least) => Some(least <= ratio),
            Aim::NotForThese => None,
        }
    }
}

/// The measured ratios with their aims, for the settings that each aim is about.
pub(super) fn bars(report: &Report) -> Vec<Bar> {
    let settings = &report.settings;
    let when = |applies: bool, aim: Aim| if applies { aim } else { Aim::NotForThese };
    let alone = settings.clients == 1 && settings.threads == 1;
    let large_pages = report.page_bytes == 64 << 10;
    let small_pages = report.page_bytes == 4 << 10 && alone && settings.write_ratio == 1.0;
    let Ratios { hit, write_sweep, read_sweep, fault_p50, clients_to_one } = report.ratios;
    [
        ("resident access, to an ordinary memfd", hit, Aim::AtMost(1.02)),
        ("write sweep, to memcpy", write_sweep, when(large_pages, Aim::AtLeast(0.08))),
        ("read sweep, to memcpy", read_sweep, when(large_pages, Aim::AtLeast(0.10))),
        ("fault p50, to a ping-pong on one CPU", fault_p50, when(small_pages, Aim::AtMost(4.0))),
        (
            "throughput of all clients, to one",
            clients_to_one,
            when(settings.clients == 4, Aim::AtLeast(0.9)),
        ),
    ]
    .into_iter()
    .filter_map(|(what, ratio, aim)| ratio.map(|ratio| Bar { what, ratio, aim }))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_at_its_edge() {
        assert_eq!(Aim::AtMost(1.02).is_met(1.02), Some(true));
        assert_eq!(Aim::AtLeast(0.08).is_met(0.08), Some(true));
    }

    #[test]
    fn an_aim_can_be_missed() {
        assert_eq!(Aim::AtMost(4.0).is_met(4.1), Some(false));
        assert_eq!(Aim::AtLeast(0.9).is_met(0.89), Some(false));
    }

    #[test]
    fn an_aim_for_other_settings_is_neither() {
        assert_eq!(Aim::NotForThese.is_met(1.0), None);
    }

    #[test]
    fn nothing_can_be_compared_with_zero() {
        assert_eq!(quotient(Some(1.0), Some(0.0)), None);
        assert_eq!(quotient(None, Some(1.0)), None);
        assert_eq!(quotient(Some(3.0), Some(2.0)), Some(1.5));
    }
}
