//! How nodes come in: join tokens are made, and each lets one node in, once. A master gets an id that was never used and
//! starts on its way as `Joining`. Pure decisions over the rows.

use std::collections::BTreeMap;

use hortator_core::access::SecretHash;
use hortator_core::cluster::{JoinRole, JoinedAs, Joiner, MASTERS_MAX, MasterState};
use hortator_core::id::Name;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Problem, ProblemKind};
use hortator_proto::row::{ClusterRow, JoinTokenRow, JoinTokenState, MasterRow};

use super::roster::{Roster, RosterRow};

/// Join tokens kept, used and expired ones too: one each for the most workers a cluster may have would be too many at
/// once, and used ones go after [`KEPT`].
pub(super) const JOIN_TOKENS_MAX: usize = 5_000;
/// How long a used or expired token is kept, so that who asks with it learns why it is refused.
const KEPT: Span = Span(7 * 24 * 3_600 * 1_000_000);
/// Old tokens that go with one that is made: entries stay small.
const SWEPT_MAX: usize = 64;
/// A token is meant for the next minutes or hours, not to be kept in a drawer.
const VALID_MAX: Span = Span(30 * 24 * 3_600 * 1_000_000);

/// A join token that is asked for.
#[derive(Clone, Debug)]
pub(super) struct NewJoinToken {
    pub(super) id: String,
    pub(super) hash: SecretHash,
    pub(super) role: JoinRole,
    pub(super) valid_for: Span,
}

/// A node that shows a token.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) token: String,
    pub(super) hash: SecretHash,
    pub(super) key: SecretHash,
    pub(super) joiner: Joiner,
}

pub(super) fn create(
    roster: &Roster,
    asked: NewJoinToken,
    now: Timestamp,
) -> Result<Vec<RosterRow>, Problem> {
    let id_ok = (1..=64).contains(&asked.id.len()) && asked.id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !id_ok || asked.valid_for > VALID_MAX || asked.valid_for == Span::ZERO {
        let detail = format!("a join token lasts at most {VALID_MAX} and has a plain id; asked: {asked:?}");
        return Err(Problem::new(ProblemKind::Invalid, "H3068", detail).hint("hortator cluster add"));
    }
    if let Some(known) = roster.joins.get(&asked.id) {
        let same = known.hash == asked.hash && known.role == asked.role;
        return if same { Ok(Vec::new()) } else { Err(id_taken(&asked.id)) };
    }
    if let JoinRole::Master { name } = &asked.role {
        check_room(roster)?;
        check_name(roster, name, now)?;
    }
    let mut rows: Vec<RosterRow> = over(roster, now).take(SWEPT_MAX).map(RosterRow::JoinGone).collect();
    if roster.joins.len() - rows.len() >= JOIN_TOKENS_MAX {
        let detail = format!("{JOIN_TOKENS_MAX} join tokens are open, which is the most there may be");
        let hint = "use them, or wait until they expire";
        return Err(Problem::new(ProblemKind::Busy, "H3059", detail).hint(hint));
    }
    rows.push(RosterRow::Join(JoinTokenRow {
        id: asked.id,
        hash: asked.hash,
        role: asked.role,
        created_at: now,
        expires_at: now.plus(asked.valid_for),
        state: JoinTokenState::Open,
    }));
    Ok(rows)
}

/// Tokens that nobody will ask about any more.
fn over(roster: &Roster, now: Timestamp) -> impl Iterator<Item = String> {
    let ended = move |row: &JoinTokenRow| match row.state {
        JoinTokenState::Open => row.expires_at,
        JoinTokenState::Used { at, .. } => at,
    };
    roster.joins.values().filter(move |row| ended(row).plus(KEPT) <= now).map(|row| row.id.clone())
}

/// As what the node is let in, and what that writes: nothing when it asks again.
pub(super) fn redeem(
    roster: &Roster,
    shown: &Shown,
    now: Timestamp,
) -> Result<(JoinedAs, Vec<RosterRow>), Problem> {
    let token = roster.joins.get(&shown.token).filter(|row| row.hash == shown.hash);
    let Some(token) = token else {
        let detail = "there is no such join token; it was mistyped, or has been forgotten long after its use";
        return Err(Problem::new(ProblemKind::Forbidden, "H3055", detail).hint(NEW_TOKEN));
    };
    match &token.state {
        JoinTokenState::Used { by, key, .. } if *key == shown.key => Ok((by.clone(), Vec::new())),
        JoinTokenState::Used { by, at, .. } => {
            let detail = format!("the join token has let {} in at {at}, and lets in one node only", said(by));
            Err(Problem::new(ProblemKind::Forbidden, "H3056", detail).hint(NEW_TOKEN))
        }
        JoinTokenState::Open if token.expires_at <= now => {
            let detail = format!("the join token has expired at {}", token.expires_at);
            Err(Problem::new(ProblemKind::Forbidden, "H3057", detail).hint(NEW_TOKEN))
        }
        JoinTokenState::Open => let_in(roster, token, shown, now),
    }
}

