//! Pages, bytes, rates, ids and ticks: what every part of the buffer-object manager counts in.
//!
//! An index, a count and a size are three types here, with named conversions between them, so that
//! a unit cannot get lost on its way through a function call. Nothing in this crate knows what a
//! page is for, where it lies, or who owns it.
//!
//! # Example
//!
//! ```
//! use bo_units::{ByteCount, PageCount, PageIndex, PageSize};
//!
//! let size: ByteCount = "1.5 MiB".parse()?;
//! let page = PageSize::for_object(size);
//! assert_eq!(page, PageSize::KIB_64);
//! assert_eq!(size.pages_ceil(page), Some(PageCount::new(24)));
//! assert_eq!(PageIndex::new(2).offset(page), 128 * 1024);
//! assert_eq!(size.to_string(), "1.5 MiB");
//! # Ok::<(), bo_units::ParseByteCountError>(())
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod duration;
mod ids;
mod page_size;
mod pages;
mod rate;
mod tick;

pub use bytes::{ByteCount, ParseByteCountError};
pub use duration::{ParseDurationError, parse_duration, show_duration};
pub use ids::{ClientId, MappingId, ObjectId, ParseIdError};
pub use page_size::{PageSize, PageSizeError, ParsePageSizeError};
pub use pages::{PageCount, PageIndex, PageRange, PageRangeIter};
pub use rate::{ByteRate, ParseByteRateError};
pub use tick::Tick;
