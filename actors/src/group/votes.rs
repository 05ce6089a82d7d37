//! Which change of members a group's leader asks for next, and who may take over from it: its configuration compared
//! with the masters' rows. A pure comparison, made again and again, so that a leader that goes away in between leaves
//! nothing behind. Must not know how a change is made.

use hortator_core::cluster::MasterState;
use hortator_raft::{ConfChange, PeerStatus};

use crate::replicas::Seen;
use crate::tables::MasterTable;

/// Entries a learner may lack when it gets its vote: what it lacks, commits that need it wait for.
const CAUGHT_UP: u64 = 100;
/// Entries a voter may lack when it takes over without having been asked for by name.
const HEIR_LAG_MAX: u64 = 1_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Change(ConfChange),
    /// This leader itself goes, and another must take over first.
    HandOver {
        to: u64,
    },
}

/// `elsewhere`: whether another group still has that master as a member. It is asked in group 0 only, which a master
/// leaves last: what it is must be known as long as it has a vote anywhere.
pub(crate) fn next(me: u64, seen: &Seen, masters: &MasterTable, elsewhere: impl Fn(u64) -> bool) -> Step {
    let coming = masters.masters.values().filter(|row| row.state.belongs()).map(|row| row.id);
    for id in coming {
        if seen.voters.contains(&id) {
            continue;
        }
        if !seen.knows(id) {
            return Step::Change(ConfChange::AddLearner(id));
        }
        if seen.peers.iter().any(|peer| peer.replica == id && has_caught_up(peer, seen)) {
            return Step::Change(ConfChange::Promote(id));
        }
    }
    let going = masters.masters.values().filter(|row| !row.state.belongs()).map(|row| row.id);
    // At once, whatever other groups have: this master may be out of them without having heard so, and whoever leads
    // here says from its own replicas when somebody has come or gone.
    if masters.state(me).is_some_and(|state| !state.belongs()) {
        return heir(me, seen, masters).map_or(Step::Nothing, |to| Step::HandOver { to });
    }
    for id in going.filter(|id| seen.knows(*id) && !elsewhere(*id)) {
        if seen.learners.contains(&id) {
            return Step::Change(ConfChange::Remove(id));
        }
        if rest_has_majority(me, id, seen) {
            return Step::Change(ConfChange::Demote(id));
        }
    }
    Step::Nothing
}

/// The most caught-up voter that answers and stays; of equals the first.
pub(crate) fn heir(me: u64, seen: &Seen, masters: &MasterTable) -> Option<u64> {
    let fit = seen.peers.iter().filter(|peer| may_take_over(peer, seen, masters));
    let best = fit.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.replica)))?;
    (best.replica != me).then_some(best.replica)
}

/// All that could take over well.
pub(crate) fn heirs(seen: &Seen, masters: &MasterTable) -> Vec<u64> {
    let fit = seen.peers.iter().filter(|peer| may_take_over(peer, seen, masters));
    fit.map(|peer| peer.replica).collect()
}

fn may_take_over(peer: &PeerStatus, seen: &Seen, masters: &MasterTable) -> bool {
    let stays = masters.state(peer.replica).is_none_or(MasterState::belongs);
    peer.voter && peer.live && !peer.snapshot && stays && peer.matched + HEIR_LAG_MAX >= seen.commit
}

fn has_caught_up(peer: &PeerStatus, seen: &Seen) -> bool {
    peer.live && !peer.snapshot && peer.matched > 0 && peer.matched + CAUGHT_UP >= seen.commit
}

/// Whether the voters that would be left, as far as they answer, are a majority of themselves.
fn rest_has_majority(me: u64, without: u64, seen: &Seen) -> bool {
    let rest: Vec<u64> = seen.voters.iter().copied().filter(|voter| *voter != without).collect();
    let answers = |id: &&u64| {
        **id == me || seen.peers.iter().any(|peer| peer.replica == **id && peer.live && !peer.snapshot)
    };
    rest.iter().filter(answers).count() > rest.len() / 2
}

#[cfg(test)]
mod tests {
    use hortator_core::id::Name;
    use hortator_core::time::Timestamp;
    use hortator_proto::row::MasterRow;

    use super::*;

    const COMMIT: u64 = 10_000;

    fn table(states: &[(u64, MasterState)]) -> MasterTable {
        let row = |(id, state): &(u64, MasterState)| MasterRow {
            id: *id,
            name: Name::new(&format!("n{id}")).expect("a name"),
            peer: String::new(),
            worker: String::new(),
            api: String::new(),
            state: *state,
            added_at: Timestamp(0),
        };
        MasterTable { masters: states.iter().map(|state| (state.0, row(state))).collect() }
    }

