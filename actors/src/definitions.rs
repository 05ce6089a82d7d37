//! Checked definitions by version, read from a shard's rows once and shared by its runs and its readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hortator_core::definition::{Definition, canonical};
use hortator_core::id::WorkflowName;
use hortator_proto::row::{self, VersionRow};
use hortator_raft::{ReadError, Rows};

/// Versions kept in memory beside those that live runs hold; a large one takes some 50 MB.
const KEPT_MAX: usize = 16;

/// See the module. Versions are immutable, so nothing here is ever stale.
#[derive(Debug, Default)]
pub struct Definitions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_version: BTreeMap<(WorkflowName, u32), Arc<Definition>>,
    order: VecDeque<(WorkflowName, u32)>,
}

/// Why a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("workflow {name} has no version {version}")]
    Unknown { name: WorkflowName, version: u32 },
    #[error("version {version} of workflow {name} cannot be read: {why}")]
    Damaged { name: WorkflowName, version: u32, why: String },
    #[error("the rows cannot be read")]
    Rows(#[from] ReadError),
}

impl Definitions {
    /// The version, from memory or from the rows.
    pub fn get(
        &self,
        rows: &Rows,
        name: &WorkflowName,
        version: u32,
    ) -> Result<Arc<Definition>, DefinitionError> {
        if let Some(found) = self.lock().by_version.get(&(name.clone(), version)) {
            return Ok(found.clone());
        }
        let text = read_chunks(rows, name, version)?;
        let damaged = |why: String| DefinitionError::Damaged { name: name.clone(), version, why };
        let definition = canonical::from_json(&text).map_err(|error| damaged(error.to_string()))?;
        let definition = Arc::new(definition);
        self.put(name, version, definition.clone());
        Ok(definition)
    }

    /// Keeps a version that was checked on its way in.
    pub fn put(&self, name: &WorkflowName, version: u32, definition: Arc<Definition>) {
        let mut kept = self.lock();
        let key = (name.clone(), version);
        if kept.by_version.insert(key.clone(), definition).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > KEPT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_version.remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_chunks(rows: &Rows, name: &WorkflowName, version: u32) -> Result<Vec<u8>, DefinitionError> {
    let view = rows.read()?;
    let unknown = || DefinitionError::Unknown { name: name.clone(), version };
    let damaged = |why: String| DefinitionError::Damaged { name: name.clone(), version, why };
    let stored = view.get(&row::key::version(name, version))?.ok_or_else(unknown)?;
    let version_row = VersionRow::decode(&stored.value).map_err(|error| damaged(error.to_string()))?;
    let mut text = Vec::new();
    for chunk in 0..version_row.canonical_chunks {
        let stored = view.get(&row::key::canonical_chunk(name, version, chunk))?;
        text.extend_from_slice(&stored.ok_or_else(|| damaged(format!("chunk {chunk} is missing")))?.value);
    }
    Ok(text)
}
