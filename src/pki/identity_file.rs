//! Who this node is, kept in its data directory: `identity.toml` with the facts of its cluster, and beside it the
//! authority's certificate, the node's, and the node's key. Readable by its owner only.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::certified::{self, Certified};
use super::{CertificateError, NodeKey, NodeName, NodeRole, from_hex, hex};

const FACTS: &str = "identity.toml";
const AUTHORITY: &str = "ca.pem";
const CERTIFICATE: &str = "node.pem";
const KEY: &str = "node.key";

/// What a node knows of its cluster from the first day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    pub cluster: [u8; 16],
    pub name: String,
    pub generation: u32,
    pub shards: u32,
}

#[derive(Debug)]
pub struct Identity {
    pub facts: ClusterFacts,
    pub role: NodeRole,
    pub authority_pem: String,
    pub certificate_pem: String,
    pub key: NodeKey,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} holds no identity: this node has not joined a cluster. Form one with `hortator cluster init`, or join one with a join token", .0.display())]
    Absent(PathBuf),
    #[error("{} is missing beside {FACTS}: restore it, or join again with a new join token", .0.display())]
    Missing(PathBuf),
    #[error("cannot use {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {why}. Restore it, or join again with a new join token", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{CERTIFICATE} cannot be read: {0}")]
    Certificate(CertificateError),
    #[error("{CERTIFICATE} is not signed by the authority in {AUTHORITY}: the files are of two clusters")]
    ForeignAuthority,
    #[error("{CERTIFICATE} is another node's than {FACTS} says: the files are of two nodes")]
    Renamed,
    #[error("{KEY} does not belong to {CERTIFICATE}: the files are of two nodes")]
    OtherKey,
}

/// `identity.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    /// `master/3` or `worker/w1`.
    node: String,
    cluster: String,
    cluster_name: String,
    generation: u32,
    shards: u32,
}

impl Identity {
    pub fn read(directory: &Path) -> Result<Identity, IdentityError> {
        let path = directory.join(FACTS);
        let text = match read(&path) {
            Err(IdentityError::Missing(_)) => return Err(IdentityError::Absent(directory.to_owned())),
            other => other?,
        };
        let damaged = |why: String| IdentityError::Damaged { path: path.clone(), why };
        let facts: Facts = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let role = facts.node.parse().map_err(|error| damaged(format!("{error}")))?;
        let cluster =
            from_hex(&facts.cluster).ok_or_else(|| damaged("the cluster's id is cut off".into()))?;
        let key_path = directory.join(KEY);
        let key = NodeKey::from_pem(&read(&key_path)?)
            .map_err(|error| IdentityError::Damaged { path: key_path, why: error.to_string() })?;
        let identity = Identity {
            facts: ClusterFacts {
                cluster,
                name: facts.cluster_name,
                generation: facts.generation,
                shards: facts.shards,
            },
            role,
            authority_pem: read(&directory.join(AUTHORITY))?,
            certificate_pem: read(&directory.join(CERTIFICATE))?,
            key,
        };
        identity.check()?;
        Ok(identity)
    }

    /// Writes the facts last: while they are absent, the node has not joined.
    pub fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        self.check()?;
        let facts = Facts {
            node: self.role.to_string(),
            cluster: hex(&self.facts.cluster),
            cluster_name: self.facts.name.clone(),
            generation: self.facts.generation,
            shards: self.facts.shards,
        };
        let facts = toml::to_string(&facts).expect("texts and numbers make a table");
        fs::create_dir_all(directory)
            .map_err(|source| IdentityError::Io { path: directory.to_owned(), source })?;
        let key = self.key.pem();
        for (name, text) in [
            (AUTHORITY, &self.authority_pem),
            (KEY, &key),
            (CERTIFICATE, &self.certificate_pem),
            (FACTS, &facts),
        ] {
            replace(directory, name, text)?;
        }
        Ok(())
    }

    /// A renewed certificate takes the old one's place; it is over the same key, so one file changes.
    pub fn replace_certificate(
        &mut self,
        directory: &Path,
        certificate_pem: String,
    ) -> Result<(), IdentityError> {
        let old = std::mem::replace(&mut self.certificate_pem, certificate_pem);
        let written = self.check().and_then(|()| replace(directory, CERTIFICATE, &self.certificate_pem));
        if written.is_err() {
            self.certificate_pem = old;
        }
        written
    }

    /// What the node's certificate says.
    pub fn certified(&self) -> Result<Certified, IdentityError> {
        Certified::from_pem(&self.certificate_pem).map_err(IdentityError::Certificate)
    }

    /// The parts belong together. Whether the certificate has expired is for those who use it.
    pub(super) fn check(&self) -> Result<(), IdentityError> {
        let certified = self.certified()?;
        if certified.name != (NodeName { cluster: self.facts.cluster, role: self.role.clone() }) {
            return Err(IdentityError::Renamed);
        }
        let der = certified::der(&self.certificate_pem).map_err(IdentityError::Certificate)?;
        let (cluster, authority) = certified::read_authority(&self.authority_pem).map_err(|error| {
            IdentityError::Damaged { path: PathBuf::from(AUTHORITY), why: error.to_string() }
        })?;
        let signed = certified::signed_by(&der, &authority).map_err(IdentityError::Certificate)?;
        if cluster != Some(self.facts.cluster) || !signed {
            return Err(IdentityError::ForeignAuthority);
        }
        match certified::public_key(&der).map_err(IdentityError::Certificate)? == self.key.public() {
            true => Ok(()),
            false => Err(IdentityError::OtherKey),
        }
    }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing(path.to_owned()),
        _ => IdentityError::Io { path: path.to_owned(), source },
    })
}

/// Whole under another name, then renamed: a crash leaves the old file or the new one. Readable by its owner only.
pub fn replace(directory: &Path, name: &str, text: &str) -> Result<(), IdentityError> {
    let path = directory.join(name);
    let new = directory.join(format!("{name}.new"));
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| IdentityError::Io { path: path.clone(), source })
}
