//! What the membership group's rows say of who belongs to the cluster and who may ask it, as decided so far: rows as
//! read when the epoch began, and every row decided since. Must not know why a row changes.

use std::collections::BTreeMap;

use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::row::{self, TokenRow};
use hortator_raft::{ReadError, Rows, Write};

use super::tokens::TOKENS_MAX;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Roster {
    pub(super) tokens: BTreeMap<Name, TokenRow>,
}

/// One row as decided.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RosterRow {
    Token(TokenRow),
}

impl Roster {
    pub(super) fn read(rows: &Rows) -> Result<Roster, ReadError> {
        let view = rows.read()?;
        let mut roster = Roster::default();
        for (_, stored) in view.scan_prefix(&row::key::tokens(), TOKENS_MAX)? {
            roster.apply(&RosterRow::Token(TokenRow::decode(&stored.value).expect(OURS)));
        }
        Ok(roster)
    }

    pub(super) fn apply(&mut self, row: &RosterRow) {
        match row {
            RosterRow::Token(row) => _ = self.tokens.insert(row.name.clone(), row.clone()),
        }
    }

    /// The latest time that any row names; an epoch's time begins no earlier.
    pub(super) fn latest(&self) -> Timestamp {
        let tokens = self.tokens.values().map(|row| row.created_at);
        tokens.max().unwrap_or(Timestamp(0))
    }
}

const OURS: &str = "rows of this group were written by this crate";

impl RosterRow {
    pub(super) fn write(&self) -> Write {
        match self {
            RosterRow::Token(row) => Write::Put { key: row::key::token(&row.name), value: row.encode() },
        }
    }
}
