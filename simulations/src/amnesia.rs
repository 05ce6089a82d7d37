//! Masters whose disk was emptied or rotted: whoever has forgotten what counted takes part no more, and nobody else is
//! refused. Must not know how a disk was hurt.

use std::collections::BTreeSet;

use hortator_raft::marks::Deed;

use crate::checkers::Violation;
use crate::marks::MEMBERS;
use crate::members::Members;

/// See the module.
#[derive(Debug, Default)]
pub struct Amnesia {
    /// Who has been met by another replica, by group and id: only then a word of it may have counted.
    met: BTreeSet<(u32, u64)>,
    /// Who had been met in a group when its disk was emptied.
    forgetful: BTreeSet<(u32, u64)>,
    /// Whose disk cannot be trusted, the emptied ones among them.
    spoilt: BTreeSet<u64>,
}

impl Amnesia {
    /// That master has lost what it had on disk.
    pub fn forgets(&mut self, master: u64) {
        self.spoils(master);
        self.forgetful.extend(self.met.iter().filter(|(_, replica)| *replica == master));
    }

    /// What that master has on disk may be other than what it wrote; whoever refuses it is right.
    pub fn spoils(&mut self, master: u64) {
        self.spoilt.insert(master);
    }

    /// What speaks against the deed, if anything: S20.
    pub fn on(&mut self, deed: &Deed<'_>, members: &Members) -> Option<Violation> {
        let detail = match *deed {
            Deed::Meets { group, peer, .. } => {
                self.met.insert((group, peer));
                return None;
            }
            // Whoever has no vote may be filled anew: nothing that it said before ever counted.
            Deed::Leads { group, replica, .. } | Deed::Applies { group, replica, .. }
                if self.forgetful.contains(&(group, replica)) && members.votes(group, replica) =>
            {
                format!("n{replica} lost its disk, and takes part in group {group} again")
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
    use super::*;

    const MEETS: Deed<'_> = Deed::Meets { group: 1, replica: 1, peer: 2 };
    const LEADS: Deed<'_> = Deed::Leads { group: 1, term: 3, replica: 2 };
    const REFUSES: Deed<'_> = Deed::Refuses { group: 1, replica: 1, peer: 2 };

    #[derive(Clone, Copy)]
    enum Step {
        Does(Deed<'static>),
        Forgets,
        Rots,
    }

    #[test]
    fn whoever_forgot_what_counted_takes_part_no_more_and_nobody_else_is_refused() {
        use Step::*;
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
            (&[Does(MEETS), Forgets, Does(LEADS)], 1),
            // Nobody had taken a word of it.
            (&[Forgets, Does(MEETS), Does(LEADS)], 0),
            (&[Does(MEETS), Forgets, Does(elsewhere)], 0),
            (&[Does(MEETS), Forgets, Does(learns), Does(LEADS)], 0),
            (&[Does(MEETS), Rots, Does(LEADS)], 0),
            (&[Does(MEETS), Does(REFUSES)], 1),
            (&[Does(MEETS), Rots, Does(REFUSES)], 0),
            (&[Does(MEETS), Forgets, Does(REFUSES)], 0),
        ];
        for (number, (steps, expected)) in cases.iter().enumerate() {
            let (mut amnesia, mut members) = (Amnesia::default(), Members::default());
            let mut spoken = 0;
            for step in *steps {
                match step {
                    Does(deed) => {
                        let _ = members.on(deed);
                        spoken += usize::from(amnesia.on(deed, &members).is_some());
                    }
                    Forgets => amnesia.forgets(2),
                    Rots => amnesia.spoils(2),
                }
            }
            assert_eq!(spoken, *expected, "case {number}");
        }
    }
}
