//! The masters that a worker knows of, kept beside its identity: those there were when it joined, then every list that
//! the masters push. So it finds its cluster after a restart, also when none is left of those it joined by.
//! Must not know what is asked of them.

use std::fs;
use std::path::{Path, PathBuf};

use hortator_proto::frame::MasterAddress;
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};
use tokio::sync::watch;

use crate::pki::{IdentityError, replace_file};

const FILE: &str = "masters.toml";
/// Larger ones are not ours: a cluster has few masters.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// One master, where it is known to be called; `HOST:PORT` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownMaster {
    pub(super) id: u64,
    /// For sessions of workers.
    pub(super) worker: String,
    pub(super) api: String,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    masters: Vec<KnownMaster>,
}

impl From<&MasterAddress> for KnownMaster {
    fn from(master: &MasterAddress) -> KnownMaster {
        KnownMaster { id: master.id, worker: master.address.clone(), api: master.api.clone() }
    }
}

/// None of them where nothing is kept, or nothing that can be read: the configuration may name some all the same.
pub(super) fn read(data: &Path) -> Vec<KnownMaster> {
    let path = data.join(FILE);
    if fs::metadata(&path).is_ok_and(|facts| facts.len() > FILE_BYTES_MAX) {
        return Vec::new();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    toml::from_str::<File>(&text).unwrap_or_default().masters
}

pub(super) fn write(data: &Path, masters: &[KnownMaster]) -> Result<(), IdentityError> {
    let text = toml::to_string(&File { masters: masters.to_vec() }).expect("texts and numbers make a table");
    replace_file(data, FILE, &text)
}

/// Writes down what is pushed, for as long as the node lives.
pub(super) async fn keep(data: PathBuf, mut pushed: watch::Receiver<Vec<MasterAddress>>, log: Logger) {
    let mut kept = read(&data);
    loop {
        let masters: Vec<KnownMaster> = pushed.borrow_and_update().iter().map(KnownMaster::from).collect();
        if !masters.is_empty() && masters != kept {
            match write(&data, &masters) {
                Ok(()) => kept = masters,
                // The next change is another occasion, and until the next start nothing depends on it.
                Err(error) => warn!(log, "the list of masters cannot be kept"; "error" => %error),
            }
        }
        if pushed.changed().await.is_err() {
            // The node ends.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(id: u64) -> MasterAddress {
        MasterAddress { id, address: format!("m{id}:8912"), api: format!("m{id}:8910") }
    }

    #[test]
    fn what_is_pushed_is_there_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()), []);
        fs::write(home.path().join(FILE), "nonsense").unwrap();
        assert_eq!(read(home.path()), []);
        let known = |ids: &[u64]| ids.iter().map(|id| KnownMaster::from(&address(*id))).collect::<Vec<_>>();
        write(home.path(), &known(&[1])).unwrap();
        let (sender, receiver) = watch::channel(Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let log = Logger::root(slog::Discard, slog::o!());
        runtime.block_on(async {
            let keeping = tokio::spawn(keep(home.path().to_owned(), receiver, log));
            for (pushed, expected) in [(vec![], known(&[1])), (vec![address(2), address(3)], known(&[2, 3]))]
            {
                sender.send_replace(pushed);
                while read(home.path()) != expected {
                    tokio::task::yield_now().await;
                }
            }
            keeping.abort();
        });
    }
}
