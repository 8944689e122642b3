//! Accounts: who is charged for which bytes of the pool, and whose pages make way for whom.
//!
//! Each client has an account, which is charged for the pages of the objects that it made, whoever
//! uses them. It outlives its client as long as one of those objects does.
//!
//! Who has to give way, if nothing protects anybody: who asks for more although it has an equal
//! share already; then accounts that were quiet, longest first; then the one that has most. An
//! account is quiet when it has not faulted while a whole pool was filled by others, so that an
//! order by faults would have come to its pages as well. One that comes back from that soon is
//! believed to use pages without faulting, and may be quiet twice as long, up to sixteen pools.
//!
//! Time is counted in bytes that were filled: a pool that stands still has none.

use std::collections::BTreeSet;

use bo_units::ClientId;

/// How many accounts there can be. Beyond that, clients share the first one.
const ACCOUNTS_MAX: u16 = 1 << 14;

/// The most pools that an account may be quiet for.
const PATIENCE_MAX: u64 = 16;

/// Charges and times are put into order in steps of this part of a pool.
const STEP_PARTS: u64 = 256;

/// Accounts that one question for victims comes to.
pub(crate) const ASKED_MAX: usize = 8;

/// Names an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountId(u16);

impl AccountId {
    /// The account of everybody who has none of its own.
    pub(crate) const SHARED: Self = Self(0);

