//! The groups' files of a new cluster's first master, made of a backup. What rows say of the old cluster's nodes does not
//! go over: its masters are none here, and every life of its workers is lost. Must not know directories, identities or
//! who asks.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use hortator_actors::membership::FEATURE_LEVEL;
use hortator_core::id::{Fence, Incarnation, Name};
use hortator_core::task_run::{FenceAt, TaskState};
use hortator_proto::row::key::{self, Key};
use hortator_proto::row::{self, CaRow, ClusterRow, MasterRow, TokenRow, WorkerRow};
use hortator_raft::{Entropy, GroupConfig, OpenError, Position, Seed, Seeding, StoreBackend};

use super::format::{GroupCut, Header};
use super::reader::{BackupError, Part, StoredRow, read_backup};

/// redb's page cache for each group: all are open until the backup is read to its end.
const CACHE_BYTES: usize = 4 << 20;

/// What the new cluster has of its own.
#[derive(Clone, Debug)]
pub struct NewCluster {
    pub id: [u8; 16],
    pub generation: u32,
    /// Its only one; it has the votes.
    pub master: MasterRow,
    pub authority: CaRow,
    pub admin: TokenRow,
}

/// Why a backup does not become a cluster. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "the backup is of feature level {0}, and this program knows {FEATURE_LEVEL}: restore it with a newer one"
    )]
    FeatureLevel(u32),
    #[error("a row of the backup cannot be understood: {0}")]
    Row(#[from] hortator_proto::frame::DecodeError),
    #[error("the backup does not fit together: {0}")]
    Unfit(String),
    #[error("the file of group {group} cannot be made: {source}")]
    Group { group: u32, source: OpenError },
}

/// Makes all groups' files, or none.
pub fn plant(
    path: &Path,
    new: &NewCluster,
    store: &dyn StoreBackend,
    entropy: &mut dyn Entropy,
) -> Result<(), PlantError> {
    let mut planting =
        Planting { new, store, entropy, header: None, group: None, done: Vec::new(), lives: BTreeMap::new() };
    read_backup(path, |part| planting.on(part))?;
    let header = planting.header.as_ref().expect("a backup begins with a header");
    check_groups(header)?;
    for (group, seeding) in planting.done {
        seeding.finish(store).map_err(|source| PlantError::Group { group, source })?;
    }
    Ok(())
}

/// Shards 1 to S, and the membership group last.
fn check_groups(header: &Header) -> Result<(), PlantError> {
    let found = header.groups.iter().map(|cut| cut.group);
    match found.eq((1..=header.shards).chain([0])) {
        true => Ok(()),
        false => Err(PlantError::Unfit("it does not hold each group once, the membership group last".into())),
    }
}

struct Planting<'a> {
    new: &'a NewCluster,
    store: &'a dyn StoreBackend,
    entropy: &'a mut dyn Entropy,
    header: Option<Header>,
    group: Option<Seeding>,
    /// Complete but for their names.
    done: Vec<(u32, Seeding)>,
    /// The newest life of each worker that a task run names.
    lives: BTreeMap<Name, Incarnation>,
}

type Planted = (Bytes, Bytes, Position);

