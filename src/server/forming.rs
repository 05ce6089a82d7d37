//! How a cluster comes into being: its first master makes the authority, itself a certificate, and the first token.
//! What the first start needs beyond the identity lies in one file beside it until it is in the cluster's rows.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hortator_actors::seam::Clock;
use hortator_core::access::SecretHash;
use hortator_proto::row::CaRow;
use serde::{Deserialize, Serialize};

use super::Error;
use super::addresses::Reachable;
use crate::config::MasterFile;
use crate::env::SystemClock;
use crate::pki::{
    ApiToken, Ca, ClusterFacts, Identity, IdentityError, NodeKey, NodeRole, from_hex, hex, random_bytes,
};

const FOUNDING: &str = "founding.toml";
pub(super) const ADMIN_TOKEN: &str = "admin.token";
/// Of the master that forms a cluster.
pub(super) const FIRST: u64 = 1;
/// Raised when a cluster is restored from a backup.
const FIRST_GENERATION: u32 = 1;

/// What people learn of a new cluster.
#[derive(Debug)]
pub struct Formed {
    pub facts: ClusterFacts,
    /// SHA-256 of the authority's certificate.
    pub fingerprint: String,
    /// Shown once.
    pub token: ApiToken,
    pub token_file: PathBuf,
    /// Of the first master's API.
    pub api: String,
}

/// Makes the first master's directory; nothing runs yet.
pub fn form(file: &MasterFile, name: &str, shards: u32) -> Result<Formed, Error> {
    let data = &file.node.data;
    check_unused(data)?;
    let reachable = Reachable::of(&file.listen, &file.advertise)?;
    let now = SystemClock.wall();
    let facts =
        ClusterFacts { cluster: random_bytes(), name: name.to_owned(), generation: FIRST_GENERATION, shards };
    let authority = Ca::create(facts.cluster, now);
    let (role, key, token) = (NodeRole::Master(FIRST), NodeKey::create(), ApiToken::create());
    let certificate_pem = authority.sign(&key.csr(), &role, &reachable.all(), now)?;
    let identity = Identity {
        facts: facts.clone(),
        role,
        authority_pem: authority.certificate_pem().to_owned(),
        certificate_pem,
        key,
    };
    let founding = Founding {
        authority: authority.certificate_pem().to_owned(),
        authority_key: authority.key_pem(),
        admin: hex(&token.hash()),
    };
    fs::create_dir_all(data).map_err(|source| unusable(data, source))?;
    founding.write(data)?;
    let token_file = data.join(ADMIN_TOKEN);
    write_private(&token_file, &format!("{}\n", token.text()))?;
    // The identity comes last: while it is absent, nothing has happened.
    identity.write(data)?;
    Ok(Formed { facts, fingerprint: authority.fingerprint(), token, token_file, api: reachable.api })
}

/// A directory that is somebody's already is left alone.
pub(super) fn check_unused(data: &Path) -> Result<(), Error> {
    match Identity::read(data) {
        Err(IdentityError::Absent(_)) => super::joining::check_empty(data),
        Ok(identity) => Err(Error::Somebodys {
            data: data.to_owned(),
            node: identity.role.to_string(),
            cluster: identity.facts.name,
        }),
        Err(error) => Err(error.into()),
    }
}

/// What the first start writes into the rows of the membership group.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Founding {
    authority: String,
    authority_key: String,
    /// Hash of the first token, hexadecimal.
    admin: String,
}

impl Founding {
    /// None when this master did not form the cluster, or its rows have everything.
    pub(super) fn read(data: &Path) -> Result<Option<Founding>, Error> {
        let path = data.join(FOUNDING);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| unusable(&path, source))?,
        };
        let damaged = |_| unusable(&path, io::Error::other("it is damaged"));
        toml::from_str(&text).map(Some).map_err(damaged)
    }

    fn write(&self, data: &Path) -> Result<(), Error> {
        let text = toml::to_string(self).expect("texts make a table");
        write_private(&data.join(FOUNDING), &text)
    }

    pub(super) fn authority(&self) -> CaRow {
        CaRow { certificate: self.authority.clone(), key: self.authority_key.clone() }
    }

    pub(super) fn admin(&self) -> SecretHash {
        SecretHash(from_hex(&self.admin).unwrap_or_default())
    }

    /// The rows have it now, and so has every other master that will be.
    pub(super) fn forget(data: &Path) -> Result<(), Error> {
        let path = data.join(FOUNDING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, error)),
            _ => Ok(()),
        }
    }
}

pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| unusable(path, source);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

pub(super) fn unusable(path: &Path, source: io::Error) -> Error {
    crate::node::Error::Data { path: path.to_owned(), source }.into()
}
