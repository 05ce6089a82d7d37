//! What the replicas of each group must hold: the rows that the log makes from its first entry on, and what each replica
//! has said that is on its disk. Replicas are compared with it whenever they start, take a snapshot, or promise something.
//! Must not know what a row means.

use std::collections::BTreeMap;

use bytes::Bytes;
use hortator_raft::marks::{Deed, batch_in, row_digest};
use hortator_raft::{Position, Write};

use crate::checkers::Violation;

/// S21: what was said to be on a disk is there after a crash.
pub const PROMISES: &str = "what a replica has acknowledged or voted is on its disk";
/// S15: by whichever way rows came, and S16: whole entries, once.
pub const ROWS: &str =
    "a replica's rows are what the log says up to the applied entry, whichever way they came";

/// S16: of one replica.
pub const ONCE: &str = "what is applied stays applied over a restart, and nothing is applied twice";

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    groups: BTreeMap<u32, Group>,
    replicas: BTreeMap<(u32, u64), Replica>,
}

/// One group's rows, made from its log.
#[derive(Debug, Default)]
struct Group {
    /// The last entry that is in `rows`; 0 before the first.
    applied: u64,
    rows: BTreeMap<Bytes, u64>,
    digest: u64,
    /// After each entry that changed it.
    digests: BTreeMap<u64, u64>,
    /// The first entry that was seen: rows of a smaller index are not known.
    first: u64,
    /// An entry was missed; nothing more can be said.
    lost: bool,
}

/// What one replica has said.
#[derive(Debug, Default)]
struct Replica {
    /// Up to where its log is that of the leader of that term.
    promised: (u64, u64),
    voted: (u64, u64),
    /// Entries whose rows are on its disk.
    settled: u64,
    /// The last entry that it has applied in this life.
    applied: u64,
}

impl Model {
    /// What speaks against the deed, if anything.
    pub fn on(&mut self, deed: &Deed<'_>) -> Option<Violation> {
        match *deed {
            Deed::Applies { group, replica, index, term, data } => {
                let said = self.replicas.entry((group, replica)).or_default();
                let before = said.applied;
                said.applied = before.max(index);
                self.groups.entry(group).or_default().apply(Position { term, index }, data);
                (index <= before).then(|| Violation {
                    checker: "S16",
                    promise: ONCE,
                    detail: format!("n{replica} of group {group} applies entry {index} after {before}"),
                })
            }
            Deed::Settles { group, replica, index } => {
                let said = self.replicas.entry((group, replica)).or_default();
                said.settled = said.settled.max(index);
                None
            }
            Deed::Promises { group, replica, term, index } => {
                let said = self.replicas.entry((group, replica)).or_default();
                said.promised = said.promised.max((term, index));
                None
            }
            Deed::Votes { group, replica, term, to } => {
                let said = self.replicas.entry((group, replica)).or_default();
                if said.voted.0 < term {
                    said.voted = (term, to);
                }
                None
            }
            Deed::Boots { group, replica, term, vote, last, applied, .. } => {
                let said = self.replicas.entry((group, replica)).or_default();
                let settled = said.settled;
                said.applied = applied;
                if applied < settled {
                    said.settled = applied;
                    let detail = format!(
                        "n{replica} of group {group} had applied entry {settled} for good and starts at {applied}"
                    );
                    return Some(Violation { checker: "S16", promise: ONCE, detail });
                }
                let wrong = said.broken(term, vote, last)?;
                // Said once; from here on it is what it is.
                *said = Replica::default();
                let detail = format!("n{replica} of group {group} {wrong}");
                Some(Violation { checker: "S21", promise: PROMISES, detail })
            }
            Deed::Holds { group, replica, index, digest } => {
                let expected = self.groups.get(&group)?.at(index)?;
                (expected != digest).then(|| Violation {
                    checker: "S15",
                    promise: ROWS,
                    detail: format!(
                        "n{replica} holds other rows than the log of group {group} up to {index}"
                    ),
                })
            }
            Deed::Leads { .. }
            | Deed::Shows { .. }
            | Deed::Members { .. }
            | Deed::Meets { .. }
            | Deed::Refuses { .. } => None,
        }
    }

    /// Its disk is empty: nothing that it said stands there.
    pub fn forgets(&mut self, replica: u64) {
        self.replicas.retain(|(_, other), _| *other != replica);
    }

