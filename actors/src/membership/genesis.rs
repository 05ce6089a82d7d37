//! What the first leader of a new cluster's membership group writes before anything else: the cluster itself, its first
//! masters, its authority and its first tokens. Must not know where the values come from.

use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::MasterState;
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::row::{CaRow, ClusterRow, Expiry, MasterRow, TokenRow, TokenState};

use super::roster::{Roster, RosterRow};

/// What every member can read so far.
pub const FEATURE_LEVEL: u32 = 1;

/// What is decided when a cluster is made. The first masters agree on it.
#[derive(Clone, Debug)]
pub struct Genesis {
    pub cluster: [u8; 16],
    pub shards: u32,
    pub generation: u32,
    /// They have votes in every group from the first entry on.
    pub masters: Vec<Founder>,
    /// None for a cluster on one host that needs no certificates.
    pub authority: Option<CaRow>,
    pub tokens: Vec<FirstToken>,
}

/// One of the first masters; its addresses are empty where nodes find each other without.
#[derive(Clone, Debug)]
pub struct Founder {
    pub id: u64,
    pub name: Name,
    pub peer: String,
    pub worker: String,
    pub api: String,
}

/// A token that is there from the beginning, and for ever.
#[derive(Clone, Debug)]
pub struct FirstToken {
    pub name: Name,
    pub hash: SecretHash,
    pub role: Role,
}

/// Nothing when the cluster is formed already.
pub(super) fn form(roster: &Roster, genesis: &Genesis, now: Timestamp) -> Vec<RosterRow> {
    if roster.cluster.is_some() {
        return Vec::new();
    }
    let last = genesis.masters.iter().map(|founder| founder.id).max().unwrap_or(0);
    let mut rows = vec![RosterRow::Cluster(ClusterRow {
        id: genesis.cluster,
        shards: genesis.shards,
        generation: genesis.generation,
        feature_level: FEATURE_LEVEL,
        next_master: last + 1,
    })];
    rows.extend(genesis.masters.iter().map(|founder| RosterRow::Master(master(founder, now))));
    rows.extend(genesis.authority.clone().map(RosterRow::Authority));
    rows.extend(genesis.tokens.iter().map(|first| RosterRow::Token(token(first, now))));
    rows
}

fn master(founder: &Founder, now: Timestamp) -> MasterRow {
    MasterRow {
        id: founder.id,
        name: founder.name.clone(),
        peer: founder.peer.clone(),
        worker: founder.worker.clone(),
        api: founder.api.clone(),
        state: MasterState::Member,
        added_at: now,
    }
}

fn token(first: &FirstToken, now: Timestamp) -> TokenRow {
    TokenRow {
        name: first.name.clone(),
        hash: first.hash,
        role: first.role,
        created_at: now,
        expires: Expiry::Never,
        state: TokenState::Valid,
    }
}
