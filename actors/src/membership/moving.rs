//! How a master gets other addresses: it says them itself when it starts with a configuration that its row does not
//! know. Pure decision over the rows; its votes and its id stay.

use hortator_core::cluster::MasterState;
use hortator_proto::api::{Problem, ProblemKind};
use hortator_proto::row::MasterRow;

use super::joining::check_addresses;
use super::roster::{Roster, RosterRow};

/// Where a master is reached, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) peer: String,
    pub(super) worker: String,
    pub(super) api: String,
}

/// Nothing when it is there already.
pub(super) fn move_to(roster: &Roster, id: u64, place: Place) -> Result<Vec<RosterRow>, Problem> {
    let Some(row) = roster.masters.get(&id) else {
        let detail = format!("there is no master n{id}");
        return Err(Problem::new(ProblemKind::NotFound, "H3050", detail).hint("hortator cluster members"));
    };
    if row.state == MasterState::Removed {
        let detail = format!("n{id} was removed from the cluster, so it does not move either");
        let hint = "let its host join anew: hortator cluster add";
        return Err(Problem::new(ProblemKind::Forbidden, "H3069", detail).hint(hint));
    }
    let Place { peer, worker, api } = place;
    if (&peer, &worker, &api) == (&row.peer, &row.worker, &row.api) {
        return Ok(Vec::new());
    }
    check_addresses(roster, id, [&peer, &worker, &api])?;
    Ok(vec![RosterRow::Master(MasterRow { peer, worker, api, ..row.clone() })])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::joining::tests::formed;

    #[test]
    fn a_master_moves_to_where_nobody_is() {
        let mut roster = formed(4);
        roster.masters.get_mut(&4).expect("one of them").state = MasterState::Removed;
        let place = |host: &str| Place {
            peer: format!("{host}:7401"),
            worker: format!("{host}:7402"),
            api: format!("{host}:7400"),
        };
        for (id, host, expected) in [
            (2, "new", "moved"),
            (2, "h2", "stays"),
            (2, "h1", "H3066"),
            // Its address is free again.
            (2, "h4", "moved"),
            (4, "new", "H3069"),
            (9, "new", "H3050"),
        ] {
            let found = match move_to(&roster, id, place(host)) {
                Ok(rows) if rows.is_empty() => "stays".to_string(),
                Ok(rows) => {
                    let [RosterRow::Master(row)] = &rows[..] else { panic!("{rows:?}") };
                    let old = &roster.masters[&id];
                    assert_eq!((row.id, &row.name, row.state), (id, &old.name, old.state));
                    assert_eq!((&row.peer, &row.api), (&place(host).peer, &place(host).api));
                    "moved".to_string()
                }
                Err(problem) => problem.code,
            };
            assert_eq!(found, expected, "n{id} to {host}");
        }
    }
}
