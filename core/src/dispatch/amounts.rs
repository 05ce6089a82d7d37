//! Amounts of resources: what a worker has, what a task run asks, what is free. Whole numbers, so sums are exact.
//! Must not know workers or task runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Name, NameError};

/// Kinds that every worker has, stored in place: the filters read them for every candidate.
const FIXED: usize = 5;

/// Most named resources in one request or on one worker; more is refused where definitions and workers are read.
pub const NAMED_MAX: usize = 16;

/// What is counted on a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Slots,
    /// Thousandths of a core.
    Cpu,
    /// MiB
    Memory,
    /// MiB
    Disk,
    /// Whole devices.
    Gpu,
    /// Whatever a worker declares: licences, scratch volumes, test phones.
    Named(Name),
}

/// So much of each resource; what is not named is zero. In text a map of names to numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, u64>", into = "BTreeMap<String, u64>")]
pub struct Amounts {
    fixed: [u64; FIXED],
    /// By name, none of them zero.
    named: Vec<(Name, u64)>,
}

/// Of one resource there is too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub resource: Resource,
    pub needed: u64,
    pub free: u64,
}

impl Amounts {
    pub fn slots(slots: u64) -> Amounts {
        Amounts::default().with(Resource::Slots, slots)
    }

    /// The same with another amount of one resource.
    pub fn with(mut self, resource: Resource, amount: u64) -> Amounts {
        self.set(&resource, amount);
        self
    }

    pub fn get(&self, resource: &Resource) -> u64 {
        match resource {
            Resource::Named(name) => self.named(name),
            fixed => self.fixed[place(fixed)],
        }
    }

    pub fn is_zero(&self) -> bool {
        self.fixed == [0; FIXED] && self.named.is_empty()
    }

    /// All that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, u64)> {
        let fixed = self.fixed.iter().enumerate().map(|(at, amount)| (kind(at), *amount));
        let named = self.named.iter().map(|(name, amount)| (Resource::Named(name.clone()), *amount));
        fixed.filter(|(_, amount)| *amount > 0).chain(named)
    }

    /// Whether there is at least so much of everything in `room`.
    pub fn fit(&self, room: &Amounts) -> bool {
        self.fixed.iter().zip(&room.fixed).all(|(needed, free)| needed <= free)
            && self.named.iter().all(|(name, needed)| *needed <= room.named(name))
    }

    /// Each of them changed alike.
    pub(super) fn map(&self, change: impl Fn(u64) -> u64) -> Amounts {
        let changed = self.iter().map(|(resource, amount)| (resource, change(amount)));
        changed.fold(Amounts::default(), |all, (resource, amount)| all.with(resource, amount))
    }

    /// Everything of which `room` has too little.
    pub fn shortfalls(&self, room: &Amounts) -> Vec<Shortfall> {
        let with_free = self.iter().map(|(resource, needed)| {
            let free = room.get(&resource);
            Shortfall { resource, needed, free }
        });
        with_free.filter(|short| short.free < short.needed).collect()
    }

    pub fn add(&mut self, other: &Amounts) {
        for (mine, theirs) in self.fixed.iter_mut().zip(&other.fixed) {
            *mine += theirs;
        }
        for (name, amount) in &other.named {
            let sum = self.named(name) + amount;
            self.set(&Resource::Named(name.clone()), sum);
        }
    }

    /// Takes away what was added before; panics when that was less, since then a sum of reservations is wrong.
    pub fn subtract(&mut self, other: &Amounts) {
        for (mine, theirs) in self.fixed.iter_mut().zip(&other.fixed) {
            *mine = mine.checked_sub(*theirs).expect("only what was added is taken away");
        }
        for (name, amount) in &other.named {
            let rest = self.named(name).checked_sub(*amount).expect("only what was added is taken away");
            self.set(&Resource::Named(name.clone()), rest);
        }
    }

    /// What is left of this after `other`; nothing goes below zero.
    pub fn less(&self, other: &Amounts) -> Amounts {
        let mut rest = self.clone();
        for (mine, theirs) in rest.fixed.iter_mut().zip(&other.fixed) {
            *mine = mine.saturating_sub(*theirs);
        }
        for (name, amount) in &mut rest.named {
            *amount = amount.saturating_sub(other.named(name));
        }
        rest.named.retain(|(_, amount)| *amount > 0);
        rest
    }

    /// The lesser of both, of each resource.
    pub fn least(&self, other: &Amounts) -> Amounts {
        let mut least = self.clone();
        for (mine, theirs) in least.fixed.iter_mut().zip(&other.fixed) {
            *mine = (*mine).min(*theirs);
        }
        for (name, amount) in &mut least.named {
            *amount = (*amount).min(other.named(name));
        }
        least.named.retain(|(_, amount)| *amount > 0);
        least
    }

    /// The fullest resource of `total` when this much is free and `request` is taken from it: 0 empty, 1 full.
    pub fn load_after(&self, request: &Amounts, total: &Amounts) -> f64 {
        let of = |free: u64, taken: u64, all: u64| (all.saturating_sub(free) + taken) as f64 / all as f64;
        let mut load: f64 = 0.0;
        for at in 0..FIXED {
            if total.fixed[at] > 0 {
                load = load.max(of(self.fixed[at], request.fixed[at], total.fixed[at]));
            }
        }
        for (name, all) in &total.named {
            load = load.max(of(self.named(name), request.named(name), *all));
        }
        load
    }

    fn named(&self, name: &Name) -> u64 {
        self.named.iter().find(|(known, _)| known == name).map_or(0, |(_, amount)| *amount)
    }

    fn set(&mut self, resource: &Resource, amount: u64) {
        let name = match resource {
            Resource::Named(name) => name,
            fixed => {
                self.fixed[place(fixed)] = amount;
                return;
            }
        };
        match self.named.binary_search_by(|(known, _)| known.cmp(name)) {
            Ok(at) if amount == 0 => drop(self.named.remove(at)),
            Ok(at) => self.named[at].1 = amount,
            Err(_) if amount == 0 => {}
            Err(at) => self.named.insert(at, (name.clone(), amount)),
        }
    }
}

