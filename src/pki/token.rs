//! The two kinds of secrets that people carry from one place to another, as text that tells when it was mistyped:
//! `hjt1_…` lets one node join, `hat_…` opens the API. Only their SHA-256 is ever kept by the cluster.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::sha256;

const JOIN_PREFIX: &str = "hjt1_";
const API_PREFIX: &str = "hat_";
/// Random bytes of a secret; guessing is hopeless.
const SECRET_BYTES: usize = 32;
/// Of the CRC-32 at the end, against typing errors.
const CHECK_BYTES: usize = 4;
/// Masters that a joining node may ask; one that answers is enough.
const SEEDS_MAX: usize = 32;
/// A token with all its seeds; longer text is something else.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Lets one node join: which cluster, how to know its masters, the secret, and where to ask.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub cluster: [u8; 16],
    /// SHA-256 of the authority's certificate.
    pub ca_fingerprint: [u8; 32],
    pub id: String,
    pub secret: [u8; SECRET_BYTES],
    /// API addresses of masters, `HOST:PORT`.
    pub seeds: Vec<String>,
}

/// Opens the API. The text is the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is not a join token: those begin with {JOIN_PREFIX}")]
    NotAJoinToken,
    #[error("this is an API token; a node joins with a join token, which begins with {JOIN_PREFIX}")]
    ApiTokenInstead,
    #[error("this is not an API token: those begin with {API_PREFIX}")]
    NotAnApiToken,
    #[error(
        "the token is damaged: a character of it was changed or lost on the way; copy it again as a whole"
    )]
    Damaged,
    #[error("the token is of a later version of Hortator")]
    Later,
}

/// What the cluster keeps of a secret text.
pub fn hash(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

/// From the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

impl JoinToken {
    /// What the cluster keeps of the secret.
    pub fn secret_hash(&self) -> [u8; 32] {
        sha256(&self.secret)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.id)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(self.cluster);
        bytes.extend(self.ca_fingerprint);
        bytes.extend(self.secret);
        put_text(&mut bytes, &self.id);
        let seeds = &self.seeds[..self.seeds.len().min(SEEDS_MAX)];
        bytes.push(seeds.len() as u8);
        for seed in seeds {
            put_text(&mut bytes, seed);
        }
        write!(f, "{JOIN_PREFIX}{}", encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<JoinToken, TokenError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix(JOIN_PREFIX) else {
            return Err(match text {
                _ if text.starts_with(API_PREFIX) => TokenError::ApiTokenInstead,
                _ if text.starts_with("hjt") => TokenError::Later,
                _ => TokenError::NotAJoinToken,
            });
        };
        read(&decode(rest)?).ok_or(TokenError::Damaged)
    }
}

fn read(bytes: &[u8]) -> Option<JoinToken> {
    let (cluster, rest) = bytes.split_first_chunk::<16>()?;
    let (ca_fingerprint, rest) = rest.split_first_chunk::<32>()?;
    let (secret, rest) = rest.split_first_chunk::<SECRET_BYTES>()?;
    let (id, rest) = take_text(rest)?;
    let (count, mut rest) = rest.split_first()?;
    if usize::from(*count) > SEEDS_MAX {
        return None;
    }
    let mut seeds = Vec::new();
    for _ in 0..*count {
        let (seed, after) = take_text(rest)?;
        seeds.push(seed.to_owned());
        rest = after;
    }
    let token = JoinToken {
        cluster: *cluster,
        ca_fingerprint: *ca_fingerprint,
        id: id.to_owned(),
        secret: *secret,
        seeds,
    };
    rest.is_empty().then_some(token)
}

impl ApiToken {
    pub fn create() -> ApiToken {
        let secret: [u8; SECRET_BYTES] = random_bytes();
        ApiToken(format!("{API_PREFIX}{}", encode(secret.to_vec())))
    }

    /// The secret.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken")
    }
}

impl FromStr for ApiToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<ApiToken, TokenError> {
        let text = text.trim();
        let rest = text.strip_prefix(API_PREFIX).ok_or(TokenError::NotAnApiToken)?;
        match decode(rest)?.len() {
            SECRET_BYTES => Ok(ApiToken(text.to_owned())),
            _ => Err(TokenError::Damaged),
        }
    }
}

fn encode(mut bytes: Vec<u8>) -> String {
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TokenError::Damaged);
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Damaged)?;
    let kept = bytes.len().checked_sub(CHECK_BYTES).ok_or(TokenError::Damaged)?;
    let check = bytes.split_off(kept);
    if check != crc32fast::hash(&bytes).to_le_bytes() {
        return Err(TokenError::Damaged);
    }
    Ok(bytes)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("ids and addresses are short");
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
