//! The configuration of nodes: one field for each key of a master, a worker, or both in one process.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hortator_core::dispatch::Metric;
use hortator_core::id::Name;
use hortator_core::time::Span;
use serde::Deserialize;

use super::values;
use crate::env::CallFrom;

/// `configs/master.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterFile {
    pub node: NodeSection,
    pub listen: MasterListen,
    pub advertise: AdvertiseSection,
    pub store: StoreSection,
    pub join: JoinSection,
    pub shutdown: ShutdownSection,
    pub faults: FaultsSection,
    pub development: DevelopmentSection,
    pub log: ServerLog,
}

/// `configs/worker.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerFile {
    pub node: NodeSection,
    pub worker: WorkerSection,
    pub listen: WorkerListen,
    pub logs: LogsSection,
    pub join: JoinSection,
    pub shutdown: ShutdownSection,
    pub development: SharedSection,
    pub log: ServerLog,
}

/// Of a master and a worker in one process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllFile {
    pub node: NodeSection,
    pub listen: AllListen,
    pub advertise: AdvertiseSection,
    pub store: StoreSection,
    pub worker: WorkerSection,
    pub logs: LogsSection,
    pub join: JoinSection,
    pub shutdown: ShutdownSection,
    pub faults: FaultsSection,
    pub development: DevelopmentSection,
    pub log: ServerLog,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    pub data: PathBuf,
    #[serde(deserialize_with = "values::host")]
    pub source: Option<IpAddr>,
}

impl NodeSection {
    pub fn call_from(&self) -> CallFrom {
        self.source.map_or(CallFrom::Any, CallFrom::Address)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterListen {
    #[serde(deserialize_with = "values::listen")]
    pub peers: SocketAddr,
    #[serde(deserialize_with = "values::listen")]
    pub workers: SocketAddr,
    #[serde(deserialize_with = "values::listen")]
    pub api: SocketAddr,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerListen {
    #[serde(deserialize_with = "values::address")]
    pub http: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllListen {
    #[serde(deserialize_with = "values::listen")]
    pub peers: SocketAddr,
    #[serde(deserialize_with = "values::listen")]
    pub workers: SocketAddr,
    #[serde(deserialize_with = "values::listen")]
    pub api: SocketAddr,
    #[serde(deserialize_with = "values::address")]
    pub http: Option<SocketAddr>,
}

/// What others are told, where it differs from what is listened on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertiseSection {
    #[serde(deserialize_with = "values::place")]
    pub peers: Option<String>,
    #[serde(deserialize_with = "values::place")]
    pub workers: Option<String>,
    #[serde(deserialize_with = "values::place")]
    pub api: Option<String>,
}

/// In bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    #[serde(deserialize_with = "values::size")]
    pub cache: u64,
    #[serde(deserialize_with = "values::size")]
    pub disk_low: u64,
    #[serde(deserialize_with = "values::size")]
    pub ballast: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSection {
    #[serde(deserialize_with = "values::text")]
    pub name: Option<String>,
    pub groups: Vec<Name>,
    /// 0 means as many as fit this host.
    pub slots: u32,
    #[serde(deserialize_with = "values::text")]
    pub zone: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Cores; 0 means all of this host.
    pub cpu: f64,
    /// 0 means all of this host.
    #[serde(deserialize_with = "values::size")]
    pub memory: u64,
    /// 0 means none.
    #[serde(deserialize_with = "values::size")]
    pub disk: u64,
    /// None means those that this host has.
    #[serde(deserialize_with = "values::devices")]
    pub devices: Option<Vec<String>>,
    /// Whatever else it has, by name.
    pub resources: BTreeMap<Name, u64>,
    /// In percent; what is measured above them keeps new work away.
    #[serde(deserialize_with = "values::thresholds")]
    pub thresholds: BTreeMap<Metric, f64>,
    pub weight: u32,
    #[serde(deserialize_with = "values::places")]
    pub masters: Vec<String>,
    #[serde(deserialize_with = "values::path")]
    pub runs: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsSection {
    #[serde(deserialize_with = "values::span")]
    pub keep: Span,
    #[serde(deserialize_with = "values::size")]
    pub keep_size: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSection {
    #[serde(deserialize_with = "values::path")]
    pub token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSection {
    #[serde(deserialize_with = "values::span")]
    pub grace: Span,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsSection {
    pub enabled: bool,
}

/// One host, no certificates: who belongs to the cluster stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevelopmentSection {
    #[serde(deserialize_with = "values::path")]
    pub shared_file: Option<PathBuf>,
    pub id: u64,
    pub masters: Vec<DevelopmentMaster>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSection {
    #[serde(deserialize_with = "values::path")]
    pub shared_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevelopmentMaster {
    pub id: u64,
    #[serde(deserialize_with = "values::listen")]
    pub peers: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerLog {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

impl AllFile {
    /// The master's part, with its own directory.
    pub fn master(&self) -> MasterFile {
        let AllListen { peers, workers, api, http: _ } = self.listen;
        MasterFile {
            node: NodeSection { data: self.node.data.join("master"), source: self.node.source },
            listen: MasterListen { peers, workers, api },
            advertise: self.advertise.clone(),
            store: self.store,
            join: self.join.clone(),
            shutdown: self.shutdown,
            faults: self.faults,
            development: self.development.clone(),
            log: self.log.clone(),
        }
    }

    /// The worker's part, with its own directory.
    pub fn worker(&self) -> WorkerFile {
        WorkerFile {
            node: NodeSection { data: self.node.data.join("worker"), source: self.node.source },
            worker: self.worker.clone(),
            listen: WorkerListen { http: self.listen.http },
            logs: self.logs,
            join: self.join.clone(),
            shutdown: self.shutdown,
            development: SharedSection { shared_file: self.development.shared_file.clone() },
            log: self.log.clone(),
        }
    }
}
