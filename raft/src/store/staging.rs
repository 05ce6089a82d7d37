//! The new file of an incoming snapshot, and how it takes the old one's place.
//! Knows nothing of where the rows come from; what is here is worth nothing until `install`.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::fatal::fatal;
use super::file::{OpenFile, open_file};
use super::queue::Install;
use super::rows::chunk_rows;
use super::sum::{Checkpoint, RowSum};
use super::tables::{CONF, HARD, Hard, LOG, MARK, ROWS, STATE, SUM, TRUNCATED, encode_position, encode_sum};
use super::transaction::begin;
use crate::OpenError;
use crate::backend::StoreBackend;
use crate::config::GroupConfig;
use crate::mistake::Mistake;

/// A file that is being filled.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) id: u64,
    file: OpenFile,
    /// Of the rows so far.
    pub(super) sum: RowSum,
    mistake: Mistake,
}

impl Staging {
    /// Begins an empty file, removing what an earlier attempt left.
    pub(super) fn begin(
        id: u64,
        config: &GroupConfig,
        backend: &dyn StoreBackend,
    ) -> Result<Staging, redb::Error> {
        let name = config.incoming_file_name();
        backend.remove(&name)?;
        let file = open_file(backend, &name, config).map_err(into_redb)?;
        let transaction = begin(&file, false)?;
        transaction.open_table(LOG)?;
        transaction.open_table(STATE)?;
        transaction.open_table(ROWS)?;
        transaction.commit()?;
        Ok(Staging { id, file, mistake: config.mistake, sum: RowSum::default() })
    }

    /// Adds rows whose checksums were verified when they came. Not durable before `install`.
    pub(super) fn add(&mut self, rows: &[u8]) -> Result<(), redb::Error> {
        let Some(rows) = chunk_rows(rows) else {
            fatal(format_args!("a verified snapshot chunk does not decode"))
        };
        let transaction = begin(&self.file, false)?;
        {
            let mut table = transaction.open_table(ROWS)?;
            let lost = usize::from(self.mistake.is(Mistake::LosesARowOfASnapshot));
            for (key, stored) in rows.into_iter().skip(lost) {
                table.insert(key, stored)?;
                self.sum.add(stored);
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Puts the state in, makes the file durable and renames it over the old one. Nothing is
    /// written to the old file after that. Gives the new file.
    pub(super) fn install(
        self,
        old: &OpenFile,
        install: &Install,
        hard: Hard,
        config: &GroupConfig,
        backend: &dyn StoreBackend,
    ) -> Result<Arc<OpenFile>, redb::Error> {
        let transaction = begin(&self.file, true)?;
        {
            let mut state = transaction.open_table(STATE)?;
            // identity, boot counter and remembered peers stay this replica's own
            let reading = old.database.begin_read()?;
            for item in reading.open_table(STATE)?.iter()? {
                let (key, value) = item?;
                state.insert(key.value(), value.value())?;
            }
            state.insert(HARD, hard.encode().as_slice())?;
            state.insert(CONF, install.conf.as_slice())?;
            state.insert(MARK, install.mark.encode().as_slice())?;
            let sum = Checkpoint { index: install.mark.position.index, sum: self.sum.value() };
            state.insert(SUM, encode_sum(sum).as_slice())?;
            state.insert(TRUNCATED, encode_position(install.mark.position).as_slice())?;
        }
        transaction.commit()?;
        backend.sync_dir()?;
        old.flags.seal();
        backend.rename(&config.incoming_file_name(), &config.file_name())?;
        backend.sync_dir()?;
        Ok(Arc::new(self.file))
    }

    /// True when a sync of this file failed.
    pub(super) fn sync_failed(&self) -> bool {
        self.file.flags.sync_failed()
    }
}

fn into_redb(error: OpenError) -> redb::Error {
    match error {
        OpenError::Io(error) => redb::Error::Io(error),
        OpenError::Database(error) => *error,
        other => redb::Error::Corrupted(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;
    use crate::memory::{Crash, MemoryBackend};
    use crate::store::file::open_group;
    use crate::store::tables::{Mark, Memory, encode_conf, peer_key};

    struct Zero;
    impl crate::Entropy for Zero {
        fn next_u64(&mut self, _stream: &str) -> u64 {
            77
        }
    }

    #[test]
    fn an_installed_file_keeps_every_promise_of_the_old_one() {
        let backend = MemoryBackend::new();
        let config = GroupConfig::new(3, 2, [4; 16], vec![1, 2]);
        let (old, first) = open_group(&config, &backend, &mut Zero).expect("opens");
        let memory = Memory { origin: 1, boot: 8, term: 2, commit: 3 };
        let transaction = begin(&old, true).expect("begins");
        let mut state = transaction.open_table(STATE).expect("a table");
        state.insert(peer_key(1).as_str(), memory.encode().as_slice()).expect("inserts");
        drop(state);
        transaction.commit().expect("commits");

        let mut staging = Staging::begin(9, &config, &backend).expect("begins");
        staging.add(&[]).expect("adds");
        let mark = Mark { position: Position { term: 5, index: 40 }, epoch: 6, sequence: 7 };
        let conf = raft::eraftpb::ConfState { voters: vec![1, 2, 3], ..Default::default() };
        let install = Install { id: 9, hard: None, conf: encode_conf(&conf), mark };
        let hard = Hard { term: 9, vote: 2, commit: 40 };
        let before = backend.content("group-3.redb");
        let file = staging.install(&old, &install, hard, &config, &backend).expect("installs");
        assert_ne!(backend.content("group-3.redb"), before);
        drop((file, old));
        backend.crash(Crash::Lose);

        let (_, boot) = open_group(&config, &backend, &mut Zero).expect("opens");
        assert_eq!((boot.hard, boot.mark, boot.conf), (hard, mark, conf));
        assert_eq!((boot.identity, boot.boot >> 16), (first.identity, (first.boot >> 16) + 1));
        assert_eq!((boot.truncated, boot.last), (mark.position, mark.position));
        assert_eq!(boot.peers, [(1, memory)]);
    }
}
