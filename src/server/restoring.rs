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
use crate::pki::{ApiToken, Ca, ClusterFacts, Identity, NodeKey, NodeRole, random_bytes};

/// Makes the directory of the first master of a new cluster; nothing runs yet. Without a name it has the old one's.
pub fn restore(backup: &Path, file: &MasterFile, name: Option<&str>) -> Result<Formed, Error> {
    let data = &file.node.data;
    check_unused(data)?;
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
    let store = FileStore::open(data).map_err(|source| unusable(data, source))?;
    plant(backup, &new, &store, &mut OsEntropy::new())?;
    let token_file = data.join(ADMIN_TOKEN);
    write_private(&token_file, &format!("{}\n", token.text()))?;
    // The identity comes last: while it is absent, nothing can be started here.
    Identity { facts: facts.clone(), role, authority_pem, certificate_pem, key }.write(data)?;
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
