//! The first page of a swap area, as mkswap(8) writes it (linux/swap.h, `union swap_header`).

/// The page size that the area is made for.
const PAGE_BYTES: u64 = 4096;

/// Where the fields lie; the first kilobyte is left to boot sectors.
const VERSION_AT: usize = 1024;
const LAST_PAGE_AT: usize = 1028;
const UUID_AT: usize = 1036;
const LABEL_AT: usize = 1052;
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";

const VERSION: u32 = 1;
const LABEL: &[u8; 8] = b"bo-bench";

/// The header of an area of `bytes`. `None` if no page would be left for swapping, or there are
/// more than the header can number.
pub(super) fn header(bytes: u64, uuid: [u8; 16]) -> Option<Vec<u8>> {
    let last_page = u32::try_from((bytes / PAGE_BYTES).checked_sub(1)?).ok()?;
    if last_page == 0 {
        return None;
    }
    let mut page = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    // In the byte order of the machine, which is how the kernel reads them.
    put(VERSION_AT, &VERSION.to_ne_bytes());
    put(LAST_PAGE_AT, &last_page.to_ne_bytes());
    put(UUID_AT, &uuid);
    put(LABEL_AT, LABEL);
    put(4096 - SIGNATURE.len(), SIGNATURE);
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_the_kernel_looks_for() {
        let page = header(64 << 20, [7; 16]).expect("a legal size");
        assert_eq!(page.len(), 4096);
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        assert_eq!(page[1024..1028], 1u32.to_ne_bytes());
        assert_eq!(page[1028..1032], 16383u32.to_ne_bytes());
        // No bad pages.
        assert_eq!(page[1032..1036], [0; 4]);
        assert_eq!(page[1036..1052], [7; 16]);
        assert_eq!(&page[1052..1060], b"bo-bench");
        assert!(page[..1024].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn part_of_a_page_at_the_end_is_not_swapped_to() {
        let page = header(3 * 4096 + 17, [0; 16]).expect("a legal size");
        assert_eq!(page[1028..1032], 2u32.to_ne_bytes());
    }

    #[test]
    fn an_area_without_room_has_no_header() {
        assert_eq!(header(0, [0; 16]), None);
        assert_eq!(header(4096, [0; 16]), None);
        assert_eq!(header(u64::MAX, [0; 16]), None);
    }
}
