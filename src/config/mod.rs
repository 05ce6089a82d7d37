//! Configuration of this program: which keys there are, their values, and where each value came from.
//! Lowest first: defaults, /etc/hortator, the user's file (or `--config` alone), environment. Flags are clap's.

mod keys;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;

use hortator_core::time::Span;
use serde::{Deserialize, Deserializer};

pub use keys::{KEYS, Key, default_text};
pub use load::{Error, Loaded, Sources, load};

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
    pub addresses: Vec<SocketAddr>,
    #[serde(deserialize_with = "path")]
    pub token_file: Option<PathBuf>,
    #[serde(deserialize_with = "text")]
    pub context: Option<String>,
    pub namespace: String,
    #[serde(deserialize_with = "text")]
    pub output: Option<String>,
    #[serde(deserialize_with = "span")]
    pub connect_timeout: Span,
    #[serde(deserialize_with = "span")]
    pub request_timeout: Span,
    #[serde(deserialize_with = "span")]
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

/// Empty text in a file means "not set".
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text(deserializer)?.map(PathBuf::from))
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