impl Planting<'_> {
    fn on(&mut self, part: Part<'_>) -> Result<(), PlantError> {
        match part {
            Part::Header(header) => {
                if header.feature_level > FEATURE_LEVEL {
                    return Err(PlantError::FeatureLevel(header.feature_level));
                }
                self.header = Some(header.clone());
            }
            Part::Rows { group: 0, rows } => {
                let rows = rows.iter().filter_map(|row| self.membership(row).transpose());
                let rows = rows.collect::<Result<Vec<Planted>, PlantError>>()?;
                self.put(0, rows)?;
            }
            Part::Rows { group, rows } => {
                let rows = rows.iter().map(|row| self.shard(group, row));
                let rows = rows.collect::<Result<Vec<Planted>, PlantError>>()?;
                self.put(group, rows)?;
            }
            Part::GroupEnd { group } => {
                if group == 0 {
                    self.put(0, self.own_rows())?;
                    if let Some(name) = self.lives.keys().next() {
                        return Err(PlantError::Unfit(format!(
                            "a task run is with {name}, which has no row"
                        )));
                    }
                }
                // A shard may be empty.
                self.put(group, Vec::new())?;
                self.done.extend(self.group.take().map(|seeding| (group, seeding)));
            }
        }
        Ok(())
    }

    fn cut(&self, group: u32) -> Result<GroupCut, PlantError> {
        let cuts = self.header.iter().flat_map(|header| &header.groups);
        let found = cuts.copied().find(|cut| cut.group == group);
        found.ok_or_else(|| PlantError::Unfit(format!("it has no group {group}")))
    }

    fn put(&mut self, group: u32, rows: Vec<Planted>) -> Result<(), PlantError> {
        let failed = |source| PlantError::Group { group, source };
        let seeding = match &mut self.group {
            Some(seeding) => seeding,
            None => {
                let cut = self.cut(group)?;
                let position = Position { term: cut.term, index: cut.index };
                let master = self.new.master.id;
                let mut config = GroupConfig::new(group, master, self.new.id, vec![master]);
                config.cache_bytes = CACHE_BYTES;
                let seed = Seed { position, epoch: cut.epoch };
                let begun = Seeding::begin(config, self.store, self.entropy, seed).map_err(failed)?;
                self.group.insert(begun)
            }
        };
        seeding.put(rows).map_err(failed)
    }

    /// A shard's row stays as it is, but for the fences that only its old place told.
    fn shard(&mut self, group: u32, row: &StoredRow<'_>) -> Result<Planted, PlantError> {
        let same = |value: Bytes| (Bytes::copy_from_slice(row.key), value, row.written);
        let current = matches!(key::parse(row.key), Some(Key::TaskRun(_)));
        if !current {
            return Ok(same(Bytes::copy_from_slice(row.value)));
        }
        let mut task = row::decode_task(row.value)?;
        let Some(attempt) = task.attempt() else { return Ok(same(Bytes::copy_from_slice(row.value))) };
        let life = self.lives.entry(attempt.worker.name.clone()).or_default();
        *life = attempt.worker.incarnation.max(*life);
        if attempt.fence == FenceAt::ThisRow {
            self.fix_fence(group, row.written, &mut task)?;
        }
        Ok(same(row::encode_task(&task)))
    }

    /// Said in the row from here on: of the generation in which it was dispatched.
    fn fix_fence(&self, shard: u32, written: Position, task: &mut TaskState) -> Result<(), PlantError> {
        let header = self.header.as_ref().ok_or_else(|| PlantError::Unfit("it has no header".into()))?;
        let (generation, Position { term, index }) = (header.generation, written);
        task.resolve_fence(Fence { generation, shard, term, index });
        Ok(())
    }

    /// A row of the membership group; none when it does not go over.
    fn membership(&mut self, row: &StoredRow<'_>) -> Result<Option<Planted>, PlantError> {
        let value = match key::parse(row.key) {
            // The new cluster has its own, and what opened the old one's doors opens none here.
            Some(Key::Cluster | Key::Master(_) | Key::Authority | Key::Token(_) | Key::JoinToken(_)) => {
                return Ok(None);
            }
            Some(Key::Worker(name)) => self.lost(&name, WorkerRow::decode(row.value)?)?.encode(),
            _ => Bytes::copy_from_slice(row.value),
        };
        Ok(Some((Bytes::copy_from_slice(row.key), value, row.written)))
    }

    /// No life of before reports any more: not what it runs, and not what lies in its spool.
    fn lost(&mut self, name: &Name, row: WorkerRow) -> Result<WorkerRow, PlantError> {
        let named = self.lives.remove(name).unwrap_or(0);
        if named > row.incarnation {
            let why =
                format!("a task run is with life {named} of {name}, whose row knows {}", row.incarnation);
            return Err(PlantError::Unfit(why));
        }
        Ok(WorkerRow { lost_through: row.incarnation, spooled: Vec::new(), ..row })
    }

    fn own_rows(&self) -> Vec<Planted> {
        let Some(header) = &self.header else { return Vec::new() };
        let NewCluster { id, generation, master, authority, admin } = self.new;
        let cluster = ClusterRow {
            id: *id,
            shards: header.shards,
            generation: *generation,
            feature_level: header.feature_level,
            next_master: master.id + 1,
        };
        let written = header.groups.iter().find(|cut| cut.group == 0);
        let written =
            written.map_or(Position::default(), |cut| Position { term: cut.term, index: cut.index });
        vec![
            (key::cluster(), cluster.encode(), written),
            (key::master(master.id), master.encode(), written),
            (key::authority(), authority.encode(), written),
            (key::token(&admin.name), admin.encode(), written),
        ]
    }
}
