//! Who an embedded cluster is: made once, kept in its data directory, the same after a restart.
//! It holds secrets, so only the user may read it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hortator_raft::Entropy;
use serde::{Deserialize, Serialize};

use super::{EmbeddedConfig, Error};
use crate::env::{OsEntropy, Secret};

const FILE: &str = "cluster.toml";

/// Shards of an embedded cluster (architecture section 4).
const SHARDS: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    cluster: String,
    masters: u32,
    pub(super) shards: u32,
    pub(super) generation: u32,
    /// Of the API.
    pub(super) token: String,
    /// Between nodes.
    secret: String,
}

impl Identity {
    pub(super) fn load_or_create(config: &EmbeddedConfig) -> Result<Identity, Error> {
        let data_error = |source| Error::Data { path: config.data.clone(), source };
        fs::create_dir_all(&config.data).map_err(data_error)?;
        let path = config.data.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Identity::parse(&path, &text, config),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Identity::new(config.masters);
                identity.save(&path).map_err(data_error)?;
                Ok(identity)
            }
            Err(error) => Err(data_error(error)),
        }
    }

    fn parse(path: &Path, text: &str, config: &EmbeddedConfig) -> Result<Identity, Error> {
        let refuse = |why: String| Error::Identity { path: path.to_owned(), why };
        let identity: Identity = toml::from_str(text).map_err(|error| refuse(error.message().to_string()))?;
        if identity.masters != config.masters {
            return Err(refuse(format!(
                "it has {} masters, {} were asked for",
                identity.masters, config.masters
            )));
        }
        if bytes::<16>(&identity.cluster).is_none() || bytes::<32>(&identity.secret).is_none() {
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

    /// Written whole under another name, then renamed: a crash leaves the old file or the new one.
    fn save(&self, path: &Path) -> std::io::Result<()> {
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        let new = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    pub(super) fn cluster(&self) -> [u8; 16] {
        bytes(&self.cluster).expect("checked when it was read")
    }

    pub(super) fn secret(&self) -> Secret {
        Secret(bytes(&self.secret).expect("checked when it was read"))
    }
}

/// Hexadecimal digits as bytes; none when there are too few or other ones.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
