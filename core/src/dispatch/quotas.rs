//! Quotas of namespaces: how much of what their attempts may hold at a time in the cluster. Soft like all placement: what
//! is counted is what the Dispatcher knows to be held or granted.
//! Must not know workers or queues.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{Amounts, Resource};
use super::filters::Allowed;
use super::offer::Shape;
use super::queues::ShapeIndex;
use crate::id::Name;
use crate::reason::Reason;

pub(super) type AccountIndex = u32;

/// The most that a namespace may hold; what is not named is free.
pub type Quota = BTreeMap<Resource, u64>;

#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// One for each namespace that was ever named: there are few.
    accounts: Vec<Account>,
    by_name: BTreeMap<Name, AccountIndex>,
}

#[derive(Debug)]
struct Account {
    namespace: Name,
    used: Amounts,
    quota: Quota,
    /// Shapes that could not use one of their requests.
    waiters: BTreeSet<ShapeIndex>,
}

impl Quotas {
    pub(super) fn intern(&mut self, namespace: &Name) -> AccountIndex {
        if let Some(index) = self.by_name.get(namespace) {
            return *index;
        }
        let index = u32::try_from(self.accounts.len()).expect("fewer than 2^32 namespaces");
        self.accounts.push(Account {
            namespace: namespace.clone(),
            used: Amounts::default(),
            quota: Quota::new(),
            waiters: BTreeSet::new(),
        });
        self.by_name.insert(namespace.clone(), index);
        index
    }

    pub(super) fn has_any(&self, namespace: &Name) -> bool {
        self.by_name.get(namespace).is_some_and(|index| !self.accounts[*index as usize].quota.is_empty())
    }

    /// Says which shapes may find more allowed now.
    pub(super) fn set(&mut self, namespace: &Name, quota: Quota) -> BTreeSet<ShapeIndex> {
        let index = self.intern(namespace);
        let account = &mut self.accounts[index as usize];
        account.quota = quota;
        std::mem::take(&mut account.waiters)
    }

    pub(super) fn take(&mut self, account: AccountIndex, amounts: &Amounts) {
        self.accounts[account as usize].used.add(amounts);
    }

    /// Says which shapes may find more allowed now.
    pub(super) fn give_back(&mut self, account: AccountIndex, amounts: &Amounts) -> BTreeSet<ShapeIndex> {
        let account = &mut self.accounts[account as usize];
        account.used.subtract(amounts);
        std::mem::take(&mut account.waiters)
    }

    /// Which of the shape's requests the quota allows now.
    pub(super) fn allowed(&self, account: AccountIndex, shape: &Shape) -> Allowed {
        let account = &self.accounts[account as usize];
        let allowed =
            |(place, request): (usize, &Amounts)| Allowed::from(account.exceeded(request).is_none()) << place;
        shape.requests.iter().enumerate().map(allowed).fold(0, |all, one| all | one)
    }

    /// Whether the namespace could have so much if nothing else of it ran.
    pub(super) fn is_possible(&self, namespace: &Name, request: &Amounts) -> bool {
        let account = self.by_name.get(namespace).map(|index| &self.accounts[*index as usize]);
        account
            .is_none_or(|account| account.quota.iter().all(|(resource, max)| request.get(resource) <= *max))
    }

    /// The shape wants to hear when more is allowed.
    pub(super) fn wait(&mut self, account: AccountIndex, shape: ShapeIndex) {
        self.accounts[account as usize].waiters.insert(shape);
    }

    pub(super) fn forget_waiter(&mut self, account: AccountIndex, shape: ShapeIndex) {
        self.accounts[account as usize].waiters.remove(&shape);
    }

    pub(super) fn used(&self, namespace: &Name) -> Amounts {
        let account = self.by_name.get(namespace).map(|index| &self.accounts[*index as usize]);
        account.map(|account| account.used.clone()).unwrap_or_default()
    }

    /// What each request of the shape exceeds.
    pub(super) fn reasons(&self, account: AccountIndex, shape: &Shape) -> Vec<Reason> {
        self.accounts[account as usize].reasons(shape)
    }

    /// The same for a shape of which nothing need wait.
    pub(super) fn reasons_of(&self, shape: &Shape) -> Vec<Reason> {
        let account = self.by_name.get(&shape.namespace);
        account.map(|index| self.reasons(*index, shape)).unwrap_or_default()
    }
}

impl Account {
    fn reasons(&self, shape: &Shape) -> Vec<Reason> {
        let scope = format!("namespace {:?}", self.namespace.as_str());
        let exceeded = shape.requests.iter().filter_map(|request| self.exceeded(request));
        let mut reasons: Vec<Reason> = exceeded
            .map(|(resource, used, max)| {
                let (scope, quota) = (scope.clone(), resource.to_string());
                Reason::Quota { scope, quota, used, max }
            })
            .collect();
        reasons.dedup();
        reasons
    }

    fn exceeded(&self, request: &Amounts) -> Option<(Resource, u64, u64)> {
        let over = |(resource, max): (&Resource, &u64)| {
            let (used, asked) = (self.used.get(resource), request.get(resource));
            (asked > 0 && used + asked > *max).then(|| (resource.clone(), used, *max))
        };
        self.quota.iter().find_map(over)
    }
}
