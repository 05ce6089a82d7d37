//! Who may do what: roles of people's tokens, and the hashes under which secrets are kept.
//! Must not know a secret itself: it is drawn and shown at the edge, and only its hash comes here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the bearer of a token may do; each may all that the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Applies, starts, cancels.
    Operator,
    /// Changes the cluster itself: masters, workers, tokens, settings.
    Admin,
}

/// SHA-256 of a secret; 64 hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash(pub [u8; 32]);

/// The text is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct SecretHashError;

impl TryFrom<String> for SecretHash {
    type Error = SecretHashError;

    fn try_from(text: String) -> Result<SecretHash, SecretHashError> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SecretHashError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SecretHashError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SecretHashError)?;
        }
        Ok(SecretHash(bytes))
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The first digits only: enough to tell hashes apart in a log, too few to be of use.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_text_and_back_and_nothing_else_is_one() {
        let hash = SecretHash(std::array::from_fn(|place| place as u8 * 7));
        let text = String::from(hash);
        assert_eq!(SecretHash::try_from(text.clone()), Ok(hash));
        for wrong in [&text[1..], "", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(SecretHash::try_from(wrong.to_string()), Err(SecretHashError), "{wrong}");
        }
    }

    #[test]
    fn a_higher_role_is_more() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
