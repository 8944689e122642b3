//! A trace: which pages were used, in order.

use bo_units::{ByteCount, PageCount, PageSize};
use rustc_hash::FxHashMap;

/// The most pages that an object of the core can have.
pub(crate) const OBJECT_PAGES_MAX: u32 = 1 << 28;

/// One access: a number of a page, and whether it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u32);

impl Access {
    const WRITE: u32 = 1 << 31;

    pub(crate) fn new(page: u32, write: bool) -> Access {
        assert!(page < Access::WRITE, "pages are fewer than 2^31");
        Access(if write { page | Access::WRITE } else { page })
    }

    /// The number of the page among all pages of the trace.
    pub(crate) fn page(self) -> u32 {
        self.0 & !Access::WRITE
    }

    pub(crate) fn writes(self) -> bool {
        self.0 & Access::WRITE != 0
    }
}

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) object: u32,
    pub(crate) page: u32,
}

/// An object of the core, as large as the trace uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) pages: u32,
    pub(crate) page_size: PageSize,
}

/// An object that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Free {
    /// Before which access.
    pub(crate) before: usize,
    pub(crate) object: u32,
}

/// What a recording says besides which pages faulted.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Recorded {
    /// The policy of the daemon.
    pub(crate) policy: String,
    /// The size of its pool.
    pub(crate) pool_bytes: u64,
    /// Faults, among them those on pages that were there.
    pub(crate) faults: u64,
    /// Pages that were filled because a fault waited for them.
    pub(crate) misses: u64,
    /// Pages that were filled unasked. Their uses are not in the recording.
    pub(crate) filled_ahead: u64,
    /// Pages that were evicted.
    pub(crate) evictions: u64,
    /// Objects that were freed.
    pub(crate) freed: u64,
    /// Events that the writer could not keep up with.
    pub(crate) lost: u64,
    /// Bytes after the last whole record: the daemon was killed.
    pub(crate) cut_bytes: u64,
    /// From the first event to the last.
    pub(crate) seconds: f64,
}

/// Where a trace comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    OracleGeneral,
    Scenario { seed: u64 },
    Recording(Recorded),
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) accesses: Vec<Access>,
    /// In the order of `before`.
    pub(crate) frees: Vec<Free>,
    pub(crate) shapes: Vec<Shape>,
    /// One for each page that is accessed, by its number.
    pub(crate) places: Vec<Place>,
}

impl Trace {
    /// Different pages.
    pub(crate) fn pages(&self) -> u64 {
        crate::sizes::as_u64(self.places.len())
    }

    /// The page size, if all pages have the same.
    pub(crate) fn page_size(&self) -> Option<PageSize> {
        let first = self.shapes.first()?.page_size;
        self.shapes.iter().all(|shape| shape.page_size == first).then_some(first)
    }

    /// Bytes of all pages that are accessed.
    pub(crate) fn footprint(&self) -> ByteCount {
        let bytes = |place: &Place| self.shapes[place.object as usize].page_size.bytes();
        ByteCount::new(self.places.iter().map(bytes).sum())
    }

    pub(crate) fn writes(&self) -> u64 {
        crate::sizes::as_u64(self.accesses.iter().filter(|access| access.writes()).count())
    }

    /// The recording that it is, if it is one.
    pub(crate) fn recorded(&self) -> Option<&Recorded> {
        match &self.kind {
            Kind::Recording(recorded) => Some(recorded),
            Kind::OracleGeneral | Kind::Scenario { .. } => None,
        }
    }
}

/// Puts a trace together whose pages are numbered by their first appearance, whatever they are
/// called, and lie one after the other in as many objects as they need.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    numbers: FxHashMap<u64, u32>,
    accesses: Vec<Access>,
}

impl Builder {
    pub(crate) fn add(&mut self, name: u64, write: bool) {
        let next = u32::try_from(self.numbers.len()).expect("pages are fewer than 2^31");
        let page = *self.numbers.entry(name).or_insert(next);
        self.accesses.push(Access::new(page, write));
    }

    pub(crate) fn len(&self) -> usize {
        self.accesses.len()
    }

    /// The trace, with objects of at most `object_pages` pages of 4 KiB.
    pub(crate) fn finish(self, name: String, kind: Kind, object_pages: u32) -> Trace {
        let pages = u32::try_from(self.numbers.len()).expect("pages are fewer than 2^31");
        let places = (0..pages)
            .map(|number| Place { object: number / object_pages, page: number % object_pages });
        let shapes = (0..pages.div_ceil(object_pages)).map(|object| {
            let left = pages - object * object_pages;
            Shape { pages: left.min(object_pages), page_size: PageSize::MIN }
        });
        Trace {
            name,
            kind,
            accesses: self.accesses,
            frees: Vec::new(),
            shapes: shapes.collect(),
            places: places.collect(),
        }
    }
}

impl Shape {
    /// As the core wants it.
    pub(crate) fn parts(&self) -> (PageCount, PageSize) {
        (PageCount::new(self.pages), self.page_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbered_as_they_appear_and_share_objects() {
        let mut builder = Builder::default();
        for name in [700, 5, 700, 9, 1] {
            builder.add(name, name == 9);
        }
        let trace = builder.finish("a trace".into(), Kind::OracleGeneral, 3);
        let pages: Vec<u32> = trace.accesses.iter().map(|access| access.page()).collect();
        assert_eq!(pages, [0, 1, 0, 2, 3]);
        assert_eq!((trace.writes(), trace.pages()), (1, 4));
        assert_eq!(trace.shapes.iter().map(|shape| shape.pages).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(trace.places[3], Place { object: 1, page: 0 });
        assert_eq!(trace.footprint(), ByteCount::kib(16));
    }
}
