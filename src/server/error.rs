//! Why a node of this process does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hortator_core::id::Name;

use crate::pki::{IdentityError, SignError, TlsError, TokenError};
use crate::{api, backup, node};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Mutant(#[from] hortator_actors::mutant::MutantError),
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Backup(#[from] backup::BackupError),
    #[error(transparent)]
    Plant(#[from] backup::PlantError),
    #[error(
        "{key} is {address}, which other hosts can reach, and without certificates everybody there could read and \
         write. Give this node an identity (hortator cluster init, or a join token), or listen on 127.0.0.1"
    )]
    Plain { key: &'static str, address: SocketAddr },
    #[error(
        "{} holds no identity, so this node belongs to no cluster. Form one with `hortator cluster init --config \
         FILE`, or join one with HORTATOR_JOIN_TOKEN=TOKEN, which `hortator cluster add` on one of its masters prints",
        .data.display()
    )]
    NoIdentity { data: PathBuf },
    #[error("listen.{key} is {address}, {why}. Set advertise.{key}, as HOST:PORT")]
    Unreachable { key: &'static str, address: SocketAddr, why: &'static str },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{} is {node} of cluster {cluster:?} already: start it, or use another directory", .data.display())]
    Somebodys { data: PathBuf, node: String, cluster: String },
    #[error(
        "{} holds the replicas of a master whose identity is gone. What it promised there must not be doubled: restore \
         its identity, or give this node an empty directory and let it join as a new one, and remove the old one with \
         `hortator cluster remove`",
        .data.display()
    )]
    Remains { data: PathBuf },
    #[error(
        "a restore began in {} and was interrupted: begin it again with `hortator backup restore FILE` and the same \
         configuration, or empty the directory",
        .data.display()
    )]
    Interrupted { data: PathBuf },
    #[error("{} is the directory of {is}, not of a {wanted}", .data.display())]
    OtherRole { data: PathBuf, is: String, wanted: &'static str },
    #[error(
        "this worker joined as {was}, and worker.name is {now} now: set it back, or join again with a new token and an \
         empty directory"
    )]
    Renamed { was: Name, now: Name },
    #[error(
        "the join token is of another cluster than {}, which belongs to {cluster:?}: a node that is to change its \
         cluster needs an empty directory",
        .data.display()
    )]
    OtherCluster { data: PathBuf, cluster: String },
    #[error("no master let this node in: {0}")]
    NotLetIn(Box<crate::cli::error::Error>),
    #[error(
        "no masters are known to this worker: set worker.masters to the addresses of their listen.workers"
    )]
    NoMasters,
    #[error(
        "master n{id} may not take part any more: {reason}. Remove it with `hortator cluster remove n{id}`, and let this \
         host join with a new token and an empty {}",
        .data.display()
    )]
    Refused { id: u64, reason: String, data: PathBuf },
    #[error("the cluster was not formed within {} s", .0.as_secs())]
    NotFormed(Duration),
    #[error("development.masters does not fit: {why}")]
    Development { why: String },
    #[error("{name:?} is no name for a worker: {why}. Set worker.name")]
    Name { name: String, why: String },
    #[error("cannot listen on {address} for listen.http")]
    Http {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the system gives no thread or no signals")]
    System(#[source] io::Error),
}
