//! The runs of one trace: every policy, view and pool, as many at a time as there are CPUs.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::policy::belady::{next_uses, optimum};
use crate::policy::figures::Figures;
use crate::policy::pools::Pool;
use crate::policy::replay::{self, View};
use crate::policy::trace::Trace;

/// One policy in one pool. The names of the fields are keys of the JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) policy: String,
    pub(crate) view: View,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Misses as a multiple of the optimum's.
    pub(crate) to_optimum: Option<f64>,
    /// Misses as a multiple of those recorded.
    pub(crate) to_recorded: Option<f64>,
    /// CPU time of the thread that ran it.
    pub(crate) cpu_seconds: f64,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Column {
    /// As it was asked for.
    pub(crate) pool: String,
    pub(crate) bytes: u64,
    /// Of the bytes of all pages that are accessed.
    pub(crate) share: f64,
    /// Belady's; `null` if the pages are not all of one size.
    pub(crate) optimum: Option<Figures>,
    pub(crate) runs: Vec<Run>,
}

impl Column {
    pub(crate) fn run(&self, policy: &str, view: View) -> Option<&Run> {
        self.runs.iter().find(|run| run.policy == policy && run.view == view)
    }
}

enum Task<'a> {
    Optimum,
    Replay(&'a str, View),
}

enum Done {
    Optimum(Figures),
    Replay(Figures, f64),
}

/// Runs everything.
///
/// # Errors
///
/// If a run finds that its figures are not the core's.
pub(crate) fn run(
    trace: &Trace,
    pools: &[Pool],
    policies: &[String],
    views: &[View],
) -> Result<Vec<Column>> {
    let unit = trace.page_size();
    let next = unit.map(|_| next_uses(trace)).unwrap_or_default();
    let replays = policies
        .iter()
        .flat_map(|policy| views.iter().map(move |view| Task::Replay(policy.as_str(), *view)));
    let tasks: Vec<Task<'_>> = unit.iter().map(|_| Task::Optimum).chain(replays).collect();
    let count = pools.len() * tasks.len();
    let done: Mutex<Vec<Option<Result<Done>>>> = Mutex::new((0..count).map(|_| None).collect());
    let taken = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = taken.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let (pool, task) = (&pools[number / tasks.len()], &tasks[number % tasks.len()]);
            let result = match task {
                Task::Optimum => {
                    let page_bytes = unit.map_or(1, |size| size.bytes());
                    let pages = pool.bytes / page_bytes;
                    Ok(Done::Optimum(optimum(trace, &next, pages, page_bytes)))
                }
                Task::Replay(policy, view) => {
                    let start = cpu_seconds();
                    replay::run(trace, policy, *view, pool.bytes)
                        .with_context(|| format!("cannot replay {} under {policy}", trace.name))
                        .map(|figures| Done::Replay(figures, cpu_seconds() - start))
                }
            };
            let mut done = done.lock().expect("no run panics with the lock");
            done[number] = Some(result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(count.max(1));
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut done = done.into_inner().expect("no run panics with the lock").into_iter().flatten();
    let recorded = trace.recorded().map(|recorded| recorded.misses);
    pools.iter().map(|pool| column(pool, &tasks, recorded, &mut done)).collect()
}

/// CPU time of this thread so far. Other work on the machine is no part of it.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn column(
    pool: &Pool,
    tasks: &[Task<'_>],
    recorded: Option<u64>,
    done: &mut impl Iterator<Item = Result<Done>>,
) -> Result<Column> {
    let mut column = Column {
        pool: pool.label.clone(),
        bytes: pool.bytes,
        share: pool.share,
        optimum: None,
        runs: Vec::new(),
    };
    for (task, done) in tasks.iter().zip(done) {
        match (task, done?) {
            (_, Done::Optimum(figures)) => column.optimum = Some(figures),
            (Task::Replay(policy, view), Done::Replay(figures, cpu_seconds)) => {
                let least = column.optimum.as_ref().map(|optimum| optimum.misses);
                let times = |of: Option<u64>| {
                    of.filter(|of| *of > 0).map(|of| figures.misses as f64 / of as f64)
                };
                column.runs.push(Run {
                    policy: (*policy).to_owned(),
                    view: *view,
                    to_optimum: times(least),
                    to_recorded: times(recorded),
                    figures,
                    cpu_seconds,
                });
            }
            (Task::Optimum, Done::Replay(..)) => {}
        }
    }
    Ok(column)
}
