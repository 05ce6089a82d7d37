//! Who a cluster of one host is: made once, kept in one file, the same after a restart. All its nodes read that file,
//! which holds secrets, so only the user may read it. A cluster of several hosts has certificates instead.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use hortator_raft::Entropy;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::env::{OsEntropy, Secret, Security};
use crate::pki::{ClusterFacts, from_hex};

/// Shards of a cluster in one process (architecture section 4).
const SHARDS: u32 = 1;

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    cluster: String,
    masters: u32,
    shards: u32,
    generation: u32,
    /// Of the API.
    pub token: String,
    /// Between nodes.
    secret: String,
}

impl Identity {
    /// Of several nodes that find no file at the same time one makes it, and all use that.
    pub fn load_or_create(path: &Path, masters: u32) -> Result<Identity, Error> {
        let failed = |source| Error::Data { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        if !path.try_exists().map_err(failed)? {
            Identity::new(masters).save(path).map_err(failed)?;
        }
        Identity::parse(path, &fs::read_to_string(path).map_err(failed)?, masters)
    }

    /// As a worker reads it, which waits for its masters anyway.
    pub fn load(path: &Path) -> Result<Identity, Error> {
        let read = fs::read_to_string(path);
        let text = read.map_err(|source| Error::Data { path: path.to_owned(), source })?;
        Identity::check(path, &text)
    }

    fn parse(path: &Path, text: &str, masters: u32) -> Result<Identity, Error> {
        let identity = Identity::check(path, text)?;
        if identity.masters != masters {
            let why = format!("it has {} masters, {masters} were asked for", identity.masters);
            return Err(Error::Identity { path: path.to_owned(), why });
        }
        Ok(identity)
    }

    fn check(path: &Path, text: &str) -> Result<Identity, Error> {
        let refuse = |why: String| Error::Identity { path: path.to_owned(), why };
        let identity: Identity = toml::from_str(text).map_err(|error| refuse(error.message().to_string()))?;
        if from_hex::<16>(&identity.cluster).is_none() || from_hex::<32>(&identity.secret).is_none() {
            return Err(refuse("an id in it is cut short".to_string()));
        }
        Ok(identity)
    }

    fn new(masters: u32) -> Identity {
        let mut entropy = OsEntropy::new();
        let mut draw = |count: usize| -> String {
            (0..count).map(|_| format!("{:016x}", entropy.next_u64("identity"))).collect()
        };
        Identity { cluster: draw(2), masters, shards: SHARDS, generation: 1, token: draw(4), secret: draw(4) }
    }

    /// Written whole under a name of its own, then linked: a crash leaves no half of it, and who comes second finds
    /// what the first has made.
    fn save(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new().prefix(".cluster-").tempfile_in(directory)?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
            Ok(_) => fs::File::open(directory)?.sync_all(),
        }
    }

    /// What the nodes need, with the name that people call it by.
    pub fn facts(&self, name: &str) -> ClusterFacts {
        ClusterFacts {
            cluster: from_hex(&self.cluster).expect("checked when it was read"),
            name: name.to_owned(),
            generation: self.generation,
            shards: self.shards,
        }
    }

    /// How they know each other.
    pub fn security(&self) -> Security {
        Security::Secret(Secret(from_hex(&self.secret).expect("checked when it was read")))
    }
}
