//! In which order pages should leave: a policy for each priority of each account.

use crate::accounts::AccountId;
use crate::frames::FrameId;
use crate::page::PageKey;
use crate::policy::{self, Books, Departure, EvictionPolicy, Side};

/// How dear pages are to who charges for them. Those of a lower priority leave first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// 0: they leave before all others of their account.
    Low,
    /// 1: the usual one.
    #[default]
    Normal,
    /// 2.
    High,
    /// 3: they leave after all others of their account.
    Highest,
}

impl Priority {
    /// All, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Highest];

    /// 0 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
            Self::Highest => 3,
        }
    }
}

/// The policies that order the frames of one priority of one account.
#[derive(Debug)]
struct Group {
    policy: Box<dyn EvictionPolicy>,
    /// The one before, as long as it still orders some.
    former: Option<Box<dyn EvictionPolicy>>,
}

/// What is told to one policy at a time.
struct Voice<'a> {
    policy: &'a mut dyn EvictionPolicy,
    books: &'a mut Books,
}

/// All policies, and the books that they share.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// Of the policy in use.
    name: &'static str,
    /// Where what comes now is entered.
    side: Side,
    books: Books,
    /// By account and priority.
    groups: Vec<Option<Box<Group>>>,
}

/// Where the group of this account and priority is in the table.
fn place_of(account: AccountId, priority: u8) -> usize {
    usize::from(account.number()) * 4 + usize::from(priority)
}

impl Ranking {
    /// By the policy of this name, if there is one.
    pub(crate) fn by_name(name: &str, capacity: u64) -> Option<Self> {
        let name = policy::by_name(name)?.name();
        let (books, groups) = (Books::new(capacity), Vec::new());
        Some(Self { name, side: false, books, groups })
    }
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Tells who is asked next how much it has.
    pub(crate) fn set_capacity(&mut self, bytes: u64) {
        self.books.set_capacity(bytes);
    }

    fn group_mut(&mut self, at: usize) -> &mut Group {
        if self.groups.len() <= at {
            self.groups.resize_with(at + 1, || None);
        }
        self.groups[at].get_or_insert_with(|| {
            let policy = policy::by_name(self.name).expect("it is the name of a policy");
            Box::new(Group { policy, former: None })
        })
    }

