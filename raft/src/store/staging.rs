//! The new file of an incoming snapshot, and how it takes the old one's place.
//! Knows nothing of where the rows come from; what is here is worth nothing until `install`.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::fatal::fatal;
use super::file::{OpenFile, open_file};
use super::queue::Install;
use super::rows::{chunk_rows, decode_row};
use super::tables::{CONF, HARD, Hard, LOG, MARK, ROWS, STATE, TRUNCATED, encode_position};
use super::transaction::begin;
use crate::OpenError;
use crate::backend::StoreBackend;
use crate::config::GroupConfig;

/// A file that is being filled.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) id: u64,
    file: OpenFile,
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
        let file = open_file(backend, &name, config.cache_bytes).map_err(into_redb)?;
        let transaction = begin(&file, false)?;
        transaction.open_table(LOG)?;
        transaction.open_table(STATE)?;
        transaction.open_table(ROWS)?;
        transaction.commit()?;
        Ok(Staging { id, file })
    }

    /// Adds rows; their checksums are verified. Not durable before `install`.
    pub(super) fn add(&mut self, rows: &[u8]) -> Result<(), redb::Error> {
        let Some(rows) = chunk_rows(rows) else {
            fatal(format_args!("a verified snapshot chunk does not decode"))
        };
        let transaction = begin(&self.file, false)?;
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, stored) in rows {
                decode_row(key, stored);
                table.insert(key, stored)?;
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
