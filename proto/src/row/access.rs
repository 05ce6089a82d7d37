//! Rows of who may do what and who belongs to the cluster, as messages and back.
//! Must not judge: whether a token counts is decided elsewhere.

use hortator_core::access::SecretHash;
use hortator_core::time::Timestamp;

use hortator_core::cluster::{JoinRole, JoinedAs};

use super::{CaRow, Expiry, JoinTokenRow, JoinTokenState, MasterRow, TokenRow, TokenState};
use crate::codec::Form;
use crate::convert::enumerations::Choice;
use crate::convert::{id, unknown_kind};
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::row as wire;

impl Form for TokenRow {
    type Message = wire::TokenRow;
    const WHAT: &'static str = "token's row";

    fn to_message(&self) -> wire::TokenRow {
        wire::TokenRow {
            name: self.name.to_string(),
            hash: bytes::Bytes::copy_from_slice(&self.hash.0),
            role: self.role.wire(),
            created_at: self.created_at.0,
            expires_at: match self.expires {
                Expiry::Never => None,
                Expiry::At(at) => Some(at.0),
            },
            revoked_at: match self.state {
                TokenState::Valid => None,
                TokenState::Revoked { at } => Some(at.0),
            },
            ..Default::default()
        }
    }

    fn from_message(message: wire::TokenRow) -> Result<TokenRow, Unreadable> {
        Ok(TokenRow {
            name: id::name(message.name)?,
            hash: hash(&message.hash)?,
            role: Choice::read(message.role)?,
            created_at: Timestamp(message.created_at),
            expires: message.expires_at.map_or(Expiry::Never, |at| Expiry::At(Timestamp(at))),
            state: message
                .revoked_at
                .map_or(TokenState::Valid, |at| TokenState::Revoked { at: Timestamp(at) }),
        })
    }
}

impl Form for MasterRow {
    type Message = wire::MasterRow;
    const WHAT: &'static str = "master's row";

    fn to_message(&self) -> wire::MasterRow {
        wire::MasterRow {
            id: self.id,
            name: self.name.to_string(),
            peer: self.peer.clone(),
            worker: self.worker.clone(),
            api: self.api.clone(),
            state: self.state.wire(),
            added_at: self.added_at.0,
            ..Default::default()
        }
    }

    fn from_message(message: wire::MasterRow) -> Result<MasterRow, Unreadable> {
        Ok(MasterRow {
            id: message.id,
            name: id::name(message.name)?,
            peer: message.peer,
            worker: message.worker,
            api: message.api,
            state: Choice::read(message.state)?,
            added_at: Timestamp(message.added_at),
        })
    }
}

impl Form for JoinTokenRow {
    type Message = wire::JoinTokenRow;
    const WHAT: &'static str = "join token's row";

    fn to_message(&self) -> wire::JoinTokenRow {
        use wire::join_token_row::Role;
        wire::JoinTokenRow {
            id: self.id.clone(),
            hash: bytes::Bytes::copy_from_slice(&self.hash.0),
            role: Some(match &self.role {
                JoinRole::Master { name } => Role::Master(name.to_string()),
                JoinRole::Worker => Role::Worker(Nothing::default()),
            }),
            created_at: self.created_at.0,
            expires_at: self.expires_at.0,
            used: match &self.state {
                JoinTokenState::Open => None.into(),
                JoinTokenState::Used { by, at, key } => Some(use_message(by, *at, key)).into(),
            },
            ..Default::default()
        }
    }

    fn from_message(message: wire::JoinTokenRow) -> Result<JoinTokenRow, Unreadable> {
        use wire::join_token_row::Role;
        Ok(JoinTokenRow {
            id: message.id,
            hash: hash(&message.hash)?,
            role: match message.role {
                Some(Role::Master(name)) => JoinRole::Master { name: id::name(name)? },
                Some(Role::Worker(_)) => JoinRole::Worker,
                None => return Err(unknown_kind("role of a join token", &message.special_fields)),
            },
            created_at: Timestamp(message.created_at),
            expires_at: Timestamp(message.expires_at),
            state: match message.used.into_option() {
                None => JoinTokenState::Open,
                Some(used) => read_use(used)?,
            },
        })
    }
}

fn use_message(by: &JoinedAs, at: Timestamp, key: &SecretHash) -> wire::JoinTokenUse {
    use wire::join_token_use::By;
    wire::JoinTokenUse {
        at: at.0,
        key: bytes::Bytes::copy_from_slice(&key.0),
        by: Some(match by {
            JoinedAs::Master { id } => By::Master(*id),
            JoinedAs::Worker { name } => By::Worker(name.to_string()),
        }),
        ..Default::default()
    }
}

fn read_use(message: wire::JoinTokenUse) -> Result<JoinTokenState, Unreadable> {
    use wire::join_token_use::By;
    let by = match message.by {
        Some(By::Master(id)) => JoinedAs::Master { id },
        Some(By::Worker(name)) => JoinedAs::Worker { name: id::name(name)? },
        None => return Err(unknown_kind("user of a join token", &message.special_fields)),
    };
    Ok(JoinTokenState::Used { by, at: Timestamp(message.at), key: hash(&message.key)? })
}

impl Form for CaRow {
    type Message = wire::CaRow;
    const WHAT: &'static str = "row of the cluster's authority";

    fn to_message(&self) -> wire::CaRow {
        wire::CaRow { certificate: self.certificate.clone(), key: self.key.clone(), ..Default::default() }
    }

    fn from_message(message: wire::CaRow) -> Result<CaRow, Unreadable> {
        Ok(CaRow { certificate: message.certificate, key: message.key })
    }
}

fn hash(bytes: &[u8]) -> Result<SecretHash, Unreadable> {
    bytes.try_into().map(SecretHash).map_err(|_| Unreadable::Missing("hash of 32 bytes"))
}