    /// The policy that orders this frame of an account, if one does.
    fn of(&mut self, frame: FrameId, account: AccountId) -> Option<Voice<'_>> {
        let (priority, side) = self.books.place(frame)?;
        let group = self.groups[place_of(account, priority)].as_mut().expect("it orders a frame");
        let policy = match side == self.side {
            true => &mut group.policy,
            false => group.former.as_mut().expect("it orders a frame"),
        };
        Some(Voice { policy: policy.as_mut(), books: &mut self.books })
    }

    /// A frame of so many bytes, charged to an account, now holds this page.
    pub(crate) fn filled(
        &mut self,
        frame: FrameId,
        page: PageKey,
        bytes: u64,
        (account, priority): (AccountId, Priority),
    ) {
        self.books.enter_with(frame, bytes, priority.number(), self.side);
        let at = place_of(account, priority.number());
        self.group_mut(at);
        let policy = &mut self.groups[at].as_mut().expect("made above").policy;
        policy.on_filled(&mut self.books, frame, page);
    }

    /// A thread waits for this page, which is in no frame.
    pub(crate) fn missed(&mut self, page: PageKey, account: AccountId, priority: Priority) {
        let at = place_of(account, priority.number());
        if let Some(Some(group)) = self.groups.get_mut(at) {
            group.policy.on_missed(&mut self.books, page);
        }
    }

    /// The page, which is in no frame, never comes back.
    pub(crate) fn forgotten(&mut self, page: PageKey, account: AccountId) {
        for priority in Priority::ALL {
            let at = place_of(account, priority.number());
            if let Some(Some(group)) = self.groups.get_mut(at) {
                group.policy.on_forgotten(page);
            }
        }
    }

    /// The page in this frame was seen to be used.
    pub(crate) fn touched(&mut self, frame: FrameId, account: AccountId) {
        if let Some(Voice { policy, books }) = self.of(frame, account) {
            policy.on_touched(books, frame);
        }
    }

    /// The page leaves this frame, or did before.
    pub(crate) fn gone(
        &mut self,
        frame: FrameId,
        page: PageKey,
        account: AccountId,
        departure: Departure,
    ) {
        if let Some(Voice { policy, books }) = self.of(frame, account) {
            policy.on_gone(books, frame, page, departure);
        }
    }

    /// True if the frame is ordered, and not with those of this priority.
    pub(crate) fn is_of_another(&self, frame: FrameId, priority: Priority) -> bool {
        self.books.place(frame).is_some_and(|(known, _)| known != priority.number())
    }

    /// Changes over to the policy of this name. Frames that are ordered by the one before stay in
    /// that order, and leave before those that come; call [`Self::move_some`] until it is done,
    /// before another change. False if there is no such policy.
    pub(crate) fn change(&mut self, name: &str) -> bool {
        let Some(policy) = policy::by_name(name) else { return false };
        self.name = policy.name();
        self.side = !self.side;
        for group in self.groups.iter_mut().flatten() {
            assert!(group.former.is_none(), "one change at a time");
            let policy = policy::by_name(self.name).expect("it was found above");
            group.former = Some(std::mem::replace(&mut group.policy, policy));
        }
        true
    }

    /// True if a policy before this one still orders some frames.
    pub(crate) fn is_changing(&self) -> bool {
        self.groups.iter().flatten().any(|group| group.former.is_some())
    }

    /// Moves a few frames from the policy before to this one, coldest first. False if none is
    /// left.
    pub(crate) fn move_some(&mut self, most: u64, page: impl Fn(FrameId) -> PageKey) -> bool {
        let Self { groups, books, side, .. } = self;
        let changing = |group: &&mut Box<Group>| group.former.is_some();
        let Some(group) = groups.iter_mut().flatten().find(changing) else { return false };
        let Some(former) = group.former.as_mut() else { return false };
        let mut coldest = Vec::new();
        former.propose(books, most, &|_| Some(1), &mut coldest);
        for frame in &coldest {
            let (key, bytes) = (page(*frame), books.bytes(*frame));
            let (priority, _) = books.place(*frame).expect("it is ordered");
            former.on_gone(books, *frame, key, Departure::Freed);
            books.enter_with(*frame, bytes, priority, *side);
            group.policy.on_filled(books, *frame, key);
        }
        if coldest.is_empty() {
            group.former = None;
        }
        true
    }

    /// Appends victims of one account, best first, until they add up to `want` bytes: those of a
    /// lower priority before all others. Says how many bytes were found.
    pub(crate) fn propose(
        &mut self,
        account: AccountId,
        want: u64,
        size_if_evictable: &dyn Fn(FrameId) -> Option<u64>,
        victims: &mut Vec<FrameId>,
    ) -> u64 {
        let mut found = 0;
        let known = victims.len();
        for priority in Priority::ALL {
            let at = place_of(account, priority.number());
            let Some(Some(group)) = self.groups.get_mut(at) else { continue };
            let both = group.former.iter_mut().chain(std::iter::once(&mut group.policy));
            for policy in both {
                if found < want {
                    policy.propose(&mut self.books, want - found, size_if_evictable, victims);
                    let sizes = victims[known..].iter().map(|frame| self.books.bytes(*frame));
                    found = sizes.sum();
                }
            }
        }
        found
    }

    /// Appends frames of one account that would leave next and were not looked at yet.
    pub(crate) fn survey(
        &mut self,
        account: AccountId,
        ahead: u64,
        want: u64,
        looked: &mut Vec<FrameId>,
    ) {
        for priority in Priority::ALL {
            let at = place_of(account, priority.number());
            let Some(Some(group)) = self.groups.get_mut(at) else { continue };
            if looked.is_empty() {
                group.policy.survey(&mut self.books, ahead, want, looked);
            }
        }
    }

    /// How many bytes, about, [`Self::survey`] could still append.
    pub(crate) fn survey_left(&self, account: AccountId, ahead: u64) -> u64 {
        let groups = Priority::ALL.map(|priority| place_of(account, priority.number()));
        let groups = groups.iter().filter_map(|at| self.groups.get(*at)?.as_ref());
        groups.map(|group| group.policy.survey_left(&self.books, ahead)).max().unwrap_or(0)
    }

    /// Puts a policy in the place of the usual one, for tests.
    #[cfg(test)]
    pub(crate) fn put(
        &mut self,
        account: AccountId,
        priority: Priority,
        policy: Box<dyn EvictionPolicy>,
    ) {
        self.group_mut(place_of(account, priority.number())).policy = policy;
    }

    /// An account is closed: nothing of it is in a frame.
    pub(crate) fn close(&mut self, account: AccountId) {
        for priority in Priority::ALL {
            let at = place_of(account, priority.number());
            if let Some(group) = self.groups.get_mut(at) {
                *group = None;
            }
        }
    }
}
