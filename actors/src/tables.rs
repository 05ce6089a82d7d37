//! Masters, tokens and settings as the membership group's rows on this master have them. Whoever depends on them looks here when
//! it decides, from any thread; the channel only says that it is time to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::MasterState;
use hortator_core::id::Name;
use hortator_core::retention::HistoryRule;
use hortator_core::time::Timestamp;
use hortator_proto::frame::MasterAddress;
use hortator_proto::row::{Expiry, MasterRow, TokenRow, TokenState};
use tokio::sync::watch;

/// What every part of a master may look at. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tables {
    pub masters: watch::Receiver<Arc<MasterTable>>,
    pub tokens: watch::Receiver<Arc<TokenTable>>,
    history: watch::Receiver<Option<HistoryRule>>,
}

/// Empty for ever: nobody keeps them.
impl Default for Tables {
    fn default() -> Tables {
        Tables::new().1
    }
}

/// The other end, of the one who reads the rows.
#[derive(Debug)]
pub(crate) struct TableKeeper {
    masters: watch::Sender<Arc<MasterTable>>,
    tokens: watch::Sender<Arc<TokenTable>>,
    history: watch::Sender<Option<HistoryRule>>,
}

/// Who is a master. Empty on a node that has not caught up with the membership group yet, or before it is formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterTable {
    pub masters: BTreeMap<u64, MasterRow>,
}

/// Which tokens there are, by the hash of their secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTable {
    tokens: BTreeMap<SecretHash, TokenRow>,
}

/// Why a token's bearer is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("there is no such token")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the token was revoked")]
    Revoked,
}

impl Tables {
    pub(crate) fn new() -> (TableKeeper, Tables) {
        let (masters, masters_seen) = watch::channel(Arc::default());
        let (tokens, tokens_seen) = watch::channel(Arc::default());
        let (history, history_seen) = watch::channel(None);
        let tables = Tables { masters: masters_seen, tokens: tokens_seen, history: history_seen };
        (TableKeeper { masters, tokens, history }, tables)
    }

    pub fn masters(&self) -> Arc<MasterTable> {
        self.masters.borrow().clone()
    }

    pub fn tokens(&self) -> Arc<TokenTable> {
        self.tokens.borrow().clone()
    }

    /// How long finished runs are kept; none until this master has seen the settings.
    pub fn history(&self) -> Option<HistoryRule> {
        *self.history.borrow()
    }
}

impl TableKeeper {
    /// True when it differs from the last one.
    pub(crate) fn set_masters(&self, table: MasterTable) -> bool {
        let differs = **self.masters.borrow() != table;
        if differs {
            self.masters.send_replace(Arc::new(table));
        }
        differs
    }

    pub(crate) fn set_tokens(&self, table: TokenTable) {
        if **self.tokens.borrow() != table {
            self.tokens.send_replace(Arc::new(table));
        }
    }

    pub(crate) fn set_history(&self, rule: HistoryRule) {
        self.history.send_if_modified(|known| known.replace(rule) != Some(rule));
    }

    pub(crate) fn masters(&self) -> Arc<MasterTable> {
        self.masters.borrow().clone()
    }
}

impl MasterTable {
    /// What is known of that master's way; none for an id that this replica has not heard of.
    pub fn state(&self, id: u64) -> Option<MasterState> {
        self.masters.get(&id).map(|row| row.state)
    }

    /// All but the removed.
    pub fn present(&self) -> impl Iterator<Item = &MasterRow> {
        self.masters.values().filter(|row| row.state != MasterState::Removed)
    }

    /// Where masters reach each other.
    pub fn peer_addresses(&self) -> Vec<MasterAddress> {
        self.addresses(|row| &row.peer)
    }

    /// Where workers reach masters.
    pub fn worker_addresses(&self) -> Vec<MasterAddress> {
        self.addresses(|row| &row.worker)
    }

    fn addresses(&self, address: impl Fn(&MasterRow) -> &String) -> Vec<MasterAddress> {
        let known = self.present().filter(|row| !address(row).is_empty());
        let one = |row: &MasterRow| MasterAddress {
            id: row.id,
            address: address(row).clone(),
            api: row.api.clone(),
        };
        known.map(one).collect()
    }

    /// Ids that never belong to the cluster again. An id that is not here may be of one that this replica has yet to
    /// hear of.
    pub fn removed(&self) -> BTreeSet<u64> {
        let gone = self.masters.values().filter(|row| row.state == MasterState::Removed);
        gone.map(|row| row.id).collect()
    }
}

impl TokenTable {
    pub(crate) fn new(tokens: impl Iterator<Item = TokenRow>) -> TokenTable {
        TokenTable { tokens: tokens.map(|row| (row.hash, row)).collect() }
    }

    /// Whose token it is and what it allows.
    pub fn bearer(&self, hash: &SecretHash, now: Timestamp) -> Result<(&Name, Role), TokenRefusal> {
        let row = self.tokens.get(hash).ok_or(TokenRefusal::Unknown)?;
        match (row.state, row.expires) {
            (TokenState::Revoked { .. }, _) => Err(TokenRefusal::Revoked),
            (TokenState::Valid, Expiry::At(at)) if at <= now => Err(TokenRefusal::Expired),
            (TokenState::Valid, _) => Ok((&row.name, row.role)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_let_in_while_the_token_counts() {
        let now = Timestamp(100);
        let row = |text: &str, secret: u8, expires, state| TokenRow {
            name: Name::new(text).expect("a name"),
            hash: SecretHash([secret; 32]),
            role: Role::Operator,
            created_at: Timestamp(1),
            expires,
            state,
        };
        let rows = [
            row("good", 1, Expiry::At(Timestamp(101)), TokenState::Valid),
            row("over", 2, Expiry::At(now), TokenState::Valid),
            row("revoked", 3, Expiry::Never, TokenState::Revoked { at: Timestamp(2) }),
        ];
        let table = TokenTable::new(rows.into_iter());
        for (secret, expected) in [
            (1, Ok("good")),
            (2, Err(TokenRefusal::Expired)),
            (3, Err(TokenRefusal::Revoked)),
            (4, Err(TokenRefusal::Unknown)),
        ] {
            let found = table.bearer(&SecretHash([secret; 32]), now).map(|(name, _)| name.to_string());
            assert_eq!(found, expected.map(str::to_string), "{secret}");
        }
    }
}
