//! Least recently used, over what can be seen: fills and touches.

use crate::frames::{FrameId, FrameList};
use crate::page::PageKey;
use crate::policy::EvictionPolicy;

/// Evicts what was filled or touched longest ago.
#[derive(Debug, Default)]
pub struct Lru {
    order: FrameList,
    surveyed: Surveyed,
}

/// The cold end of the list, as far as the cleaner has looked at it. What is touched or leaves is
/// no part of it any more, so it is one run from the coldest frame on, and each frame is looked at
/// once for each time that it grows cold.
#[derive(Debug, Default)]
struct Surveyed {
    /// Its hottest frame.
    last: Option<FrameId>,
    bytes: u64,
    /// For each frame the binary logarithm of its bytes; zero for those that are not in it.
    shifts: Vec<u8>,
}

impl Surveyed {
    fn add(&mut self, frame: FrameId, bytes: u64) {
        if self.shifts.len() <= frame.index() {
            self.shifts.resize(frame.index() + 1, 0);
        }
        assert!(bytes.is_power_of_two() && 1 < bytes, "a page has a power of two bytes");
        self.shifts[frame.index()] = u8::try_from(bytes.trailing_zeros()).expect("at most 63");
        self.bytes += bytes;
        self.last = Some(frame);
    }

    /// `frame` is about to leave its place in `order`.
    fn remove(&mut self, frame: FrameId, order: &FrameList) {
        let Some(shift) = self.shifts.get_mut(frame.index()) else { return };
        if *shift == 0 {
            return;
        }
        self.bytes -= 1 << *shift;
        *shift = 0;
        if self.last == Some(frame) {
            self.last = order.colder(frame);
        }
    }

    /// The first frame that is not in it.
    fn next(&self, order: &FrameList) -> Option<FrameId> {
        match self.last {
            Some(last) => order.hotter(last),
            None => order.coldest(),
        }
    }
}

impl EvictionPolicy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn on_filled(&mut self, frame: FrameId, _page: PageKey) {
        self.order.push_hottest(frame);
    }

    fn on_touched(&mut self, frame: FrameId) {
        self.surveyed.remove(frame, &self.order);
        if self.order.remove(frame) {
            self.order.push_hottest(frame);
        }
    }

    fn on_gone(&mut self, frame: FrameId) {
        self.surveyed.remove(frame, &self.order);
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

    fn survey(
        &mut self,
        ahead: u64,
        want: u64,
        size: &dyn Fn(FrameId) -> u64,
        looked: &mut Vec<FrameId>,
    ) {
        let mut found = 0;
        while found < want && self.surveyed.bytes < ahead {
            let Some(frame) = self.surveyed.next(&self.order) else { return };
            let bytes = size(frame);
            self.surveyed.add(frame, bytes);
            looked.push(frame);
            found += bytes;
        }
    }

    fn survey_left(&self, ahead: u64) -> u64 {
        match self.surveyed.next(&self.order) {
            Some(_) => ahead.saturating_sub(self.surveyed.bytes),
            None => 0,
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

    fn survey(lru: &mut Lru, ahead: u64, want: u64) -> Vec<u32> {
        let mut looked = Vec::new();
        lru.survey(ahead, want, &|_| 4, &mut looked);
        looked.iter().map(|frame| frame.0).collect()
    }

    fn filled(count: u32) -> Lru {
        let mut lru = Lru::default();
        for number in 0..count {
            lru.on_filled(FrameId(number), PageKey { object: 0, page: PageIndex::new(number) });
        }
        lru
    }

    #[test]
    fn a_survey_goes_on_where_it_stopped_and_no_further_than_it_may() {
        let mut lru = filled(6);
        assert_eq!(survey(&mut lru, 16, 8), [0, 1]);
        assert_eq!(lru.survey_left(16), 8);
        assert_eq!(survey(&mut lru, 16, 100), [2, 3]);
        assert_eq!(survey(&mut lru, 16, 100), []);
        lru.on_gone(FrameId(0));
        assert_eq!(survey(&mut lru, 16, 100), [4]);
    }

    #[test]
    fn a_touched_frame_is_surveyed_again_when_it_is_cold_again() {
        let mut lru = filled(3);
        assert_eq!(survey(&mut lru, 8, 8), [0, 1]);
        lru.on_touched(FrameId(1));
        assert_eq!(survey(&mut lru, 12, 100), [2, 1]);
        assert_eq!(lru.survey_left(12), 0, "everything was looked at");
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
        fn what_was_surveyed_is_the_cold_end(
            steps in proptest::collection::vec((0_u32..8, 0_u8..4), 0..200),
        ) {
            let mut lru = Lru::default();
            let mut model: Vec<(u32, bool)> = Vec::new();
            let bytes = |number: u32| 4096_u64 << (number % 3);
            for (number, what) in steps {
                let (frame, known) = (FrameId(number), model.iter().any(|at| at.0 == number));
                match what {
                    0 if !known => {
                        lru.on_filled(frame, PageKey { object: 0, page: PageIndex::new(number) });
                        model.push((number, false));
                    }
                    1 => {
                        lru.on_touched(frame);
                        model.retain(|at| at.0 != number);
                        model.extend(known.then_some((number, false)));
                    }
                    2 => {
                        lru.on_gone(frame);
                        model.retain(|at| at.0 != number);
                    }
                    _ => {
                        let mut looked = Vec::new();
                        lru.survey(20480, 1, &|frame| bytes(frame.0), &mut looked);
                        for frame in looked {
                            let next = model.iter_mut().find(|at| !at.1).expect("one is left");
                            prop_assert_eq!(next.0, frame.0);
                            next.1 = true;
                        }
                    }
                }
                let seen: u64 = model.iter().filter(|at| at.1).map(|at| bytes(at.0)).sum();
                prop_assert_eq!(lru.surveyed.bytes, seen);
                prop_assert!(model.is_sorted_by_key(|at| !at.1));
            }
        }

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
