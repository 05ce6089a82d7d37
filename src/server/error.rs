//! Why a node of this process does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{api, node};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(
        "{key} is {address}, which other hosts can reach, and without certificates everybody there could read and \
         write. Give this node an identity (hortator cluster init, or a join token), or listen on 127.0.0.1"
    )]
    Plain { key: &'static str, address: SocketAddr },
    #[error(
        "{} holds no identity, so this node belongs to no cluster. Form one with `hortator cluster init --config \
         FILE`, or join one with --join TOKEN, which `hortator cluster add` on one of its masters prints",
        .data.display()
    )]
    NoIdentity { data: PathBuf },
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
