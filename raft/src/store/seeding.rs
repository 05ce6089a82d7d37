//! A group's file made of rows that are given, for a replica that goes on where another store has been.
//! Knows nothing of where the rows come from; what is here is worth nothing until `finish`.

use super::file::{OpenError, OpenFile, open_file, write_first};
use super::rows::encode_row;
use super::tables::{Identity, Mark, ROWS};
use super::transaction::begin;
use crate::backend::{Entropy, StoreBackend};
use crate::config::GroupConfig;
use crate::position::Position;

/// Where a group goes on that is made of rows: its log is empty up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The last entry whose rows there are.
    pub position: Position,
    /// The last epoch that began up to there; the next one is greater.
    pub epoch: u64,
}

/// A group's file on its way. Nobody may open the group meanwhile.
#[derive(Debug)]
pub struct Seeding {
    config: GroupConfig,
    file: OpenFile,
}

impl Seeding {
    /// Begins the file of a replica whose voters are the first ones of `config`, under another name.
    pub fn begin(
        config: GroupConfig,
        backend: &dyn StoreBackend,
        entropy: &mut dyn Entropy,
        seed: Seed,
    ) -> Result<Seeding, OpenError> {
        if backend.exists(&config.file_name())? {
            return Err(OpenError::InUse);
        }
        if seed.position < Position::FIRST || config.initial_voters.is_empty() {
            return Err(OpenError::Config("a group is not made of nothing, and has a voter".into()));
        }
        backend.remove(&config.new_file_name())?;
        let file = open_file(backend, &config.new_file_name(), &config)?;
        let identity = Identity {
            cluster_id: config.cluster_id,
            group: config.group,
            replica: config.replica,
            origin: entropy.next_u64("origin"),
        };
        let mark = Mark { position: seed.position, epoch: seed.epoch, sequence: 0 };
        write_first(&file, identity, &config.initial_voters, mark).map_err(OpenError::database)?;
        Ok(Seeding { config, file })
    }

    /// Adds rows, each with the entry that wrote it; not durable before `finish`.
    pub fn put<K, V>(&mut self, rows: impl IntoIterator<Item = (K, V, Position)>) -> Result<(), OpenError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.insert(rows).map_err(OpenError::database)
    }

    /// Makes everything durable under the group's own name.
    pub fn finish(self, backend: &dyn StoreBackend) -> Result<(), OpenError> {
        let Seeding { config, file } = self;
        let made_durable = begin(&file, true).and_then(|transaction| Ok(transaction.commit()?));
        made_durable.map_err(OpenError::database)?;
        drop(file);
        backend.sync_dir()?;
        backend.rename(&config.new_file_name(), &config.file_name())?;
        backend.sync_dir()?;
        Ok(())
    }

    fn insert<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        rows: impl IntoIterator<Item = (K, V, Position)>,
    ) -> Result<(), redb::Error> {
        let transaction = begin(&self.file, false)?;
        {
            let mut table = transaction.open_table(ROWS)?;
            let mut stored = Vec::new();
            for (key, value, written) in rows {
                let key = key.as_ref();
                encode_row(key, written, value.as_ref(), &mut stored);
                table.insert(key, stored.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Crash, MemoryBackend};
    use crate::store::file::open_group;

    struct Zero;
    impl Entropy for Zero {
        fn next_u64(&mut self, _stream: &str) -> u64 {
            7
        }
    }

    const SEED: Seed = Seed { position: Position { term: 5, index: 40 }, epoch: 6 };

    fn config() -> GroupConfig {
        GroupConfig::new(3, 1, [4; 16], vec![1])
    }

    #[test]
    fn a_seeded_group_goes_on_where_its_rows_end() {
        let backend = MemoryBackend::new();
        let written = Position { term: 4, index: 30 };
        let mut seeding = Seeding::begin(config(), &backend, &mut Zero, SEED).expect("begins");
        seeding.put([(b"a", b"1", written)]).expect("puts");
        seeding.put([(b"b", b"2", SEED.position)]).expect("puts");
        seeding.finish(&backend).expect("finishes");
        backend.crash(Crash::Lose);

        let (file, boot) = open_group(&config(), &backend, &mut Zero).expect("opens");
        assert_eq!(
            (boot.mark.position, boot.last, boot.truncated),
            (SEED.position, SEED.position, SEED.position)
        );
        assert_eq!((boot.hard.term, boot.hard.commit, boot.epoch_max), (5, 40, 6));
        assert_eq!(boot.conf.voters, [1]);
        let rows = crate::store::Rows::new(std::sync::Arc::new(crate::store::Current::new(file, 40)));
        let row = rows.get(b"a").expect("readable").expect("there");
        assert_eq!((&row.value[..], row.written), (&b"1"[..], written));
        let view = rows.read().expect("readable");
        assert_eq!(view.seed().expect("readable"), SEED);
        let (page, more) = view.page(None, 1).expect("readable");
        assert_eq!((page.len(), more), (1, true));
        let (page, more) = view.page(Some(&page[0].0), 1).expect("readable");
        assert_eq!((&page[0].0[..], more), (&b"b"[..], false));
    }

    #[test]
    fn an_unfinished_one_leaves_nothing_and_a_group_that_is_there_stays() {
        let backend = MemoryBackend::new();
        let seeding = Seeding::begin(config(), &backend, &mut Zero, SEED).expect("begins");
        drop(seeding);
        assert!(!backend.exists("group-3.redb").expect("readable"));
        drop(open_group(&config(), &backend, &mut Zero).expect("a new group"));
        let refused = Seeding::begin(config(), &backend, &mut Zero, SEED);
        assert!(matches!(refused, Err(OpenError::InUse)), "{refused:?}");
    }
}
