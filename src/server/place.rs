//! Which cluster a node belongs to: by the identity on its disk, or by the file that all nodes of a host share. And
//! whether it may listen where it is told to.

use std::net::SocketAddr;
use std::path::Path;

use hortator_actors::membership::FirstToken;
use hortator_actors::membership::{Founder, Founding as Beginning, Genesis};
use hortator_core::access::Role;
use hortator_core::id::Name;
use slog::Logger;

use super::Error;
use super::addresses::Reachable;
use super::forming::Founding;
use super::joining;
use super::known_masters;
use super::renewal::Papers;
use crate::config::{DevelopmentSection, MasterFile, WorkerFile};
use crate::env::Security;
use crate::node::{Identity as Shared, founded_by};
use crate::pki::{ClusterFacts, Identity, JoinToken, NodeRole, TlsIdentity};

/// What people call a cluster of the development form.
const DEVELOPMENT_NAME: &str = "development";

/// What a master learns of its cluster before it starts.
#[derive(Debug)]
pub(super) struct MasterPlace {
    pub(super) id: u64,
    pub(super) facts: ClusterFacts,
    pub(super) security: Security,
    pub(super) founding: Beginning,
    pub(super) entrance: Entrance,
}

/// How clients come in, and how masters find each other.
#[derive(Debug)]
pub(super) enum Entrance {
    /// One token, and given addresses of all masters.
    Shared { token: String, peers: Vec<String> },
    /// Tokens and addresses are in the cluster's rows.
    Certified { papers: Box<Papers>, here: Reachable },
}

/// What a worker learns of its cluster before it starts.
#[derive(Debug)]
pub(super) struct WorkerPlace {
    pub(super) facts: ClusterFacts,
    pub(super) security: Security,
    pub(super) masters: Vec<String>,
    /// None where all nodes of a host share a secret.
    pub(super) papers: Option<Papers>,
}

pub(super) fn of_master(
    file: &MasterFile,
    token: Option<JoinToken>,
    log: &Logger,
) -> Result<MasterPlace, Error> {
    if let Some(shared_file) = &file.development.shared_file {
        let listen = &file.listen;
        for (key, address) in
            [("listen.peers", listen.peers), ("listen.workers", listen.workers), ("listen.api", listen.api)]
        {
            only_loopback(key, address)?;
        }
        return of_development(&file.development, shared_file);
    }
    let identity = joining::master_identity(file, token, log)?;
    let NodeRole::Master(id) = identity.role else { unreachable!("it was looked at just now") };
    let reachable = Reachable::of(&file.listen, &file.advertise)?;
    let founding = match Founding::read(&file.node.data)? {
        None => Beginning::Joiner,
        Some(founding) => Beginning::First(Box::new(genesis(&identity.facts, id, &reachable, &founding))),
    };
    let papers = papers(&file.node.data, identity)?;
    let (facts, security) = (papers.identity.facts.clone(), Security::Tls(papers.tls.clone()));
    let entrance = Entrance::Certified { papers: Box::new(papers), here: reachable };
    Ok(MasterPlace { id, facts, security, founding, entrance })
}

fn genesis(facts: &ClusterFacts, id: u64, reachable: &Reachable, founding: &Founding) -> Genesis {
    let name = Name::new(&format!("n{id}")).expect("a letter and digits are a name");
    let Reachable { peers, workers, api } = reachable.clone();
    Genesis {
        cluster: facts.cluster,
        shards: facts.shards,
        generation: facts.generation,
        masters: vec![Founder { id, name, peer: peers, worker: workers, api }],
        authority: Some(founding.authority()),
        tokens: vec![FirstToken {
            name: Name::new("admin").expect("a word is a name"),
            hash: founding.admin(),
            role: Role::Admin,
        }],
    }
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
    let shared = Shared::load_or_create(shared_file, masters.len() as u32)?;
    let facts = shared.facts(DEVELOPMENT_NAME);
    let peers = section.masters.iter().map(|master| master.peers.to_string()).collect();
    Ok(MasterPlace {
        id: section.id,
        security: shared.security(),
        founding: founded_by(&facts, &masters),
        facts,
        entrance: Entrance::Shared { token: shared.token, peers },
    })
}

pub(super) fn of_worker(
    file: &WorkerFile,
    name: &Name,
    token: Option<JoinToken>,
    log: &Logger,
) -> Result<WorkerPlace, Error> {
    file.listen.http.map_or(Ok(()), |address| only_loopback("listen.http", address))?;
    let masters = file.worker.masters.clone();
    let place = match &file.development.shared_file {
        Some(shared_file) => {
            let shared = Shared::load(shared_file)?;
            let (facts, security) = (shared.facts(DEVELOPMENT_NAME), shared.security());
            WorkerPlace { facts, security, masters, papers: None }
        }
        None => {
            let identity = joining::worker_identity(file, name, token, log)?;
            let known = known_masters::read(&file.node.data).into_iter().map(|master| master.worker);
            let more: Vec<String> = known.filter(|address| !masters.contains(address)).collect();
            of_identity(papers(&file.node.data, identity)?, [masters, more].concat())
        }
    };
    if place.masters.is_empty() { Err(Error::NoMasters) } else { Ok(place) }
}

fn of_identity(papers: Papers, masters: Vec<String>) -> WorkerPlace {
    let (facts, security) = (papers.identity.facts.clone(), Security::Tls(papers.tls.clone()));
    WorkerPlace { facts, security, masters, papers: Some(papers) }
}

fn papers(data: &Path, identity: Identity) -> Result<Papers, Error> {
    let tls = TlsIdentity::new(&identity)?;
    Ok(Papers { data: data.to_owned(), identity, tls })
}

fn only_loopback(key: &'static str, address: SocketAddr) -> Result<(), Error> {
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err(Error::Plain { key, address }),
    }
}