impl From<Amounts> for BTreeMap<String, u64> {
    fn from(amounts: Amounts) -> BTreeMap<String, u64> {
        amounts.iter().map(|(resource, amount)| (resource.to_string(), amount)).collect()
    }
}

impl TryFrom<BTreeMap<String, u64>> for Amounts {
    type Error = NameError;

    fn try_from(map: BTreeMap<String, u64>) -> Result<Amounts, NameError> {
        let mut amounts = Amounts::default();
        for (name, amount) in map {
            amounts.set(&name.parse()?, amount);
        }
        Ok(amounts)
    }
}

impl Resource {
    /// An amount as people write it, the other way round.
    pub fn written(&self, amount: u64) -> String {
        match self {
            Resource::Cpu => (amount as f64 / 1000.0).to_string(),
            Resource::Memory | Resource::Disk if amount > 0 && amount.is_multiple_of(1 << 10) => {
                format!("{}GiB", amount >> 10)
            }
            Resource::Memory | Resource::Disk => format!("{amount}MiB"),
            Resource::Slots | Resource::Gpu | Resource::Named(_) => amount.to_string(),
        }
    }

    /// An amount as people write it: `0.5` cores, `8GiB`, `2`.
    pub fn parse_amount(&self, text: &str) -> Option<u64> {
        match self {
            Resource::Cpu => {
                let cores = text.parse::<f64>().ok().filter(|cores| (0.0..=1e6).contains(cores))?;
                Some((cores * 1000.0).round() as u64)
            }
            Resource::Memory | Resource::Disk => {
                let units = [("MiB", 1u64), ("GiB", 1 << 10), ("TiB", 1 << 20)];
                let sized = |(unit, mib): &(&str, u64)| {
                    Some(text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.saturating_mul(*mib))
                };
                units.iter().find_map(sized)
            }
            Resource::Slots | Resource::Gpu | Resource::Named(_) => text.parse().ok(),
        }
    }
}

impl std::str::FromStr for Resource {
    type Err = NameError;

    /// What is no resource that every worker has is one by name.
    fn from_str(text: &str) -> Result<Resource, NameError> {
        Ok(match text {
            "slots" => Resource::Slots,
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            "disk" => Resource::Disk,
            "gpu" => Resource::Gpu,
            name => Resource::Named(Name::new(name)?),
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Slots => f.write_str("slots"),
            Resource::Cpu => f.write_str("cpu"),
            Resource::Memory => f.write_str("memory"),
            Resource::Disk => f.write_str("disk"),
            Resource::Gpu => f.write_str("gpu"),
            Resource::Named(name) => write!(f, "{name}"),
        }
    }
}

fn place(fixed: &Resource) -> usize {
    match fixed {
        Resource::Slots => 0,
        Resource::Cpu => 1,
        Resource::Memory => 2,
        Resource::Disk => 3,
        Resource::Gpu => 4,
        Resource::Named(_) => unreachable!("named resources have no fixed place"),
    }
}

fn kind(place: usize) -> Resource {
    [Resource::Slots, Resource::Cpu, Resource::Memory, Resource::Disk, Resource::Gpu][place].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn licence(amount: u64) -> Amounts {
        Amounts::slots(1).with(Resource::Named(Name::new("licence").unwrap()), amount)
    }

    #[test]
    fn sums_come_back_to_where_they_began() {
        let mut sum = Amounts::slots(4).with(Resource::Memory, 100);
        let before = sum.clone();
        sum.add(&licence(2));
        assert_eq!(sum.iter().count(), 3);
        sum.subtract(&licence(2));
        assert_eq!(sum, before, "nothing stays of a name that is used up");
    }

    #[test]
    fn both_sides_of_what_is_short() {
        let room = licence(1).with(Resource::Cpu, 500);
        assert!(licence(1).fit(&room) && !licence(2).fit(&room));
        let asked = licence(2).with(Resource::Cpu, 501);
        let short = asked.shortfalls(&room);
        let sides: Vec<_> =
            short.iter().map(|one| (one.resource.to_string(), one.needed, one.free)).collect();
        assert_eq!(sides, [("cpu".to_owned(), 501, 500), ("licence".to_owned(), 2, 1)]);
    }

    #[test]
    fn amounts_as_people_write_them() {
        for (resource, text, amount) in [
            ("cpu", "0.5", Some(500)),
            ("memory", "8GiB", Some(8192)),
            ("disk", "1 TiB", Some(1 << 20)),
            ("gpu", "2", Some(2)),
            ("licence", "3", Some(3)),
            ("cpu", "-1", None),
            ("memory", "8", None),
            ("slots", "many", None),
        ] {
            let resource: Resource = resource.parse().unwrap();
            assert_eq!(resource.parse_amount(text), amount, "{resource} {text}");
            let again = amount.and_then(|amount| resource.parse_amount(&resource.written(amount)));
            assert_eq!(again, amount, "{resource} {text}");
        }
    }

    #[test]
    fn the_fullest_resource_is_the_load() {
        let total = Amounts::slots(4).with(Resource::Memory, 100);
        let free = Amounts::slots(3).with(Resource::Memory, 20);
        assert_eq!(free.load_after(&Amounts::slots(1), &total), 0.8);
        assert_eq!(free.load_after(&Amounts::slots(3), &total), 1.0);
    }
}
