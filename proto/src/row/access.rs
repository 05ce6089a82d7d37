//! Rows of who may do what and who belongs to the cluster, as messages and back.
//! Must not judge: whether a token counts is decided elsewhere.

use hortator_core::access::SecretHash;
use hortator_core::time::Timestamp;

use super::{Expiry, TokenRow, TokenState};
use crate::codec::Form;
use crate::convert::enumerations::Choice;
use crate::convert::id;
use crate::error::Unreadable;
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

fn hash(bytes: &[u8]) -> Result<SecretHash, Unreadable> {
    bytes.try_into().map(SecretHash).map_err(|_| Unreadable::Missing("hash of 32 bytes"))
}
