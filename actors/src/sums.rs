//! Whether replicas still hold the same rows: the sums that others tell, compared with those kept here for the same entry.
//! Must not know how a sum is made, and changes nothing: a replica that differs is for people to replace.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hortator_proto::frame::RowSum;
use hortator_raft::Rows;

/// Shared by the threads of one master.
#[derive(Debug, Default)]
pub struct Comparisons {
    groups: Mutex<BTreeMap<u32, Compared>>,
}

/// Of one group, with all other replicas that have told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub same: u64,
    pub different: u64,
    /// The masters that ever differed, and the entry after which they last did.
    pub differing: BTreeMap<u64, u64>,
}

impl Comparisons {
    /// Sums of entries that are not kept here, or not reached yet, say nothing. Gives the groups in which that master
    /// differs for the first time.
    pub(crate) fn compare(&self, rows: &BTreeMap<u32, Rows>, from: u64, told: &[RowSum]) -> Vec<RowSum> {
        let kept = |sum: &RowSum| rows.get(&sum.group)?.sum_at(sum.index);
        let pairs = told.iter().filter_map(|sum| Some((*sum, kept(sum)?)));
        pairs.filter_map(|(sum, own)| self.note(from, sum, own)).collect()
    }

    fn note(&self, from: u64, told: RowSum, own: u64) -> Option<RowSum> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let compared = groups.entry(told.group).or_default();
        if told.sum == own {
            compared.same += 1;
            return None;
        }
        compared.different += 1;
        compared.differing.insert(from, told.index).is_none().then_some(told)
    }

    pub fn all(&self) -> BTreeMap<u32, Compared> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_differs_is_told_once_and_counted_always() {
        let comparisons = Comparisons::default();
        let told = |index, sum| RowSum { group: 1, index, sum };
        assert_eq!(comparisons.note(2, told(64, 7), 7), None);
        assert_eq!(comparisons.note(2, told(128, 7), 8), Some(told(128, 7)));
        assert_eq!(comparisons.note(2, told(192, 7), 8), None);
        assert_eq!(comparisons.note(3, told(192, 8), 8), None);
        let expected = Compared { same: 2, different: 2, differing: BTreeMap::from([(2, 192)]) };
        assert_eq!(comparisons.all(), BTreeMap::from([(1, expected)]));
        assert_eq!(comparisons.compare(&BTreeMap::new(), 2, &[told(1, 1)]), []);
    }
}
