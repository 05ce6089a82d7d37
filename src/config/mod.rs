//! Configuration of this program: which keys there are, their values, and where each value came from.
//! Lowest first: defaults, /etc/hortator, the user's file (or `--config` alone), environment. Flags are clap's.

mod keys;
mod load;
mod role;
mod server;
mod values;

use std::path::PathBuf;

use hortator_core::time::Span;
use serde::Deserialize;

use crate::cli::address::Address;

pub use keys::Key;
pub use load::{Error, Loaded, Sources, load};
pub use role::Role;
pub use server::{
    AdvertiseSection, AllFile, AllListen, DevelopmentMaster, DevelopmentSection, JoinSection, LogFormat,
    LogsSection, MasterFile, MasterListen, NodeSection, ServerLog, SharedSection, ShutdownSection,
    StoreSection, WorkerFile, WorkerListen, WorkerSection,
};

/// Every effective value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub client: ClientConfig,
    pub dev: DevConfig,
    pub log: LogConfig,
}

/// How commands find and ask a cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    pub addresses: Vec<Address>,
    /// A file, or `sha256:` and a fingerprint.
    #[serde(deserialize_with = "values::text")]
    pub ca: Option<String>,
    #[serde(deserialize_with = "values::path")]
    pub token_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::text")]
    pub context: Option<String>,
    pub namespace: String,
    #[serde(deserialize_with = "values::text")]
    pub output: Option<String>,
    #[serde(deserialize_with = "values::span")]
    pub connect_timeout: Span,
    #[serde(deserialize_with = "values::span")]
    pub request_timeout: Span,
    #[serde(deserialize_with = "values::span")]
    pub retry_for: Span,
}

/// The cluster of `dev` and `run FILE`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevConfig {
    pub masters: u32,
    pub workers: u32,
    /// Of each worker; 0 means twice the cores, at least 8.
    pub slots: u32,
    pub port: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub level: String,
}
