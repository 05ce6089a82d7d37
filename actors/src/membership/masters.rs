//! How masters leave, and when one that comes or goes has arrived. Pure decisions over the rows and what this master's
//! replicas see; the votes themselves are changed by each group's leader, which compares with the same rows.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::cluster::MasterState;
use hortator_proto::api::{MasterDetail, Problem, ProblemKind};
use hortator_proto::row::MasterRow;

use super::roster::RosterRow;
use crate::replicas::Seen;

/// Takes a master out, unless the rest would stand without a majority. Asked again it changes nothing.
/// `live`: masters that this one has just heard, itself included.
pub(super) fn remove(
    masters: &BTreeMap<u64, MasterRow>,
    id: u64,
    live: &BTreeSet<u64>,
) -> Result<Vec<RosterRow>, Problem> {
    let Some(row) = masters.get(&id) else {
        let detail = format!("there is no master n{id}");
        return Err(Problem::new(ProblemKind::NotFound, "H3050", detail).hint("hortator cluster members"));
    };
    if !row.state.belongs() {
        return Ok(Vec::new());
    }
    let rest: Vec<u64> = masters
        .values()
        .filter(|other| other.state == MasterState::Member && other.id != id)
        .map(|other| other.id)
        .collect();
    if rest.is_empty() {
        let detail = format!("n{id} is the last master; without it there is no cluster");
        return Err(Problem::new(ProblemKind::Conflict, "H3053", detail).hint("hortator cluster add"));
    }
    let answering = rest.iter().filter(|other| live.contains(other)).count();
    if answering <= rest.len() / 2 {
        let detail = format!(
            "of the {} masters that would be left {answering} answer, and that is no majority",
            rest.len()
        );
        let hint = "bring the others back first, or add one; see: hortator status";
        return Err(Problem::new(ProblemKind::Conflict, "H3054", detail).hint(hint));
    }
    Ok(vec![RosterRow::Master(MasterRow { state: MasterState::Leaving, ..row.clone() })])
}

/// Masters whose way has come to its end: in every group with a vote, or in none at all. `groups`: what this master's
/// replica of every group has applied; an older picture only makes it later.
pub(super) fn arrived(masters: &BTreeMap<u64, MasterRow>, groups: &BTreeMap<u32, Seen>) -> Vec<RosterRow> {
    if groups.is_empty() {
        return Vec::new();
    }
    let become_of = |row: &MasterRow| match row.state {
        MasterState::Joining if groups.values().all(|seen| seen.voters.contains(&row.id)) => {
            Some(MasterState::Member)
        }
        MasterState::Leaving if groups.values().all(|seen| !seen.knows(row.id)) => Some(MasterState::Removed),
        _ => None,
    };
    let moved = masters.values().filter_map(|row| Some((row, become_of(row)?)));
    moved.map(|(row, state)| RosterRow::Master(MasterRow { state, ..row.clone() })).collect()
}

pub(super) fn detail(row: &MasterRow) -> MasterDetail {
    MasterDetail {
        id: row.id,
        name: row.name.clone(),
        state: row.state.word().into(),
        peer: row.peer.clone(),
        worker: row.worker.clone(),
        api: row.api.clone(),
        added_at: row.added_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::joining::tests::formed;

    fn with(masters: u64, states: &[(u64, MasterState)]) -> BTreeMap<u64, MasterRow> {
        let mut rows = formed(masters).masters;
        for (id, state) in states {
            rows.get_mut(id).expect("one of them").state = *state;
        }
        rows
    }

    /// How many there are, the states of some, which one is to go, who answers, and what comes of it.
    type Case<'a> = (u64, &'a [(u64, MasterState)], u64, &'a [u64], &'a str);

    #[test]
    fn removing_a_master() {
        use MasterState::{Joining, Leaving, Removed};
        let cases: &[Case<'_>] = &[
            (3, &[], 2, &[1, 2, 3], "leaving"),
            (3, &[], 3, &[1, 2], "leaving"),
            (3, &[], 2, &[1, 2], "H3054"),
            (5, &[], 1, &[2, 3, 4], "leaving"),
            (5, &[], 1, &[1, 2, 3], "H3054"),
            (2, &[], 2, &[1, 2], "leaving"),
            (2, &[], 2, &[2], "H3054"),
            (1, &[], 1, &[1], "H3053"),
            (2, &[(2, Leaving)], 1, &[1, 2], "H3053"),
            (2, &[(2, Joining)], 1, &[1, 2], "H3053"),
            (2, &[(2, Joining)], 2, &[1], "leaving"),
            (3, &[(2, Leaving)], 2, &[1, 2, 3], "nothing"),
            (3, &[(2, Removed)], 2, &[1, 2, 3], "nothing"),
            (3, &[], 9, &[1, 2, 3], "H3050"),
        ];
        for (masters, states, id, live, expected) in cases {
            let found = match remove(&with(*masters, states), *id, &live.iter().copied().collect()) {
                Ok(rows) if rows.is_empty() => "nothing".to_string(),
                Ok(rows) => match &rows[..] {
                    [RosterRow::Master(row)] if row.id == *id => row.state.word().to_string(),
                    other => panic!("{other:?}"),
                },
                Err(problem) => problem.code,
            };
            assert_eq!(found, *expected, "{id} of {masters} with {states:?}, {live:?} answer");
        }
    }

    fn group(voters: &[u64], learners: &[u64]) -> Seen {
        Seen { voters: voters.to_vec(), learners: learners.to_vec(), ..Seen::default() }
    }

    #[test]
    fn a_way_ends_when_every_group_agrees() {
        use MasterState::{Joining, Leaving};
        let joining = with(3, &[(3, Joining)]);
        let leaving = with(3, &[(3, Leaving)]);
        let (in_all, one_learns) = (
            [group(&[1, 2, 3], &[]), group(&[1, 2, 3], &[])],
            [group(&[1, 2, 3], &[]), group(&[1, 2], &[3])],
        );
        let (gone, one_left) =
            ([group(&[1, 2], &[]), group(&[1, 2], &[])], [group(&[1, 2], &[]), group(&[1, 2], &[3])]);
        // A vote that is needed until the joint configuration is left.
        let between = [group(&[1, 2], &[]), Seen { outgoing: vec![1, 2, 3], ..group(&[1, 2], &[]) }];
        for (rows, groups, expected) in [
            (&leaving, &between, ""),
            (&joining, &in_all, "member"),
            (&joining, &one_learns, ""),
            (&joining, &gone, ""),
            (&leaving, &in_all, ""),
            (&leaving, &one_left, ""),
            (&leaving, &gone, "removed"),
        ] {
            let groups = (0..).zip(groups.iter().cloned()).collect();
            let words: Vec<&str> = arrived(rows, &groups)
                .iter()
                .map(|row| match row {
                    RosterRow::Master(row) => row.state.word(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(words.join(" "), expected, "{groups:?}");
        }
    }
}
