//! Least recently used, over what can be seen: fills and touches.

use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::queue::{Order, Queue, Walk};
use crate::policy::{Books, Departure, EvictionPolicy};

/// Evicts what was filled or touched longest ago.
#[derive(Debug, Default)]
pub struct Lru {
    order: Queue,
}

impl EvictionPolicy for Lru {
    fn name(&self) -> &'static str {
        "lru"
    }

    fn on_filled(&mut self, books: &mut Books, frame: FrameId, _page: PageKey) {
        self.order.push(books, frame);
    }

    fn on_touched(&mut self, books: &mut Books, frame: FrameId) {
        if books.links.contains(frame) {
            self.order.renew(books, frame);
        }
    }

    fn on_gone(&mut self, books: &mut Books, frame: FrameId, _page: PageKey, _: Departure) {
        if books.links.contains(frame) {
            self.order.remove(books, frame);
        }
    }

    fn propose(
        &mut self,
        books: &mut Books,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) {
        let mut order = Order::new(want, size_if_evictable, victims);
        let mut walk = Walk::default();
        while !order.is_done() {
            let Some(frame) = walk.next(&self.order, books) else { return };
            walk.name(books, frame, &mut order);
        }
    }

    fn survey(&mut self, books: &mut Books, ahead: u64, want: u64, looked: &mut Vec<FrameId>) {
        let mut found = 0;
        while found < want && self.order.surveyed() < ahead {
            let Some(frame) = self.order.survey(books) else { return };
            looked.push(frame);
            found += books.bytes(frame);
        }
    }

    fn survey_left(&self, books: &Books, ahead: u64) -> u64 {
        match self.order.unseen(books) {
            Some(_) => ahead.saturating_sub(self.order.surveyed()),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use bo_units::PageIndex;
    use proptest::prelude::*;

    use super::*;

    /// The policy with its books, in a pool of frames of 4 KiB unless said otherwise.
    struct Shelf {
        lru: Lru,
        books: Books,
    }

    fn key(number: u32) -> PageKey {
        PageKey { object: 0, page: PageIndex::new(number) }
    }

    impl Shelf {
        fn filled(count: u32) -> Shelf {
            let mut shelf = Shelf { lru: Lru::default(), books: Books::new(1 << 20) };
            (0..count).for_each(|number| shelf.fill(number, 4096));
            shelf
        }

        fn fill(&mut self, number: u32, bytes: u64) {
            self.books.enter(FrameId(number), bytes);
            self.lru.on_filled(&mut self.books, FrameId(number), key(number));
        }

        fn touch(&mut self, number: u32) {
            self.lru.on_touched(&mut self.books, FrameId(number));
        }

        fn lose(&mut self, number: u32) {
            let departure = Departure::Evicted;
            self.lru.on_gone(&mut self.books, FrameId(number), key(number), departure);
        }

        fn propose(&mut self, want: u64, size: impl Fn(u32) -> Option<u64>) -> Vec<u32> {
            let mut victims = Vec::new();
            self.lru.propose(&mut self.books, want, &|frame| size(frame.0), &mut victims);
            victims.iter().map(|frame| frame.0).collect()
        }

        fn survey(&mut self, ahead: u64, want: u64) -> Vec<u32> {
            let mut looked = Vec::new();
            self.lru.survey(&mut self.books, ahead, want, &mut looked);
            looked.iter().map(|frame| frame.0).collect()
        }

        fn survey_left(&self, ahead: u64) -> u64 {
            self.lru.survey_left(&self.books, ahead)
        }
    }

    #[track_caller]
    fn check(prepare: impl Fn(&mut Shelf), want: u64, stay: &[u32], expected: &[u32]) {
        let mut shelf = Shelf::filled(4);
        prepare(&mut shelf);
        assert_eq!(shelf.propose(want, |at| (!stay.contains(&at)).then_some(1)), expected);
    }

    #[test]
    fn the_oldest_fill_leaves_first() {
        check(|_| {}, 2, &[], &[0, 1]);
    }

    #[test]
    fn a_touched_page_leaves_last() {
        check(|shelf| shelf.touch(0), 4, &[], &[1, 2, 3, 0]);
    }

    #[test]
    fn a_page_that_must_stay_cannot_be_chosen() {
        check(|_| {}, 2, &[0, 2], &[1, 3]);
    }

    #[test]
    fn a_page_that_is_gone_cannot_be_chosen() {
        check(|shelf| shelf.lose(1), 9, &[], &[0, 2, 3]);
    }

    #[test]
    fn a_survey_goes_on_where_it_stopped_and_no_further_than_it_may() {
        let mut shelf = Shelf::filled(6);
        assert_eq!(shelf.survey(4 * 4096, 2 * 4096), [0, 1]);
        assert_eq!(shelf.survey_left(4 * 4096), 2 * 4096);
        assert_eq!(shelf.survey(4 * 4096, 1 << 20), [2, 3]);
        assert_eq!(shelf.survey(4 * 4096, 1 << 20), [0_u32; 0]);
        shelf.lose(0);
        assert_eq!(shelf.survey(4 * 4096, 1 << 20), [4]);
    }

    #[test]
    fn a_touched_frame_is_surveyed_again_when_it_is_cold_again() {
        let mut shelf = Shelf::filled(3);
        assert_eq!(shelf.survey(2 * 4096, 2 * 4096), [0, 1]);
        shelf.touch(1);
        assert_eq!(shelf.survey(3 * 4096, 1 << 20), [2, 1]);
        assert_eq!(shelf.survey_left(3 * 4096), 0, "everything was looked at");
    }

    #[test]
    fn a_touch_cannot_bring_back_what_is_gone() {
        let prepare = |shelf: &mut Shelf| {
            shelf.lose(1);
            shelf.touch(1);
        };
        check(prepare, 9, &[], &[0, 2, 3]);
    }

    proptest! {
        #[test]
        fn what_was_surveyed_is_the_cold_end(
            steps in proptest::collection::vec((0_u32..8, 0_u8..4), 0..200),
        ) {
            let mut shelf = Shelf::filled(0);
            let mut model: Vec<(u32, bool)> = Vec::new();
            let bytes = |number: u32| 4096_u64 << (number % 3);
            for (number, what) in steps {
                let known = model.iter().any(|at| at.0 == number);
                match what {
                    0 if !known => {
                        shelf.fill(number, bytes(number));
                        model.push((number, false));
                    }
                    1 if known => {
                        shelf.touch(number);
                        model.retain(|at| at.0 != number);
                        model.push((number, false));
                    }
                    2 if known => {
                        shelf.lose(number);
                        model.retain(|at| at.0 != number);
                    }
                    _ => {
                        for number in shelf.survey(20480, 1) {
                            let next = model.iter_mut().find(|at| !at.1).expect("one is left");
                            prop_assert_eq!(next.0, number);
                            next.1 = true;
                        }
                    }
                }
                let seen: u64 = model.iter().filter(|at| at.1).map(|at| bytes(at.0)).sum();
                prop_assert_eq!(shelf.lru.order.surveyed(), seen);
                prop_assert!(model.is_sorted_by_key(|at| !at.1));
            }
        }

        #[test]
        fn it_proposes_the_coldest_that_may_leave_and_no_more_than_needed(
            steps in proptest::collection::vec((0_u32..8, 0_u8..3), 0..100),
            want in 0_u64..40,
            stay in 0_u32..256,
        ) {
            let mut shelf = Shelf::filled(0);
            let mut model: Vec<u32> = Vec::new();
            for (number, what) in steps {
                let known = model.contains(&number);
                match what {
                    0 if !known => {
                        shelf.fill(number, 4096);
                        model.push(number);
                    }
                    1 if known => {
                        shelf.touch(number);
                        model.retain(|each| *each != number);
                        model.push(number);
                    }
                    _ if known => {
                        shelf.lose(number);
                        model.retain(|each| *each != number);
                    }
                    _ => {}
                }
            }
            let bytes = |number: u32| (stay & (1 << number) == 0).then_some(u64::from(number) + 1);
            let mut right = Vec::new();
            let mut found = 0;
            for number in model {
                if let Some(size) = bytes(number).filter(|_| found < want) {
                    right.push(number);
                    found += size;
                }
            }
            prop_assert_eq!(shelf.propose(want, bytes), right);
        }
    }
}