    /// Led by 1; `lag` of each other member, none for one that does not answer.
    fn seen(voters: &[u64], learners: &[u64], lags: &[(u64, Option<u64>)]) -> Seen {
        let peer = |(id, lag): &(u64, Option<u64>)| PeerStatus {
            replica: *id,
            matched: lag.map_or(0, |lag| COMMIT - lag),
            live: lag.is_some(),
            snapshot: false,
            voter: voters.contains(id),
        };
        Seen {
            voters: voters.to_vec(),
            outgoing: Vec::new(),
            learners: learners.to_vec(),
            leads: true,
            commit: COMMIT,
            peers: lags.iter().map(peer).collect(),
            proposals: 0,
            runs: 0,
        }
    }

    /// What is tried, the rows, what the leader sees, who is known elsewhere, and the step.
    type Case<'a> = (&'a str, &'a [(u64, MasterState)], Seen, &'a [u64], Step);

    #[test]
    fn the_next_step() {
        use ConfChange::{AddLearner, Demote, Promote, Remove};
        use MasterState::{Joining, Leaving, Member, Removed};
        let three = [(1, Member), (2, Member), (3, Member)];
        let near = [(2, Some(0)), (3, Some(50))];
        let change = Step::Change;
        let cases: &[Case<'_>] = &[
            ("all is well", &three, seen(&[1, 2, 3], &[], &near), &[], Step::Nothing),
            ("nothing is known", &[], seen(&[1, 2, 3], &[], &near), &[], Step::Nothing),
            ("no row of a member", &three[..2], seen(&[1, 2, 3], &[], &near), &[], Step::Nothing),
            ("one comes", &[(1, Member), (2, Joining)], seen(&[1], &[], &[]), &[], change(AddLearner(2))),
            (
                "it is behind",
                &[(1, Member), (2, Joining)],
                seen(&[1], &[2], &[(2, Some(101))]),
                &[],
                Step::Nothing,
            ),
            (
                "it has caught up",
                &[(1, Member), (2, Joining)],
                seen(&[1], &[2], &[(2, Some(100))]),
                &[],
                change(Promote(2)),
            ),
            (
                "it is silent",
                &[(1, Member), (2, Joining)],
                seen(&[1], &[2], &[(2, None)]),
                &[],
                Step::Nothing,
            ),
            (
                "a silent one holds up nobody",
                &[(1, Member), (2, Joining), (3, Joining)],
                seen(&[1], &[2], &[(2, None)]),
                &[],
                change(AddLearner(3)),
            ),
            (
                "one goes",
                &[(1, Member), (2, Member), (3, Leaving)],
                seen(&[1, 2, 3], &[], &near),
                &[],
                change(Demote(3)),
            ),
            (
                "a dead one goes",
                &[(1, Member), (2, Member), (3, Leaving)],
                seen(&[1, 2, 3], &[], &[(2, Some(0)), (3, None)]),
                &[],
                change(Demote(3)),
            ),
            (
                "one that the rest needs",
                &[(1, Member), (2, Member), (3, Leaving)],
                seen(&[1, 2, 3], &[], &[(2, None), (3, Some(0))]),
                &[],
                Step::Nothing,
            ),
            (
                "without its vote",
                &[(1, Member), (2, Member), (3, Leaving)],
                seen(&[1, 2], &[3], &near),
                &[],
                change(Remove(3)),
            ),
            (
                "gone too early",
                &[(1, Member), (2, Member), (3, Removed)],
                seen(&[1, 2], &[3], &near),
                &[],
                change(Remove(3)),
            ),
            (
                "other groups first",
                &[(1, Member), (2, Member), (3, Leaving)],
                seen(&[1, 2, 3], &[], &near),
                &[3],
                Step::Nothing,
            ),
            (
                "the leader goes",
                &[(1, Leaving), (2, Member), (3, Member)],
                seen(&[1, 2, 3], &[], &near),
                &[],
                Step::HandOver { to: 2 },
            ),
            (
                "the leader goes first, whatever it knows of other groups",
                &[(1, Leaving), (2, Member), (3, Member)],
                seen(&[1, 2, 3], &[], &near),
                &[1],
                Step::HandOver { to: 2 },
            ),
            (
                "nobody can take over",
                &[(1, Leaving), (2, Member), (3, Member)],
                seen(&[1, 2, 3], &[], &[(2, Some(5_000)), (3, None)]),
                &[],
                Step::Nothing,
            ),
            (
                "a replacement comes before the dead one goes",
                &[(1, Member), (2, Member), (3, Leaving), (4, Joining)],
                seen(&[1, 2, 3], &[4], &[(2, Some(0)), (3, None), (4, Some(0))]),
                &[],
                change(Promote(4)),
            ),
        ];
        for (what, rows, seen, elsewhere, expected) in cases {
            let found = next(1, seen, &table(rows), |id| elsewhere.contains(&id));
            assert_eq!(found, *expected, "{what}");
        }
    }
}
