//! Masters whose disk was emptied or rotted: whoever has forgotten what counted takes part no more, and nobody else is
//! refused. Must not know how a disk was hurt.

use std::collections::{BTreeMap, BTreeSet};

use hortator_raft::marks::Deed;

use crate::checkers::Violation;
use crate::marks::MEMBERS;
use crate::members::Members;

/// A replica's directory: group, id, and what was drawn when it was made.
type Directory = (u32, u64, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Amnesia {
    /// What each replica of each group has now, and the boot that it is in.
    origins: BTreeMap<(u32, u64), (u64, u64)>,
    /// Known to another replica: only then a word that was said of it may have counted.
    met: BTreeSet<Directory>,
    emptied: BTreeSet<Directory>,
    /// Directories that were put back as they had been once.
    aged: BTreeSet<Directory>,
    /// Which boot of another each replica of a group remembers, by group, the other, and who remembers.
    remembered: BTreeMap<(u32, u64, u64), u64>,
    /// Masters whose disk cannot be trusted, the emptied ones among them.
    spoilt: BTreeSet<u64>,
}

impl Amnesia {
    /// That master has lost what it had on disk.
    pub fn forgets(&mut self, master: u64) {
        self.spoils(master);
        let had = self.origins.iter().filter(|((_, replica), _)| *replica == master);
        self.emptied.extend(had.map(|((group, replica), (origin, _))| (*group, *replica, *origin)));
    }

    /// That master has what it had on disk some lives ago, and every other one knows of a later life.
    pub fn ages(&mut self, master: u64) {
        self.spoils(master);
        let had = self.origins.iter().filter(|((_, replica), _)| *replica == master);
        self.aged.extend(had.map(|((group, replica), (origin, _))| (*group, *replica, *origin)));
    }

    /// The boots that master is in, by group.
    pub fn boots_of(&self, master: u64) -> BTreeMap<u32, u64> {
        let had = self.origins.iter().filter(|((_, replica), _)| *replica == master);
        had.map(|((group, _), (_, boot))| (*group, *boot)).collect()
    }

    /// Whether all of these who vote with that master remember a later boot of it than those. Not whether they have heard of
    /// it again: what comes late, and what a replica that starts reads from its own disk, is of earlier ones.
    pub fn outlived(&self, master: u64, boots: &BTreeMap<u32, u64>, all: &[u64], members: &Members) -> bool {
        boots.iter().all(|(group, boot)| {
            let mut others = all.iter().filter(|id| **id != master && members.votes(*group, **id));
            others.all(|by| self.remembered.get(&(*group, master, *by)) > Some(boot))
        })
    }

    /// Whether anything counted that it has forgotten. A word of it may have been on its way when its disk was emptied.
    fn has_forgotten(&self, group: u32, replica: u64) -> bool {
        let mut emptied = self.emptied.range((group, replica, 0)..=(group, replica, u64::MAX));
        emptied.any(|directory| self.met.contains(directory))
    }

    fn is_aged(&self, group: u32, replica: u64) -> bool {
        self.aged.range((group, replica, 0)..=(group, replica, u64::MAX)).next().is_some()
    }

    /// What that master has on disk may be other than what it wrote; whoever refuses it is right.
    pub fn spoils(&mut self, master: u64) {
        self.spoilt.insert(master);
    }

    /// What speaks against the deed, if anything: S20.
    pub fn on(&mut self, deed: &Deed<'_>, members: &Members) -> Option<Violation> {
        let detail = match *deed {
            Deed::Boots { group, replica, origin, boot, .. } => {
                self.origins.insert((group, replica), (origin, boot));
                return None;
            }
            Deed::Meets { group, replica, peer, origin, boot } => {
                self.remembered.insert((group, peer, replica), boot);
                self.met.insert((group, peer, origin));
                return None;
            }
            // Whoever has no vote may be filled anew: nothing that it said before ever counted.
            Deed::Leads { group, replica, .. } | Deed::Applies { group, replica, .. }
                if self.has_forgotten(group, replica) && members.votes(group, replica) =>
            {
                format!("n{replica} lost its disk, and takes part in group {group} again")
            }
            // It may apply what it had committed itself; to lead, somebody must have listened to it.
            Deed::Leads { group, replica, .. } if self.is_aged(group, replica) => {
                format!("n{replica} has an old directory, and leads group {group}")
            }
            Deed::Refuses { group, replica, peer } if !self.spoilt.contains(&peer) => {
                format!("n{replica} refuses n{peer} in group {group} for good, and its disk is whole")
            }
            _ => return None,
        };
        Some(Violation { checker: "S20", promise: MEMBERS, detail })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BOOTS: Deed<'_> = boots(70, 1);
    const BOOTS_EMPTY: Deed<'_> = boots(71, 1);
    const MEETS: Deed<'_> = meets(70, 1, 1);
    const MEETS_EMPTY: Deed<'_> = meets(71, 1, 1);
    const LEADS: Deed<'_> = Deed::Leads { group: 1, term: 3, replica: 2 };
    static EMPTY: Bytes = Bytes::new();
    const REFUSES: Deed<'_> = Deed::Refuses { group: 1, replica: 1, peer: 2 };

    const fn boots(origin: u64, boot: u64) -> Deed<'static> {
        Deed::Boots { group: 1, replica: 2, origin, boot, term: 1, vote: 0, last: 1, applied: 1 }
    }

    const fn meets(origin: u64, boot: u64, replica: u64) -> Deed<'static> {
        Deed::Meets { group: 1, replica, peer: 2, origin, boot }
    }

    #[test]
    fn a_directory_is_old_when_all_remember_a_later_boot() {
        let lives = |boot| [boots(70, boot), meets(70, boot, 1), meets(70, boot, 3)];
        let cases: &[(&str, &[Deed<'_>], bool)] = &[
            ("all remember the boot itself", &[], false),
            ("a new one", &[boots(70, 5)], false),
            ("one has not heard of it", &[boots(70, 5), meets(70, 5, 1)], false),
            ("a late word", &[boots(70, 5), meets(70, 5, 1), meets(70, 4, 3)], false),
            ("now all have", &[boots(70, 5), meets(70, 5, 1), meets(70, 5, 3)], true),
            ("one of no vote", &[boots(70, 5), meets(70, 5, 1), meets(70, 5, 3), meets(70, 4, 9)], true),
        ];
        for (what, deeds, expected) in cases {
            let (mut amnesia, mut members) = (Amnesia::default(), Members::default());
            let voters = Deed::Members {
                group: 1,
                replica: 1,
                index: 2,
                term: 1,
                voters: &[1, 2, 3],
                outgoing: &[],
                learners: &[],
            };
            let _ = members.on(&voters);
            for deed in lives(4).iter().chain(*deeds) {
                assert!(amnesia.on(deed, &members).is_none());
            }
            let boots = BTreeMap::from([(1, 4)]);
            assert_eq!(amnesia.outlived(2, &boots, &[1, 2, 3, 9], &members), *expected, "{what}");
        }
    }

    #[derive(Clone, Copy)]
    enum Step {
        Does(Deed<'static>),
        Forgets,
        Rots,
        Ages,
    }

    #[test]
    fn whoever_forgot_what_counted_takes_part_no_more_and_nobody_else_is_refused() {
        use Step::*;
        let applies = Deed::Applies { group: 1, replica: 2, index: 4, term: 1, data: &EMPTY };
        let learns = Deed::Members {
            group: 1,
            replica: 1,
            index: 5,
            term: 2,
            voters: &[1, 3],
            outgoing: &[],
            learners: &[2],
        };
        let elsewhere = Deed::Leads { group: 4, term: 3, replica: 2 };
        let cases: &[(&[Step], usize)] = &[
            (&[Does(MEETS), Does(LEADS)], 0),
            (&[Does(MEETS), Forgets, Does(BOOTS_EMPTY), Does(LEADS)], 1),
            (&[Does(MEETS), Forgets, Does(BOOTS_EMPTY), Does(elsewhere)], 0),
            // Nobody had taken a word of it.
            (&[Forgets, Does(BOOTS_EMPTY), Does(MEETS_EMPTY), Does(LEADS)], 0),
            // One was on its way.
            (&[Forgets, Does(BOOTS_EMPTY), Does(MEETS), Does(LEADS)], 1),
            (&[Does(MEETS), Forgets, Does(BOOTS_EMPTY), Does(learns), Does(LEADS)], 0),
            (&[Does(MEETS), Rots, Does(LEADS)], 0),
            (&[Does(MEETS), Ages, Does(BOOTS), Does(LEADS)], 1),
            // What it had committed once it may apply again.
            (&[Does(MEETS), Ages, Does(BOOTS), Does(applies)], 0),
            (&[Does(MEETS), Ages, Does(REFUSES)], 0),
            (&[Does(MEETS), Does(REFUSES)], 1),
            (&[Does(MEETS), Rots, Does(REFUSES)], 0),
            (&[Does(MEETS), Forgets, Does(REFUSES)], 0),
        ];
        for (number, (steps, expected)) in cases.iter().enumerate() {
            let (mut amnesia, mut members) = (Amnesia::default(), Members::default());
            assert!(amnesia.on(&BOOTS, &members).is_none());
            let mut spoken = 0;
            for step in *steps {
                match step {
                    Does(deed) => {
                        let _ = members.on(deed);
                        spoken += usize::from(amnesia.on(deed, &members).is_some());
                    }
                    Forgets => amnesia.forgets(2),
                    Rots => amnesia.spoils(2),
                    Ages => amnesia.ages(2),
                }
            }
            assert_eq!(spoken, *expected, "case {number}");
        }
    }
}
