//! What the daemon says about itself over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A daemon that does not answer a status request in this time is not well.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The parts of `/api/v1/status` that a bench needs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) pools: Vec<Pool>,
    pub(crate) counters: Counters,
    pub(crate) stages: BTreeMap<String, Stage>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) capacity_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) peak_bytes: u64,
}

/// Totals since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Counters {
    /// Fault events read.
    pub(crate) faults: u64,
    pub(crate) refaults: u64,
    pub(crate) evictions: u64,
    pub(crate) evicted_bytes: u64,
    pub(crate) filled_bytes: u64,
}

impl Counters {
    fn since(&self, then: &Counters) -> Counters {
        Counters {
            faults: self.faults - then.faults,
            refaults: self.refaults - then.refaults,
            evictions: self.evictions - then.evictions,
            evicted_bytes: self.evicted_bytes - then.evicted_bytes,
            filled_bytes: self.filled_bytes - then.filled_bytes,
        }
    }
}

/// Time spent in one stage, all threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(crate) struct Stage {
    pub(crate) seconds: f64,
    pub(crate) count: u64,
}

impl Status {
    /// Asks the daemon at `http`.
    ///
    /// # Errors
    ///
    /// When nobody answers there, or not in the form of a status.
    pub(crate) fn fetch(http: SocketAddr) -> Result<Status> {
        let text = get(http, "/api/v1/status")?;
        serde_json::from_str(&text)
            .with_context(|| format!("cannot understand the status of the daemon at {http}"))
    }

    /// The pool of this name.
    ///
    /// # Errors
    ///
    /// When the daemon has none.
    pub(crate) fn pool(&self, name: &str) -> Result<&Pool> {
        let pool = self.pools.iter().find(|pool| pool.name == name);
        pool.with_context(|| format!("the daemon shows no pool named {name}"))
    }

    /// What happened between `earlier` and now.
    pub(crate) fn since(&self, earlier: &Status) -> Change {
        let stage = |name: &str| {
            let now = self.stages.get(name).copied().unwrap_or_default();
            let then = earlier.stages.get(name).copied().unwrap_or_default();
            Stage { seconds: now.seconds - then.seconds, count: now.count - then.count }
        };
        Change {
            counters: self.counters.since(&earlier.counters),
            fill: stage("fill"),
            evict: stage("evict"),
        }
    }
}

/// The difference of two statuses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) counters: Counters,
    pub(crate) fill: Stage,
    pub(crate) evict: Stage,
}

/// The body of one page of the daemon.
///
/// # Errors
///
/// When nobody answers in time, or with a failure.
pub(crate) fn get(http: SocketAddr, path: &str) -> Result<String> {
    let url = format!("http://{http}{path}");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).build().into();
    let failed = || format!("cannot read {url}: is --http the address of this daemon?");
    let mut answer = agent.get(&url).call().with_context(failed)?;
    answer.body_mut().read_to_string().with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(faults: u64, fill_seconds: f64) -> Status {
        let text = format!(
            r#"{{
                "pools": [
                    {{"name": "vram", "capacity_bytes": 8, "used_bytes": 2, "peak_bytes": 7}},
                    {{"name": "ram", "capacity_bytes": 9, "used_bytes": 0, "peak_bytes": 0}}
                ],
                "counters": {{
                    "faults": {faults}, "refaults": 1, "evictions": 3, "evicted_bytes": 4,
                    "filled_bytes": 5, "something_new": 6
                }},
                "stages": {{"fill": {{"seconds": {fill_seconds}, "count": 2}}}},
                "clients": [], "objects": []
            }}"#
        );
        serde_json::from_str(&text).expect("this is a status")
    }

    #[test]
    fn a_pool_is_found_by_its_name() {
        assert_eq!(status(0, 0.0).pool("vram").expect("there is one").peak_bytes, 7);
    }

    #[test]
    fn a_pool_that_is_not_there_cannot_be_found() {
        assert!(status(0, 0.0).pool("hbm").is_err());
    }

    #[test]
    fn a_change_is_what_happened_between_two_statuses() {
        let change = status(30, 2.0).since(&status(10, 0.5));
        assert_eq!(change.counters.faults, 20);
        assert_eq!(change.fill, Stage { seconds: 1.5, count: 0 });
        assert_eq!(change.evict, Stage::default());
    }
}
