//! Which cluster a node belongs to, from its configuration, and whether it may listen where it is told to.

use std::net::SocketAddr;
use std::path::Path;

use super::Error;
use crate::config::{DevelopmentSection, MasterFile, WorkerFile};
use crate::env::Security;
use crate::node::Identity;
use crate::pki::ClusterFacts;

/// What people call a cluster of the development form.
const DEVELOPMENT_NAME: &str = "development";

/// What a master learns of its cluster before it starts.
#[derive(Debug)]
pub(super) struct MasterPlace {
    pub(super) id: u64,
    pub(super) facts: ClusterFacts,
    pub(super) security: Security,
    pub(super) masters: Vec<u64>,
    /// Of the other masters and this one.
    pub(super) peers: Vec<String>,
    /// Of the API.
    pub(super) token: String,
}

/// What a worker learns of its cluster before it starts.
#[derive(Debug)]
pub(super) struct WorkerPlace {
    pub(super) facts: ClusterFacts,
    pub(super) security: Security,
}

pub(super) fn of_master(file: &MasterFile) -> Result<MasterPlace, Error> {
    let Some(shared_file) = &file.development.shared_file else {
        return Err(Error::NoIdentity { data: file.node.data.clone() });
    };
    let listen = &file.listen;
    for (key, address) in
        [("listen.peers", listen.peers), ("listen.workers", listen.workers), ("listen.api", listen.api)]
    {
        only_loopback(key, address)?;
    }
    of_development(&file.development, shared_file)
}

fn of_development(section: &DevelopmentSection, shared_file: &Path) -> Result<MasterPlace, Error> {
    let refuse = |why: String| Err(Error::Development { why });
    let mut masters: Vec<u64> = section.masters.iter().map(|master| master.id).collect();
    masters.sort_unstable();
    if masters.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("two masters have the same id".into());
    }
    if masters.is_empty() {
        masters.push(section.id);
    }
    if !masters.contains(&section.id) || section.id == 0 {
        return refuse(format!("development.id is {}, which is not among {masters:?}", section.id));
    }
    let identity = Identity::load_or_create(shared_file, masters.len() as u32)?;
    Ok(MasterPlace {
        id: section.id,
        facts: identity.facts(DEVELOPMENT_NAME),
        security: identity.security(),
        masters,
        peers: section.masters.iter().map(|master| master.peers.to_string()).collect(),
        token: identity.token,
    })
}

pub(super) fn of_worker(file: &WorkerFile) -> Result<WorkerPlace, Error> {
    let Some(shared_file) = &file.development.shared_file else {
        return Err(Error::NoIdentity { data: file.node.data.clone() });
    };
    file.listen.http.map_or(Ok(()), |address| only_loopback("listen.http", address))?;
    let identity = Identity::load(shared_file)?;
    Ok(WorkerPlace { facts: identity.facts(DEVELOPMENT_NAME), security: identity.security() })
}

fn only_loopback(key: &'static str, address: SocketAddr) -> Result<(), Error> {
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err(Error::Plain { key, address }),
    }
}
