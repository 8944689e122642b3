//! What to ask for when allocating.

use bo_units::{ByteCount, PageSize};
use bo_wire::{Label, Placement, Request};

/// What kind of object to allocate: its size, and wishes that all have an answer of their own.
///
/// # Example
///
/// ```
/// use bo_client::{AllocSpec, PageSize, Placement};
///
/// let spec = AllocSpec::new(64 << 20)
///     .page_size(PageSize::KIB_64)
///     .placement(Placement::Vram)
///     .label("vertex buffer");
/// assert_eq!(spec.size().to_string(), "64 MiB");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a specification allocates nothing until it is given to `Client::allocate`"]
pub struct AllocSpec {
    pub(crate) bytes: ByteCount,
    pub(crate) page_size: Option<PageSize>,
    pub(crate) placement: Placement,
    pub(crate) label: Label,
}

impl AllocSpec {
    /// `bytes` bytes, in VRAM while there is room, with pages of the daemon's choice and no label.
    ///
    /// The size is rounded up to whole pages. Zero is refused when allocating.
    pub fn new(bytes: u64) -> AllocSpec {
        AllocSpec {
            bytes: ByteCount::new(bytes),
            page_size: None,
            placement: Placement::Vram,
            label: Label::default(),
        }
    }

    /// Asks for pages of `size`, the unit in which the object moves in and out of VRAM.
    pub fn page_size(self, size: PageSize) -> AllocSpec {
        AllocSpec { page_size: Some(size), ..self }
    }

    /// Gives the object a name for operators to see.
    ///
    /// Control characters are left out, and so is what comes after 64 bytes.
    pub fn label(self, label: &str) -> AllocSpec {
        AllocSpec { label: Label::truncated(label), ..self }
    }

    /// Says where the pages would rather be.
    pub fn placement(self, placement: Placement) -> AllocSpec {
        AllocSpec { placement, ..self }
    }

    /// The size that will be asked for.
    #[must_use]
    pub fn size(&self) -> ByteCount {
        self.bytes
    }

    pub(crate) fn to_request(&self) -> Request {
        let page_bytes = self
            .page_size
            .map(|size| u32::try_from(size.bytes()).expect("a page is at most 2 MiB"));
        Request::Allocate {
            bytes: self.bytes.get(),
            page_bytes,
            placement: self.placement,
            label: self.label.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_specification_leaves_the_page_size_to_the_daemon() {
        let request = AllocSpec::new(5).to_request();
        let expected = Request::Allocate {
            bytes: 5,
            page_bytes: None,
            placement: Placement::Vram,
            label: Label::default(),
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn wishes_are_passed_on() {
        let spec = AllocSpec::new(5).page_size(PageSize::MAX).placement(Placement::Ram);
        let expected = Request::Allocate {
            bytes: 5,
            page_bytes: Some(2 << 20),
            placement: Placement::Ram,
            label: Label::truncated("a name"),
        };
        assert_eq!(spec.label("a\x1b name").to_request(), expected);
    }
}