    /// Sums that were true so many entries ago are not asked for any more.
    pub fn forget_before(&mut self, entries: u64) {
        for group in self.groups.values_mut() {
            let bound = group.applied.saturating_sub(entries);
            if let Some((kept, _)) = group.digests.range(..=bound).next_back() {
                let kept = *kept;
                group.digests = group.digests.split_off(&kept);
            }
        }
    }

    /// At that index, if it is known: S15 once more, in the end.
    pub fn digest(&self, group: u32, index: u64) -> Option<u64> {
        self.groups.get(&group)?.at(index)
    }
}

impl Replica {
    fn broken(&self, term: u64, vote: u64, last: u64) -> Option<String> {
        let (promised_term, promised) = self.promised;
        let (voted_term, voted) = self.voted;
        if term < promised_term.max(voted_term) {
            return Some(format!("was in term {} and starts in {term}", promised_term.max(voted_term)));
        }
        if term == promised_term && last < promised {
            return Some(format!("acknowledged entry {promised} in term {term} and has {last} entries"));
        }
        if term == voted_term && vote != voted {
            return Some(format!("voted for n{voted} in term {term} and knows of n{vote}"));
        }
        None
    }
}

impl Group {
    fn apply(&mut self, position: Position, data: &Bytes) {
        if self.applied == 0 {
            self.first = position.index;
            self.applied = position.index - 1;
            self.digests.insert(self.applied, 0);
        }
        if position.index <= self.applied {
            return;
        }
        if position.index > self.applied + 1 {
            self.lost = true;
            return;
        }
        self.applied = position.index;
        let Some(batch) = batch_in(data) else { return };
        for write in batch.writes {
            self.write(position, write);
        }
        self.digests.insert(position.index, self.digest);
    }

    fn write(&mut self, position: Position, write: Write) {
        match write {
            Write::Put { key, value } => self.put(position, key, &value),
            Write::PutAtIndex { prefix, value } => {
                let key = [&prefix[..], &position.index.to_be_bytes()].concat();
                self.put(position, key.into(), &value);
            }
            Write::Delete { key } => self.delete(&key),
            Write::DeleteRange { from, to } => {
                let gone: Vec<Bytes> = match from < to {
                    true => self.rows.range(from..to).map(|(key, _)| key.clone()).collect(),
                    false => Vec::new(),
                };
                gone.iter().for_each(|key| self.delete(key));
            }
        }
    }

    fn put(&mut self, position: Position, key: Bytes, value: &[u8]) {
        let row = row_digest(&key, value, position);
        let before = self.rows.insert(key, row).unwrap_or(0);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(row);
    }

    fn delete(&mut self, key: &[u8]) {
        let before = self.rows.remove(key).unwrap_or(0);
        self.digest = self.digest.wrapping_sub(before);
    }

    fn at(&self, index: u64) -> Option<u64> {
        if self.lost || index > self.applied || index + 1 < self.first {
            return None;
        }
        self.digests.range(..=index).next_back().map(|(_, digest)| *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_and_votes_outlive_a_crash() {
        let boots = |term, vote, last| Deed::Boots {
            group: 1,
            replica: 2,
            origin: 7,
            boot: 1,
            term,
            vote,
            last,
            applied: 0,
        };
        let promises = |term, index| Deed::Promises { group: 1, replica: 2, term, index };
        let votes = |term, to| Deed::Votes { group: 1, replica: 2, term, to };
        for (said, boot, good) in [
            (vec![promises(3, 10)], boots(3, 0, 10), true),
            (vec![promises(3, 10)], boots(3, 0, 9), false),
            // Another leader has cut its log since.
            (vec![promises(3, 10)], boots(4, 0, 9), true),
            (vec![promises(3, 10)], boots(2, 0, 10), false),
            (vec![promises(3, 10), promises(4, 8)], boots(4, 0, 8), true),
            (vec![votes(5, 1)], boots(5, 1, 0), true),
            (vec![votes(5, 1)], boots(5, 0, 0), false),
            (vec![votes(5, 1)], boots(6, 0, 0), true),
        ] {
            let mut model = Model::default();
            said.iter().for_each(|deed| assert!(model.on(deed).is_none()));
            assert_eq!(model.on(&boot).is_none(), good, "{said:?} then {boot:?}");
        }
    }
}
