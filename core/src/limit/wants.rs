//! The local side of limits: a task run wants named keys one after the other, in the order of their names, and is offered
//! when it holds all of them. Who holds what is decided by each limit's home; this side reads its rows.
//! Must not know how a home decides, or how rows travel.

use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::reason::{Holder, LISTED_MAX, Reason};

/// Most limits of one task: each costs its home an entry, and they are taken one after the other.
pub const LIMITS_MAX: usize = 8;

/// So much of one limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Want {
    pub key: Name,
    pub weight: u32,
}

/// What one task run wants, and how far it has come. All start at the first name, so no two can hold what the other
/// waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// By key, each once.
    wants: Vec<Want>,
    /// So many of the first are held.
    held: usize,
}

/// A limit as its home's rows show it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSeen {
    /// None: nobody has set it.
    pub max: Option<u32>,
    pub used: u64,
    /// How many hold it.
    pub holding: u64,
    /// The first of those that hold it.
    pub holders: Vec<Holder>,
}

/// Why a list of wants is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantsError {
    #[error("a task may want at most {LIMITS_MAX} limits, this one wants {0}")]
    TooMany(usize),
    #[error("limit {0} is wanted twice")]
    Twice(Name),
    #[error("limit {0} is wanted with weight 0; the least is 1")]
    Nothing(Name),
}

impl Wants {
    pub fn new(mut wants: Vec<Want>) -> Result<Wants, WantsError> {
        if wants.len() > LIMITS_MAX {
            return Err(WantsError::TooMany(wants.len()));
        }
        wants.sort();
        if let Some(pair) = wants.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(WantsError::Twice(pair[0].key.clone()));
        }
        match wants.iter().find(|want| want.weight == 0) {
            Some(want) => Err(WantsError::Nothing(want.key.clone())),
            None => Ok(Wants { wants, held: 0 }),
        }
    }

    /// The one want that is in our rows for its home to see; none when all are held, and the task run may be offered.
    pub fn next(&self) -> Option<&Want> {
        self.wants.get(self.held)
    }

    /// A home's row says that it holds. Whatever is not the next want changes nothing: an old row, or one seen twice.
    pub fn on_held(&mut self, key: &Name) {
        if self.next().is_some_and(|want| want.key == *key) {
            self.held += 1;
        }
    }

    /// An attempt is under way, which started with all of them.
    pub fn on_all_held(&mut self) {
        self.held = self.wants.len();
    }

    /// The attempt has ended, and with it every want: the next one begins at the first name.
    pub fn on_left(&mut self) {
        self.held = 0;
    }

    /// The same in the order in which they are given, which lets two task runs hold what the other waits for. Only a
    /// deliberate mistake asks for it.
    pub fn out_of_order(wants: Vec<Want>) -> Wants {
        Wants { wants, held: 0 }
    }
}

impl Want {
    /// Why it waits for that limit.
    pub fn reason(&self, namespace: &Name, seen: LimitSeen) -> Reason {
        let LimitSeen { max, used, holding, mut holders } = seen;
        let (key, needed) = (format!("{namespace}/{}", self.key), self.weight);
        let Some(max) = max else { return Reason::LimitUnknown { key } };
        holders.truncate(LISTED_MAX);
        Reason::LimitFull { key, used, max, needed, holding, holders }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(key: &str, weight: u32) -> Want {
        Want { key: Name::new(key).unwrap(), weight }
    }

    #[test]
    fn one_after_the_other_in_the_order_of_names() {
        let mut wants = Wants::new(vec![want("db", 2), want("api", 1)]).unwrap();
        assert_eq!(wants.next(), Some(&want("api", 1)));
        wants.on_held(&Name::new("db").unwrap());
        assert_eq!(wants.next(), Some(&want("api", 1)));
        wants.on_held(&Name::new("api").unwrap());
        wants.on_held(&Name::new("api").unwrap());
        assert_eq!(wants.next(), Some(&want("db", 2)));
        wants.on_held(&Name::new("db").unwrap());
        assert_eq!(wants.next(), None);
        wants.on_left();
        assert_eq!(wants.next(), Some(&want("api", 1)));
        wants.on_all_held();
        assert_eq!(wants.next(), None);
        let wrong = Wants::out_of_order(vec![want("db", 2), want("api", 1)]);
        assert_eq!(wrong.next(), Some(&want("db", 2)));
    }

    #[test]
    fn a_reason_names_both_sides() {
        let seen = |max| LimitSeen { max, used: 2, holding: 1, holders: vec![] };
        let retail = Name::new("retail").unwrap();
        let reason = want("db", 2).reason(&retail, seen(Some(3)));
        assert!(
            matches!(&reason, Reason::LimitFull { key, used: 2, max: 3, needed: 2, .. } if key == "retail/db")
        );
        assert!(!reason.is_undecided() && want("db", 1).reason(&retail, seen(Some(3))).is_undecided());
        assert_eq!(
            want("db", 2).reason(&retail, seen(None)),
            Reason::LimitUnknown { key: "retail/db".into() }
        );
    }

    #[test]
    fn what_is_no_list_of_wants() {
        assert_eq!(Wants::new(vec![want("a", 1); 9]), Err(WantsError::TooMany(9)));
        let twice = WantsError::Twice(Name::new("a").unwrap());
        assert_eq!(Wants::new(vec![want("a", 1), want("a", 2)]), Err(twice));
        let nothing = WantsError::Nothing(Name::new("a").unwrap());
        assert_eq!(Wants::new(vec![want("a", 0)]), Err(nothing));
    }
}
