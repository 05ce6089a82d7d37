//! Nodes made of their parts: a master and a worker from a configuration of their own, and whole clusters of both in
//! one process. It puts the parts together and decides nothing; must not know files of configuration or signals.

mod crew;
pub mod declared;
mod embedded;
mod error;
mod identity;
mod master;
pub(crate) mod metrics;
mod worker;

pub use embedded::{Embedded, EmbeddedConfig, start_embedded};
pub use error::Error;
pub use identity::Identity;
pub use master::{Master, MasterConfig, Syncs, founded_by};
pub(crate) use worker::host_name;
pub use worker::{Worker, WorkerConfig};
