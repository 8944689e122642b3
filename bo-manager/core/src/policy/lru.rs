//! Least recently used, over what can be seen: fills and touches.

use crate::frames::{FrameId, FrameList};
use crate::page::PageKey;
use crate::policy::EvictionPolicy;

/// Evicts what was filled or touched longest ago.
#[derive(Debug, Default)]
pub struct Lru {
    order: FrameList,
}

impl EvictionPolicy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn on_filled(&mut self, frame: FrameId, _page: PageKey) {
        self.order.push_hottest(frame);
    }

    fn on_touched(&mut self, frame: FrameId) {
        if self.order.remove(frame) {
            self.order.push_hottest(frame);
        }
    }

    fn on_gone(&mut self, frame: FrameId) {
        self.order.remove(frame);
    }

    fn propose(
        &self,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut found = 0;
        for frame in self.order.iter() {
            if found >= want {
                return;
            }
            if let Some(bytes) = size_if_evictable(frame) {
                victims.push(frame);
                found += bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bo_units::PageIndex;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(prepare: impl Fn(&mut Lru), want: u64, stay: &[u32], expected: &[u32]) {
        let mut lru = Lru::default();
        for number in 0..4 {
            let key = PageKey { object: 0, page: PageIndex::new(number) };
            lru.on_filled(FrameId(number), key);
        }
        prepare(&mut lru);
        let mut victims = Vec::new();
        lru.propose(want, &|frame| (!stay.contains(&frame.0)).then_some(1), &mut victims);
        let numbers: Vec<u32> = victims.iter().map(|frame| frame.0).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_oldest_fill_leaves_first() {
        check(|_| {}, 2, &[], &[0, 1]);
    }

    #[test]
    fn a_touched_page_leaves_last() {
        check(|lru| lru.on_touched(FrameId(0)), 4, &[], &[1, 2, 3, 0]);
    }

    #[test]
    fn a_page_that_must_stay_cannot_be_chosen() {
        check(|_| {}, 2, &[0, 2], &[1, 3]);
    }

    #[test]
    fn a_page_that_is_gone_cannot_be_chosen() {
        check(|lru| lru.on_gone(FrameId(1)), 9, &[], &[0, 2, 3]);
    }

    #[test]
    fn a_touch_cannot_bring_back_what_is_gone() {
        let prepare = |lru: &mut Lru| {
            lru.on_gone(FrameId(1));
            lru.on_touched(FrameId(1));
        };
        check(prepare, 9, &[], &[0, 2, 3]);
    }

    proptest! {
        #[test]
        fn it_proposes_the_coldest_that_may_leave_and_no_more_than_needed(
            steps in proptest::collection::vec((0_u32..8, 0_u8..3), 0..100),
            want in 0_u64..40,
            stay in 0_u32..256,
        ) {
            let mut lru = Lru::default();
            let mut model: Vec<u32> = Vec::new();
            for (number, what) in steps {
                let (frame, known) = (FrameId(number), model.contains(&number));
                match what {
                    0 if !known => {
                        lru.on_filled(frame, PageKey { object: 0, page: PageIndex::new(number) });
                        model.push(number);
                    }
                    1 => {
                        lru.on_touched(frame);
                        model.retain(|each| *each != number);
                        model.extend(known.then_some(number));
                    }
                    _ => {
                        lru.on_gone(frame);
                        model.retain(|each| *each != number);
                    }
                }
            }
            let bytes = |number: u32| (stay & (1 << number) == 0).then_some(u64::from(number) + 1);
            let mut right = Vec::new();
            let mut found = 0;
            for number in model {
                if let Some(size) = bytes(number).filter(|_| found < want) {
                    right.push(FrameId(number));
                    found += size;
                }
            }
            let mut victims = Vec::new();
            lru.propose(want, &|frame| bytes(frame.0), &mut victims);
            prop_assert_eq!(victims, right);
        }
    }
}
