//! What a suspended client had in the pool comes back when it goes on.

use std::sync::Arc;

use bo_core::{Prefetch, Refusal, Resumed};
use bo_units::{ClientId, ObjectId, PageRange};

use crate::limits::{PREFETCH_PAUSE, PREFETCH_STEPS};
use crate::shell::Shell;

/// Fetches a working set, run after run, as long as there is room for it or for what is older than
/// the resume. Ends early if the client is suspended again, or gone.
pub(crate) async fn fetch(shell: Arc<Shell>, client: ClientId, resumed: Resumed) {
    for (object, range) in &resumed.working_set {
        let mut rest = Some(*range);
        while let Some(range) = rest {
            let step =
                tokio::task::block_in_place(|| some(&shell, client, *object, range, &resumed));
            match step {
                Step::Goes(then) => rest = then,
                Step::Waits(then) => {
                    rest = Some(then);
                    tokio::time::sleep(PREFETCH_PAUSE).await;
                }
                Step::Ends => return,
            }
            tokio::task::yield_now().await;
        }
        // More at a time than the link has brought would only make everybody else wait behind it.
        while shell.link.is_some() && is_arriving(&shell, client, *object, *range) {
            tokio::time::sleep(PREFETCH_PAUSE).await;
        }
    }
}

enum Step {
    /// What is left of the run.
    Goes(Option<PageRange>),
    /// Others are making way.
    Waits(PageRange),
    /// Nothing more will come.
    Ends,
}

fn some(
    shell: &Shell,
    client: ClientId,
    object: ObjectId,
    range: PageRange,
    resumed: &Resumed,
) -> Step {
    let mut range = range;
    for _ in 0..PREFETCH_STEPS {
        let step =
            shell.decide(|core, now| core.prefetch(now, client, object, range, resumed.start));
        let rest = match step {
            Ok(Prefetch::Started { run }) => PageRange::between(run.end(), range.end()),
            Ok(Prefetch::MakingRoom) => return Step::Waits(range),
            Ok(Prefetch::Full) => return Step::Ends,
            // The client may hold it no more.
            Ok(Prefetch::Done) | Err(Refusal::Gone | Refusal::Range) => None,
            Err(_) => return Step::Ends,
        };
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Step::Goes(None) };
        range = rest;
    }
    Step::Goes(Some(range))
}

fn is_arriving(shell: &Shell, client: ClientId, object: ObjectId, range: PageRange) -> bool {
    shell.lock().is_arriving(client, object, range).unwrap_or(false)
}