fn let_in(
    roster: &Roster,
    token: &JoinTokenRow,
    shown: &Shown,
    now: Timestamp,
) -> Result<(JoinedAs, Vec<RosterRow>), Problem> {
    let used = |by: JoinedAs| {
        let state = JoinTokenState::Used { by, at: now, key: shown.key };
        RosterRow::Join(JoinTokenRow { state, ..token.clone() })
    };
    match (&token.role, &shown.joiner) {
        (JoinRole::Worker, Joiner::Worker { name }) => {
            let by = JoinedAs::Worker { name: name.clone() };
            Ok((by.clone(), vec![used(by)]))
        }
        (JoinRole::Master { name }, Joiner::Master { peer, worker, api }) => {
            let Some(cluster) = &roster.cluster else {
                let detail = "the cluster is not formed yet";
                return Err(Problem::new(ProblemKind::Unavailable, "H3067", detail).hint("try again"));
            };
            check_room(roster)?;
            let id = cluster.next_master;
            check_addresses(roster, id, [peer, worker, api])?;
            let master = MasterRow {
                id,
                name: name.clone(),
                peer: peer.clone(),
                worker: worker.clone(),
                api: api.clone(),
                state: MasterState::Joining,
                added_at: now,
            };
            let cluster = ClusterRow { next_master: id + 1, ..cluster.clone() };
            let by = JoinedAs::Master { id };
            Ok((by.clone(), vec![RosterRow::Cluster(cluster), RosterRow::Master(master), used(by)]))
        }
        (role, _) => {
            let wanted = if *role == JoinRole::Worker { "worker" } else { "master" };
            let detail = format!("the join token lets in a {wanted}, not what this node wants to be");
            Err(Problem::new(ProblemKind::Forbidden, "H3058", detail).hint(NEW_TOKEN))
        }
    }
}

fn present(roster: &Roster) -> impl Iterator<Item = &MasterRow> {
    roster.masters.values().filter(|row| row.state != MasterState::Removed)
}

fn check_room(roster: &Roster) -> Result<(), Problem> {
    let count = present(roster).count();
    if count < MASTERS_MAX {
        return Ok(());
    }
    let detail = format!("the cluster has {count} masters, and more than {MASTERS_MAX} protect no better");
    Err(Problem::new(ProblemKind::Conflict, "H3052", detail).hint("hortator cluster members"))
}

fn check_name(roster: &Roster, name: &Name, now: Timestamp) -> Result<(), Problem> {
    let open = |row: &&JoinTokenRow| row.state == JoinTokenState::Open && row.expires_at > now;
    let promised = roster.joins.values().filter(open).any(|row| match &row.role {
        JoinRole::Master { name: other } => other == name,
        JoinRole::Worker => false,
    });
    if promised || present(roster).any(|row| row.name == *name) {
        let detail = format!("there is a master {name}, or an open join token for one");
        return Err(Problem::new(ProblemKind::Conflict, "H3051", detail).hint("choose another name"));
    }
    Ok(())
}

/// Two masters at one address would be taken for each other. `of`: the one whose addresses these will be.
pub(super) fn check_addresses(roster: &Roster, of: u64, addresses: [&String; 3]) -> Result<(), Problem> {
    let taken: BTreeMap<&String, &Name> = present(roster)
        .filter(|row| row.id != of)
        .flat_map(|row| [&row.peer, &row.worker, &row.api].map(|at| (at, &row.name)))
        .collect();
    for address in addresses.into_iter().filter(|address| !address.is_empty()) {
        if let Some(other) = taken.get(address) {
            let detail = format!("{address} is an address of master {other}");
            let hint = format!("choose another address, or first: hortator cluster remove {other}");
            return Err(Problem::new(ProblemKind::Conflict, "H3066", detail).hint(hint));
        }
    }
    Ok(())
}

fn said(by: &JoinedAs) -> String {
    match by {
        JoinedAs::Master { id } => format!("master n{id}"),
        JoinedAs::Worker { name } => format!("worker {name}"),
    }
}

fn id_taken(id: &str) -> Problem {
    let detail = format!("there is another join token {id}");
    Problem::new(ProblemKind::Conflict, "H3065", detail).hint("hortator cluster add")
}

const NEW_TOKEN: &str = "make a new one: hortator cluster add";

#[cfg(test)]
pub(super) mod tests;
