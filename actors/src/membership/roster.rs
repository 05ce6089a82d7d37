//! What the membership group's rows say of who belongs to the cluster and who may ask it, as decided so far: rows as
//! read when the epoch began, and every row decided since. Must not know why a row changes.

use std::collections::BTreeMap;

use hortator_core::cluster::MasterState;
use hortator_core::dispatch::{GroupConfig, Quota};
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::row::{
    self, CaRow, ClusterRow, JoinTokenRow, MasterRow, QuotaRow, TokenRow, WorkerGroupRow,
};
use hortator_raft::{ReadError, Rows, RowsView, Write};

use super::groups::{GROUPS_MAX, QUOTAS_MAX};
use super::joining::JOIN_TOKENS_MAX;
use super::tokens::TOKENS_MAX;

/// Rows of masters that are read, removed ones too: a cluster that replaces one a day reaches it after ten years.
const MASTER_ROWS_MAX: usize = 4_096;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Roster {
    /// None until the cluster is formed.
    pub(super) cluster: Option<ClusterRow>,
    pub(super) masters: BTreeMap<u64, MasterRow>,
    pub(super) joins: BTreeMap<String, JoinTokenRow>,
    pub(super) tokens: BTreeMap<Name, TokenRow>,
    pub(super) groups: BTreeMap<Name, GroupConfig>,
    pub(super) quotas: BTreeMap<Name, Quota>,
}

/// One row as decided.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RosterRow {
    Cluster(ClusterRow),
    Master(MasterRow),
    Join(JoinTokenRow),
    /// A join token that is forgotten.
    JoinGone(String),
    Token(TokenRow),
    Authority(CaRow),
    Group(WorkerGroupRow),
    /// A group's configuration that is forgotten.
    GroupGone(Name),
    Quota(QuotaRow),
}

impl Roster {
    pub(super) fn read(rows: &Rows) -> Result<Roster, ReadError> {
        let view = rows.read()?;
        let mut roster = Roster::default();
        if let Some(stored) = view.get(&row::key::cluster())? {
            roster.cluster = Some(ClusterRow::decode(&stored.value).expect(OURS));
        }
        for (_, stored) in view.scan_prefix(&row::key::masters(), MASTER_ROWS_MAX)? {
            roster.apply(&RosterRow::Master(MasterRow::decode(&stored.value).expect(OURS)));
        }
        for (_, stored) in view.scan_prefix(&row::key::join_tokens(), JOIN_TOKENS_MAX)? {
            roster.apply(&RosterRow::Join(JoinTokenRow::decode(&stored.value).expect(OURS)));
        }
        for (_, stored) in view.scan_prefix(&row::key::tokens(), TOKENS_MAX)? {
            roster.apply(&RosterRow::Token(TokenRow::decode(&stored.value).expect(OURS)));
        }
        roster.groups = read_groups(&view)?;
        roster.quotas = read_quotas(&view)?;
        Ok(roster)
    }

    pub(super) fn apply(&mut self, row: &RosterRow) {
        match row {
            RosterRow::Cluster(row) => self.cluster = Some(row.clone()),
            RosterRow::Master(row) => _ = self.masters.insert(row.id, row.clone()),
            RosterRow::Join(row) => _ = self.joins.insert(row.id.clone(), row.clone()),
            RosterRow::JoinGone(id) => _ = self.joins.remove(id),
            RosterRow::Token(row) => _ = self.tokens.insert(row.name.clone(), row.clone()),
            RosterRow::Group(row) => _ = self.groups.insert(row.name.clone(), row.config),
            RosterRow::GroupGone(name) => _ = self.groups.remove(name),
            RosterRow::Quota(row) => _ = self.quotas.insert(row.namespace.clone(), row.most.clone()),
            // It is read from rows by whoever signs, and decides nothing here.
            RosterRow::Authority(_) => {}
        }
    }

    /// Ids of those that left are free again; only a mutant thinks so.
    pub(super) fn forget_ids(&mut self) {
        let present = self.masters.values().filter(|row| row.state != MasterState::Removed);
        let highest = present.map(|row| row.id).max().unwrap_or(0);
        if let Some(cluster) = &mut self.cluster {
            cluster.next_master = highest + 1;
        }
    }

    /// The latest time that any row names as its own making; an epoch's time begins no earlier.
    pub(super) fn latest(&self) -> Timestamp {
        let tokens = self.tokens.values().map(|row| row.created_at);
        let joins = self.joins.values().map(|row| row.created_at);
        let masters = self.masters.values().map(|row| row.added_at);
        tokens.chain(joins).chain(masters).max().unwrap_or(Timestamp(0))
    }
}

const OURS: &str = "rows of this group were written by this crate";

impl RosterRow {
    pub(super) fn write(&self) -> Write {
        let put = |key, value| Write::Put { key, value };
        match self {
            RosterRow::Cluster(row) => put(row::key::cluster(), row.encode()),
            RosterRow::Master(row) => put(row::key::master(row.id), row.encode()),
            RosterRow::Join(row) => put(row::key::join_token(&row.id), row.encode()),
            RosterRow::JoinGone(id) => Write::Delete { key: row::key::join_token(id) },
            RosterRow::Token(row) => put(row::key::token(&row.name), row.encode()),
            RosterRow::Authority(row) => put(row::key::authority(), row.encode()),
            RosterRow::Group(row) => put(row::key::worker_group(&row.name), row.encode()),
            RosterRow::GroupGone(name) => Write::Delete { key: row::key::worker_group(name) },
            RosterRow::Quota(row) => put(row::key::quota(&row.namespace), row.encode()),
        }
    }
}

/// Worker groups that have a configuration of their own.
pub(super) fn read_groups(view: &RowsView) -> Result<BTreeMap<Name, GroupConfig>, ReadError> {
    let stored = view.scan_prefix(&row::key::worker_groups(), GROUPS_MAX)?;
    let rows = stored.into_iter().map(|(_, stored)| WorkerGroupRow::decode(&stored.value).expect(OURS));
    Ok(rows.map(|row| (row.name, row.config)).collect())
}

/// Quotas, by namespace.
pub(super) fn read_quotas(view: &RowsView) -> Result<BTreeMap<Name, Quota>, ReadError> {
    let stored = view.scan_prefix(&row::key::quotas(), QUOTAS_MAX)?;
    let rows = stored.into_iter().map(|(_, stored)| QuotaRow::decode(&stored.value).expect(OURS));
    Ok(rows.map(|row| (row.namespace, row.most)).collect())
}

/// The authority for certificates, as this master's rows have it.
pub(crate) fn authority(rows: &Rows) -> Result<Option<CaRow>, ReadError> {
    let stored = rows.get(&row::key::authority())?;
    Ok(stored.map(|stored| CaRow::decode(&stored.value).expect(OURS)))
}
