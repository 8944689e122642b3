//! Sizes of pools on the command line.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use bo_units::{ByteCount, PageSize};

use crate::policy::trace::Trace;
use crate::sizes;

/// Sixteen pages must fit: an instruction can touch several, and each must still be there when the
/// last has come.
const PAGES_MIN: u64 = 16;

/// A size as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// Of the footprint, or of the pool that was recorded.
    Percent(f64),
    Pages(u64),
    Bytes(ByteCount),
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Percent(percent) => write!(f, "{percent}%"),
            Size::Pages(pages) => write!(f, "{pages}p"),
            Size::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let size = if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.trim().parse::<f64>().ok();
            Size::Percent(percent.filter(|percent| percent.is_finite()).ok_or(NEEDED)?)
        } else if let Some(pages) = text.strip_suffix('p') {
            Size::Pages(pages.trim().parse().map_err(|_| NEEDED)?)
        } else {
            Size::Bytes(text.parse().map_err(|error| format!("{NEEDED}: {error}"))?)
        };
        match size {
            Size::Percent(percent) if percent <= 0.0 => Err("a pool of 0 holds no page".into()),
            Size::Percent(percent) if percent > 1e6 => Err("that is more than 1000000%".into()),
            Size::Pages(0) | Size::Bytes(ByteCount::ZERO) => {
                Err("a pool of 0 holds no page".into())
            }
            Size::Percent(_) | Size::Pages(_) | Size::Bytes(_) => Ok(size),
        }
    }
}

const NEEDED: &str = "a pool is a percentage such as 10%, pages such as 1000p, or a size such as \
                      64MiB";

/// One pool of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pool {
    /// As it was asked for.
    pub(crate) label: String,
    pub(crate) bytes: u64,
    /// Of the footprint.
    pub(crate) share: f64,
}

/// What percentages are of: all pages of the trace, or the pool in which it was recorded.
pub(crate) fn whole(trace: &Trace) -> u64 {
    trace.recorded().map_or(trace.footprint().get(), |recorded| recorded.pool_bytes)
}

/// The pool of this size for this trace, in whole pages.
///
/// # Errors
///
/// If sixteen of its largest pages do not fit.
pub(crate) fn pool(trace: &Trace, size: Size) -> Result<Pool> {
    let sizes = trace.shapes.iter().map(|shape| shape.page_size);
    let page = sizes.max_by_key(|size| size.bytes()).unwrap_or(PageSize::MIN).bytes();
    let bytes = match size {
        Size::Percent(percent) => sizes::floor(whole(trace) as f64 * percent / 100.0),
        Size::Pages(pages) => pages.saturating_mul(page),
        Size::Bytes(bytes) => bytes.get(),
    };
    let bytes = bytes.min(1 << 52) / page * page;
    ensure!(
        bytes >= PAGES_MIN * page,
        "a pool of {size} is {} pages of {} here: at least {PAGES_MIN} must fit",
        bytes / page,
        ByteCount::new(page)
    );
    let share = bytes as f64 / trace.footprint().get() as f64;
    Ok(Pool { label: size.to_string(), bytes, share })
}

/// The sizes of a trace for which none was asked: those of them that hold sixteen pages.
pub(crate) fn usual(trace: &Trace) -> Vec<Size> {
    let percents: &[f64] = match trace.recorded() {
        Some(_) => &[50.0, 100.0, 200.0],
        None => &[1.0, 5.0, 10.0, 30.0],
    };
    let sizes = percents.iter().map(|percent| Size::Percent(*percent));
    sizes.filter(|size| pool(trace, *size).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::trace::{Builder, Kind};

    fn trace(pages: u64) -> Trace {
        let mut builder = Builder::default();
        (0..pages).for_each(|page| builder.add(page, false));
        builder.finish("a trace".into(), Kind::OracleGeneral, 1 << 28)
    }

    fn size(text: &str) -> Size {
        text.parse().expect("a size")
    }

    #[test]
    fn sizes_are_shares_pages_or_bytes() {
        let trace = trace(1000);
        let bytes = |text| pool(&trace, size(text)).expect("sixteen pages fit").bytes;
        assert_eq!(bytes("10%"), 100 * 4096);
        assert_eq!(bytes("2.55%"), 25 * 4096, "whole pages");
        assert_eq!(bytes("30p"), 30 * 4096);
        assert_eq!(bytes("1MiB"), 1 << 20);
        assert_eq!(size("2.5%").to_string(), "2.5%");
    }

    #[test]
    fn no_pool_and_nonsense_are_refused() {
        for (text, why) in [
            ("0%", "holds no page"),
            ("-1%", "holds no page"),
            ("0p", "holds no page"),
            ("0B", "holds no page"),
            ("nan%", "a percentage such as"),
            ("p", "pages such as"),
            ("64MB", "MiB"),
            ("much", "a size such as"),
        ] {
            let error = text.parse::<Size>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn too_small_a_pool_is_refused_with_the_numbers_and_is_not_usual() {
        let trace = trace(1000);
        let error = pool(&trace, size("1%")).expect_err("ten pages").to_string();
        assert!(error.contains("10 pages") && error.contains("at least 16"), "{error}");
        let usual: Vec<String> = usual(&trace).iter().map(Size::to_string).collect();
        assert_eq!(usual, ["5%", "10%", "30%"]);
    }
}
