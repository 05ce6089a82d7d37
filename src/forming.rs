//! Forms a cluster of processes with the commands that a deployer types, for those who measure one or hurt one.
//! Must not know what becomes of it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Calls the program with a configuration home of its own.
#[derive(Clone, Debug)]
pub struct Forming {
    pub program: PathBuf,
    /// Where contexts are kept, so that the caller's own stay as they are.
    pub home: PathBuf,
}

/// What `cluster init` says: the admin's token, and the fingerprint of the authority.
#[derive(Clone, Debug, Deserialize)]
pub struct Formed {
    pub token: String,
    pub authority: String,
}

/// What `cluster add` says.
#[derive(Deserialize)]
struct Added {
    token: String,
}

/// A command did not do it.
#[derive(Debug, thiserror::Error)]
pub enum FormingError {
    #[error("`hortator {command}` cannot be started: {source}")]
    Start {
        command: String,
        #[source]
        source: io::Error,
    },
    #[error("`hortator {command}` failed: {why}")]
    Failed { command: String, why: String },
}

impl Forming {
    /// The master with that configuration file forms the cluster.
    pub fn init(&self, name: &str, file: &Path) -> Result<Formed, FormingError> {
        self.call(&["cluster", "init", "--name", name, "--config", &file.display().to_string()])
    }

    /// A token that lets a master in. The first master must be running.
    pub fn master(&self, name: &str) -> Result<String, FormingError> {
        Ok(self.call::<Added>(&["cluster", "add", "master", "--name", name])?.token)
    }

    /// A token that lets a worker in.
    pub fn worker(&self) -> Result<String, FormingError> {
        Ok(self.call::<Added>(&["cluster", "add", "worker"])?.token)
    }

    fn call<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, FormingError> {
        let words = || arguments.join(" ");
        let mut command = Command::new(&self.program);
        strip_environment(&mut command);
        command.args(arguments).args(["-o", "json"]).env("XDG_CONFIG_HOME", &self.home);
        let output = command.output().map_err(|source| FormingError::Start { command: words(), source })?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(FormingError::Failed { command: words(), why });
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| FormingError::Failed { command: words(), why: error.to_string() })
    }
}

/// Nothing of the caller's own cluster may reach another one.
pub fn strip_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("HORTATOR_")) {
            command.env_remove(name);
        }
    }
}