    /// Below [`ACCOUNTS_MAX`].
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// One account.
#[derive(Debug)]
pub(crate) struct Account {
    /// `None`: of nobody in particular, or of a client that is gone.
    pub(crate) client: Option<ClientId>,
    /// Objects that are charged to it.
    pub(crate) objects: u32,
    /// Bytes of their frames.
    pub(crate) resident: u64,
    /// Where it is in `by_use`.
    step: u64,
    /// When it will be quiet.
    deadline: u64,
    /// For how many pools it may be silent before that.
    patience: u64,
    /// Its pages are taken before those of others.
    is_quiet: bool,
}

impl Account {
    fn new(client: Option<ClientId>) -> Self {
        let (objects, resident, step) = (0, 0, 0);
        Self { client, objects, resident, step, deadline: 0, patience: 1, is_quiet: false }
    }
}

/// All accounts, and the orders that they are in.
#[derive(Debug)]
pub(crate) struct Accounts {
    all: Vec<Option<Account>>,
    free: Vec<AccountId>,
    /// Those with frames, by how many bytes they have.
    by_use: BTreeSet<(u64, AccountId)>,
    /// Those with frames that may yet be in use, by when they will be quiet.
    busy: BTreeSet<(u64, AccountId)>,
    /// The others with frames, by when they became so.
    quiet: BTreeSet<(u64, AccountId)>,
    capacity: u64,
    /// Bytes that were filled.
    clock: u64,
}

impl Accounts {
    /// Those of a pool of so many bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            all: vec![Some(Account::new(None))],
            free: Vec::new(),
            by_use: BTreeSet::new(),
            busy: BTreeSet::new(),
            quiet: BTreeSet::new(),
            capacity,
            clock: 0,
        }
    }

    /// The pool has another size. Deadlines stay as they are, and so does the order by use until
    /// an account's charge changes.
    pub(crate) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity.max(1);
    }

    pub(crate) fn get(&self, id: AccountId) -> &Account {
        self.all[usize::from(id.0)].as_ref().expect("an account lives as long as its objects")
    }

    fn get_mut(&mut self, id: AccountId) -> &mut Account {
        self.all[usize::from(id.0)].as_mut().expect("an account lives as long as its objects")
    }

    fn step(&self) -> u64 {
        (self.capacity / STEP_PARTS).max(1)
    }

    /// An account for a new client.
    pub(crate) fn open(&mut self, client: ClientId) -> AccountId {
        let account = Account::new(Some(client));
        if let Some(id) = self.free.pop() {
            self.all[usize::from(id.0)] = Some(account);
            return id;
        }
        match u16::try_from(self.all.len()).ok().filter(|number| *number < ACCOUNTS_MAX) {
            Some(number) => {
                self.all.push(Some(account));
                AccountId(number)
            }
            None => AccountId::SHARED,
        }
    }

    /// Its client is gone. True if nothing is left of it: it is closed.
    pub(crate) fn leave(&mut self, id: AccountId) -> bool {
        if id == AccountId::SHARED {
            return false;
        }
        self.get_mut(id).client = None;
        self.close_if_empty(id)
    }

    /// One more object is charged to it.
    pub(crate) fn add_object(&mut self, id: AccountId) {
        self.get_mut(id).objects += 1;
    }

    /// One of its objects is no more. True if nothing is left of it: it is closed.
    pub(crate) fn remove_object(&mut self, id: AccountId) -> bool {
        self.get_mut(id).objects -= 1;
        self.close_if_empty(id)
    }

    fn close_if_empty(&mut self, id: AccountId) -> bool {
        let account = self.get(id);
        if id == AccountId::SHARED || account.client.is_some() || account.objects > 0 {
            return false;
        }
        assert_eq!(account.resident, 0, "bytes of frames belong to an object");
        self.all[usize::from(id.0)] = None;
        self.free.push(id);
        true
    }

    /// It has so many bytes more in the pool.
    pub(crate) fn charge(&mut self, id: AccountId, bytes: u64) {
        self.clock += bytes;
        let account = self.get_mut(id);
        let was_empty = account.resident == 0;
        account.resident += bytes;
        if was_empty {
            account.is_quiet = false;
            let deadline = self.clock + self.get(id).patience * self.capacity;
            self.get_mut(id).deadline = deadline;
            self.busy.insert((deadline, id));
        }
        self.sort(id, was_empty);
    }

    /// It has so many bytes less.
    pub(crate) fn discharge(&mut self, id: AccountId, bytes: u64) {
        let account = self.get_mut(id);
        account.resident -= bytes;
        let Account { resident, step, deadline, is_quiet, .. } = *account;
        if resident > 0 {
            self.sort(id, false);
            return;
        }
        self.by_use.remove(&(step, id));
        match is_quiet {
            true => self.quiet.remove(&(deadline, id)),
            false => self.busy.remove(&(deadline, id)),
        };
    }

    fn sort(&mut self, id: AccountId, is_new: bool) {
        let size = self.step();
        let account = self.get_mut(id);
        let (old, new) = (account.step, account.resident / size);
        account.step = new;
        if is_new || old != new {
            self.by_use.remove(&(old, id));
            self.by_use.insert((new, id));
        }
    }

    /// It has faulted; `back`: on a page that had been evicted.
    pub(crate) fn heard(&mut self, id: AccountId, back: bool) {
        let (clock, capacity, size) = (self.clock, self.capacity, self.step());
        let account = self.get_mut(id);
        let Account { resident, deadline, is_quiet, .. } = *account;
        if back && deadline < clock {
            // It was quiet, and lost pages that it had not done with.
            let soon = clock - deadline <= account.patience * capacity;
            let longer = if soon { 2 * account.patience } else { 1 };
            account.patience = longer.clamp(1, PATIENCE_MAX);
        }
        let new = clock + account.patience * capacity;
        if !is_quiet && new < deadline + size {
            return;
        }
        account.deadline = new;
        account.is_quiet = false;
        if resident > 0 {
            match is_quiet {
                true => self.quiet.remove(&(deadline, id)),
                false => self.busy.remove(&(deadline, id)),
            };
            self.busy.insert((new, id));
        }
    }

    /// Looks who has become quiet.
    pub(crate) fn age(&mut self) {
        while let Some((deadline, id)) = self.busy.first().copied() {
            if self.clock <= deadline {
                return;
            }
            self.busy.remove(&(deadline, id));
            self.quiet.insert((deadline, id));
            self.get_mut(id).is_quiet = true;
        }
    }

    /// What each would have if all that are not quiet had the same.
    pub(crate) fn share(&self) -> u64 {
        self.capacity / (self.busy.len() as u64).max(1)
    }

    /// What the policies of this account may fill.
    pub(crate) fn room_of(&self, id: AccountId) -> u64 {
        match self.by_use.len() {
            0 | 1 => self.capacity,
            _ => self.get(id).resident.max(self.share()),
        }
    }

    /// Whose pages should make way, besides those that were asked already; `asker`: for whom.
    pub(crate) fn next(&self, asker: Option<AccountId>, asked: &[AccountId]) -> Option<AccountId> {
        let rest = |id: &AccountId| !asked.contains(id);
        let own = asker.filter(|id| self.share() <= self.get(*id).resident);
        let quiet = || self.quiet.iter().map(|(_, id)| *id).find(rest);
        let most = || self.by_use.iter().rev().map(|(_, id)| *id).find(rest);
        own.filter(rest).or_else(quiet).or_else(most)
    }

    /// Every account and its number.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountId, &Account)> {
        let numbered = (0..).map(AccountId).zip(&self.all);
        numbered.filter_map(|(id, account)| Some((id, account.as_ref()?)))
    }

    /// Checks that each account is where it should be in each order.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn assert_valid(&self) {
        let mut framed = 0;
        for (id, account) in self.iter().filter(|(_, account)| account.resident > 0) {
            framed += 1;
            assert!(self.by_use.contains(&(account.step, id)), "who has frames is in order");
            let place = if account.is_quiet { &self.quiet } else { &self.busy };
            assert!(place.contains(&(account.deadline, id)), "who has frames is quiet or not");
        }
        assert_eq!(self.by_use.len(), framed, "who has no frames is in no order");
        assert_eq!(self.busy.len() + self.quiet.len(), framed, "nobody is quiet and not");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;
    const POOL: u64 = 1024 * PAGE;

    /// Accounts with so many pages each.
    fn accounts(pages: &[u64]) -> (Accounts, Vec<AccountId>) {
        let mut accounts = Accounts::new(POOL);
        let open = |slot| accounts.open(ClientId { slot, generation: 1 });
        let ids: Vec<AccountId> = (0..).take(pages.len()).map(open).collect();
        for (id, count) in ids.iter().zip(pages).filter(|(_, count)| **count > 0) {
            accounts.add_object(*id);
            accounts.charge(*id, count * PAGE);
        }
        accounts.assert_valid();
        (accounts, ids)
    }

    /// Fills and evicts a few pools' worth for one of them, which faults all the time.
    fn churn(accounts: &mut Accounts, id: AccountId, pools: u64) {
        for _ in 0..pools * 1024 {
            accounts.discharge(id, PAGE);
            accounts.charge(id, PAGE);
            accounts.heard(id, true);
            accounts.age();
        }
        accounts.assert_valid();
    }

    #[test]
    fn who_asks_and_has_more_than_its_share_gives_way_itself() {
        let (accounts, ids) = accounts(&[300, 600, 100]);
        assert_eq!(accounts.next(Some(ids[1]), &[]), Some(ids[1]));
        assert_eq!(accounts.next(Some(ids[0]), &[]), Some(ids[1]), "it has less than a third");
        assert_eq!(accounts.next(None, &[]), Some(ids[1]));
        assert_eq!(accounts.next(None, &ids[1..2]), Some(ids[0]));
        assert_eq!(accounts.next(None, &ids), None);
    }

    #[test]
    fn who_was_quiet_gives_way_before_who_has_more() {
        let (mut accounts, ids) = accounts(&[100, 600]);
        churn(&mut accounts, ids[1], 2);
        assert!(accounts.get(ids[0]).is_quiet && !accounts.get(ids[1]).is_quiet);
        assert_eq!(accounts.share(), POOL, "who is quiet has no share");
        assert_eq!(accounts.next(Some(ids[1]), &[]), Some(ids[0]));
        assert_eq!(accounts.next(Some(ids[1]), &ids[..1]), Some(ids[1]));
    }

    #[test]
    fn who_comes_back_soon_may_be_quiet_for_longer_and_who_stays_away_may_not() {
        let (mut accounts, ids) = accounts(&[100, 600]);
        let come_back = |accounts: &mut Accounts| {
            accounts.discharge(ids[0], 100 * PAGE);
            accounts.heard(ids[0], true);
            accounts.charge(ids[0], 100 * PAGE);
            accounts.assert_valid();
        };
        for expected in [2, 4, 8, 16, 16] {
            while !accounts.get(ids[0]).is_quiet {
                churn(&mut accounts, ids[1], 1);
            }
            come_back(&mut accounts);
            assert_eq!(accounts.get(ids[0]).patience, expected);
        }
        churn(&mut accounts, ids[1], 40);
        come_back(&mut accounts);
        assert_eq!(accounts.get(ids[0]).patience, 1);
    }

    #[test]
    fn an_account_lives_as_long_as_its_client_and_its_objects() {
        let (mut accounts, ids) = accounts(&[1, 1]);
        assert!(!accounts.leave(ids[0]));
        for id in &ids {
            accounts.discharge(*id, PAGE);
        }
        assert!(accounts.remove_object(ids[0]));
        assert!(!accounts.remove_object(ids[1]));
        assert!(accounts.leave(ids[1]));
        accounts.assert_valid();
        let number = accounts.open(ClientId { slot: 9, generation: 1 });
        assert!(ids.contains(&number), "numbers are used again");
        assert!(!accounts.leave(AccountId::SHARED), "the first stays");
    }
}
