//! How a node joins a cluster: it shows its token to a master that has the right authority, once, and gets its
//! identity. A node that dies in between asks again with the same key.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hortator_actors::seam::Clock;
use hortator_core::cluster::Joiner;
use hortator_core::id::Name;
use hortator_proto::api::MasterDetail;
use slog::{Logger, info};

use super::Error;
use super::addresses::Reachable;
use super::known_masters::{self, KnownMaster};
use crate::cli::client::Patience;
use crate::cli::join::{Joined, join};
use crate::config::{JoinSection, MasterFile, WorkerFile};
use crate::env::SystemClock;
use crate::pki::{Ca, Identity, IdentityError, JoinToken, NodeKey, NodeRole};

/// Kept until the identity is written.
const KEY: &str = "joining.key";
/// Largest token file; a token with all its seeds is smaller.
const TOKEN_FILE_MAX: u64 = 64 << 10;
/// How long a master may take until it has the authority's row: an election, or a first snapshot.
const FORMED_MAX: Duration = Duration::from_secs(30);
const FORMED_LOOK: Duration = Duration::from_millis(10);
/// A master is at hand, or the token is of no use now.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(15),
    retry: Duration::from_secs(30),
};

/// Where a token may stand that nobody else on the host is to see, and no file is to keep.
const VARIABLE: &str = "HORTATOR_JOIN_TOKEN";

/// The token given on the command line, in the environment, or in the file that the configuration names. None without
/// any of them.
pub(super) fn token(given: Option<&str>, section: &JoinSection) -> Result<Option<JoinToken>, Error> {
    let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let text = match (given.map(str::to_owned).or(variable), &section.token_file) {
        (Some(text), _) => text,
        (None, None) => return Ok(None),
        (None, Some(path)) => {
            let unusable = |source| crate::node::Error::Data { path: path.clone(), source };
            if fs::metadata(path).map_err(unusable)?.len() > TOKEN_FILE_MAX {
                return Err(unusable(io::Error::other("it is far larger than a token")).into());
            }
            fs::read_to_string(path).map_err(unusable)?
        }
    };
    Ok(Some(text.trim().parse()?))
}

/// The master's identity: the one on disk, or a new one for the token.
pub(super) fn master_identity(
    file: &MasterFile,
    token: Option<JoinToken>,
    log: &Logger,
) -> Result<Identity, Error> {
    let joiner = || {
        let Reachable { peers, workers, api } = Reachable::of(&file.listen, &file.advertise)?;
        Ok(Joiner::Master { peer: peers, worker: workers, api })
    };
    let identity = identity(&file.node.data, token, joiner, log)?;
    match identity.role {
        NodeRole::Master(_) => Ok(identity),
        other => {
            Err(Error::OtherRole { data: file.node.data.clone(), is: other.to_string(), wanted: "master" })
        }
    }
}

/// The worker's identity, likewise.
pub(super) fn worker_identity(
    file: &WorkerFile,
    name: &Name,
    token: Option<JoinToken>,
    log: &Logger,
) -> Result<Identity, Error> {
    let joiner = || Ok(Joiner::Worker { name: name.clone() });
    let identity = identity(&file.node.data, token, joiner, log)?;
    match &identity.role {
        NodeRole::Worker(known) if known == name => Ok(identity),
        NodeRole::Worker(known) => Err(Error::Renamed { was: known.clone(), now: name.clone() }),
        other => {
            Err(Error::OtherRole { data: file.node.data.clone(), is: other.to_string(), wanted: "worker" })
        }
    }
}

fn identity(
    data: &Path,
    token: Option<JoinToken>,
    joiner: impl FnOnce() -> Result<Joiner, Error>,
    log: &Logger,
) -> Result<Identity, Error> {
    match (Identity::read(data), token) {
        (Ok(identity), Some(token)) if token.cluster != identity.facts.cluster => {
            Err(Error::OtherCluster { data: data.to_owned(), cluster: identity.facts.name })
        }
        // A token in a file stays there after its use.
        (Ok(identity), _) => Ok(identity),
        (Err(IdentityError::Absent(_)), None) => Err(Error::NoIdentity { data: data.to_owned() }),
        (Err(IdentityError::Absent(_)), Some(token)) => {
            check_empty(data)?;
            let key = kept_key(data)?;
            redeem(data, &token, key, joiner()?, log)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Groups' files without an identity are those of a master that was: what it has promised there must not be doubled.
pub(super) fn check_empty(data: &Path) -> Result<(), Error> {
    if super::restoring::is_interrupted(data) {
        return Err(Error::Interrupted { data: data.to_owned() });
    }
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| unusable(data, source))?,
    };
    let is_group = |name: &str| name.ends_with(".redb");
    match entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_group)) {
        true => Err(Error::Remains { data: data.to_owned() }),
        false => Ok(()),
    }
}

/// The same key as in an attempt before.
fn kept_key(data: &Path) -> Result<NodeKey, Error> {
    let path = data.join(KEY);
    fs::create_dir_all(data).map_err(|source| unusable(data, source))?;
    if let Ok(text) = fs::read_to_string(&path)
        && let Ok(key) = NodeKey::from_pem(&text)
    {
        return Ok(key);
    }
    let key = NodeKey::create();
    super::forming::write_private(&path, &key.pem())?;
    Ok(key)
}

fn redeem(
    data: &Path,
    token: &JoinToken,
    key: NodeKey,
    joiner: Joiner,
    log: &Logger,
) -> Result<Identity, Error> {
    let asked = actix_rt::System::new().block_on(join(token, joiner, key, PATIENCE));
    let Joined { identity, masters } = asked.map_err(|error| Error::NotLetIn(Box::new(error)))?;
    let known = |master: &MasterDetail| KnownMaster {
        id: master.id,
        worker: master.worker.clone(),
        api: master.api.clone(),
    };
    let present = masters.iter().filter(|master| master.state != "removed");
    known_masters::write(data, &present.map(known).collect::<Vec<_>>())?;
    identity.write(data)?;
    // What is left of it does no harm.
    let _ = fs::remove_file(data.join(KEY));
    info!(log, "joined"; "cluster" => &identity.facts.name, "as" => %identity.role);
    Ok(identity)
}

/// A master that has a worker beside it in its process signs for it: there is nobody in between to show a token to.
pub(super) fn let_own_worker_in(
    file: &WorkerFile,
    name: &Name,
    master: &MasterFile,
    authority: impl Fn() -> Option<Ca>,
) -> Result<(), Error> {
    let data = &file.node.data;
    match Identity::read(data) {
        Err(IdentityError::Absent(_)) => {}
        // It is looked at when the worker starts.
        Ok(_) | Err(_) => return Ok(()),
    }
    let until = Instant::now() + FORMED_MAX;
    let ca = loop {
        match authority() {
            Some(ca) => break ca,
            None if Instant::now() > until => return Err(Error::NotFormed(FORMED_MAX)),
            None => std::thread::sleep(FORMED_LOOK),
        }
    };
    let facts = Identity::read(&master.node.data)?.facts;
    let (role, key) = (NodeRole::Worker(name.clone()), NodeKey::create());
    let certificate_pem = ca.sign(&key.csr(), &role, &[], SystemClock.wall())?;
    let authority_pem = ca.certificate_pem().to_owned();
    Identity { facts, role, authority_pem, certificate_pem, key }.write(data)?;
    Ok(())
}

fn unusable(path: &Path, source: io::Error) -> Error {
    crate::node::Error::Data { path: path.to_owned(), source }.into()
}
