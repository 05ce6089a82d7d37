//! How a new cluster comes out of a backup: like one that is formed, with an id, an authority and a first token of its
//! own, but its groups begin with the backup's rows. Must not know what is in them.

use std::fs;
use std::path::Path;

use hortator_actors::seam::Clock;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::MasterState;
use hortator_core::id::Name;
use hortator_proto::row::{CaRow, Expiry, MasterRow, TokenRow, TokenState};

use super::Error;
use super::addresses::Reachable;
use super::forming::{ADMIN_TOKEN, FIRST, Formed, check_unused, unusable, write_private};
use crate::backup::{NewCluster, inspect, plant};
use crate::config::MasterFile;
use crate::env::store::FileStore;
use crate::env::{OsEntropy, SystemClock};
use crate::pki::{ApiToken, Ca, ClusterFacts, Identity, IdentityError, NodeKey, NodeRole, random_bytes};

/// A file that is there before anything else of a restore, and goes when the identity is there.
const RESTORING: &str = "restoring";

/// Whether a restore began here and never came to its end. Nothing has ever run on what it left: without an identity nothing
/// starts.
pub(super) fn is_interrupted(data: &Path) -> bool {
    data.join(RESTORING).exists() && matches!(Identity::read(data), Err(IdentityError::Absent(_)))
}

/// Takes away what an interrupted restore has made, so that the next one begins from nothing.
fn clear(data: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(data).map_err(|source| unusable(data, source))? {
        let path = entry.map_err(|source| unusable(data, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("group-") || name == ADMIN_TOKEN {
            fs::remove_file(&path).map_err(|source| unusable(&path, source))?;
        }
    }
    Ok(())
}

/// Makes the directory of the first master of a new cluster; nothing runs yet. Without a name it has the old one's.
pub fn restore(backup: &Path, file: &MasterFile, name: Option<&str>) -> Result<Formed, Error> {
    let data = &file.node.data;
    match is_interrupted(data) {
        true => clear(data)?,
        false => check_unused(data)?,
    }
    let reachable = Reachable::of(&file.listen, &file.advertise)?;
    // All of it is read before anything is made of it.
    let header = inspect(backup)?.header;
    let now = SystemClock.wall();
    let facts = ClusterFacts {
        cluster: random_bytes(),
        name: name.unwrap_or(&header.name).to_owned(),
        generation: header.generation + 1,
        shards: header.shards,
    };
    let authority = Ca::create(facts.cluster, now);
    let (role, key, token) = (NodeRole::Master(FIRST), NodeKey::create(), ApiToken::create());
    let certificate_pem = authority.sign(&key.csr(), &role, &reachable.all(), now)?;
    let authority_pem = authority.certificate_pem().to_owned();
    let api = reachable.api.clone();
    let new = NewCluster {
        id: facts.cluster,
        generation: facts.generation,
        master: master(reachable, now),
        authority: CaRow { certificate: authority_pem.clone(), key: authority.key_pem() },
        admin: TokenRow {
            name: Name::new("admin").expect("a word is a name"),
            hash: SecretHash(token.hash()),
            role: Role::Admin,
            created_at: now,
            expires: Expiry::Never,
            state: TokenState::Valid,
        },
    };
    fs::create_dir_all(data).map_err(|source| unusable(data, source))?;
    let mark = data.join(RESTORING);
    write_private(&mark, "a restore has begun here and is not through\n")?;
    let store = FileStore::open(data).map_err(|source| unusable(data, source))?;
    plant(backup, &new, &store, &mut OsEntropy::new())?;
    let token_file = data.join(ADMIN_TOKEN);
    write_private(&token_file, &format!("{}\n", token.text()))?;
    // The identity comes last: while it is absent, nothing can be started here.
    Identity { facts: facts.clone(), role, authority_pem, certificate_pem, key }.write(data)?;
    // From here on the directory is the new master's, whether the mark is still there or not.
    fs::remove_file(&mark).map_err(|source| unusable(&mark, source))?;
    Ok(Formed { facts, fingerprint: authority.fingerprint(), token, token_file, api })
}

fn master(reachable: Reachable, now: hortator_core::time::Timestamp) -> MasterRow {
    let Reachable { peers, workers, api } = reachable;
    MasterRow {
        id: FIRST,
        name: Name::new(&format!("n{FIRST}")).expect("a letter and digits are a name"),
        peer: peers,
        worker: workers,
        api,
        state: MasterState::Member,
        added_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies there when the process dies after each of its steps, and what is gone when the next one begins.
    #[test]
    fn what_an_interrupted_restore_left_is_taken_away() {
        let all = ["group-1.new", "group-1.redb", "group-0.new", "group-0.redb", ADMIN_TOKEN];
        for steps in 0..=all.len() {
            let home = tempfile::tempdir().expect("a directory");
            let put = |name: &str| fs::write(home.path().join(name), "x").expect("written");
            put("kept.toml");
            assert!(!is_interrupted(home.path()), "nothing has begun");
            put(RESTORING);
            all[..steps].iter().for_each(|name| put(name));
            assert!(is_interrupted(home.path()));
            assert!(matches!(
                super::super::joining::check_empty(home.path()),
                Err(Error::Interrupted { .. })
            ));
            clear(home.path()).expect("cleared");
            let mut left: Vec<String> = fs::read_dir(home.path())
                .expect("readable")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            left.sort();
            assert_eq!(left, ["kept.toml", RESTORING], "after {steps} steps");
        }
    }
}
