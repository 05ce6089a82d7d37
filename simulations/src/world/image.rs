//! What is left of a world's hosts when all of them lose their power at once, and what another world goes on from: disks,
//! clocks, who belongs to the cluster, what processes wrote. Plain data, and nothing that is inside of a process. Must not
//! know what is in a file.

use std::collections::BTreeMap;

use hortator_core::id::Name;
use hortator_raft::StoreBackend as _;
use hortator_raft::memory::MemoryBackend;

use super::clock::Face;
use super::crew::Crew;
use super::masters::Master;
use crate::evidence::LedgerLine;

/// Bytes that are written back at a time; what was never written takes no space.
const PAGE_BYTES: usize = 4096;

/// See the module. A worker keeps its clock alone: what lay in its spool was not synced.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Microseconds since the first of the worlds began, in whole milliseconds.
    pub at: u64,
    pub masters: BTreeMap<u64, MasterImage>,
    pub workers: BTreeMap<Name, Face>,
    pub crew: Crew,
    pub ledger: Vec<LedgerLine>,
}

/// Of one master's host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterImage {
    pub files: BTreeMap<String, Vec<u8>>,
    pub clock: Face,
}

impl Image {
    /// New hosts of the masters that form a cluster.
    pub fn first(masters: u64) -> Image {
        Image {
            masters: (1..=masters).map(|id| (id, MasterImage::default())).collect(),
            crew: Crew::new(masters),
            ..Image::default()
        }
    }
}

impl MasterImage {
    pub(super) fn of(master: &Master) -> MasterImage {
        let disk = master.disk().files();
        let files = disk.names().into_iter();
        let files = files.filter_map(|name| Some((name.clone(), disk.content(&name)?))).collect();
        MasterImage { files, clock: master.clock().shows() }
    }

    /// A disk that holds these files for certain.
    pub(super) fn restored(&self) -> MemoryBackend {
        let disk = MemoryBackend::new();
        let whole = "a disk in memory takes all that another one held";
        for (name, content) in &self.files {
            let file = disk.open(name).expect(whole);
            file.set_len(content.len() as u64).expect(whole);
            for (number, page) in content.chunks(PAGE_BYTES).enumerate() {
                if page.iter().any(|byte| *byte != 0) {
                    file.write((number * PAGE_BYTES) as u64, page).expect(whole);
                }
            }
            file.sync_data().expect(whole);
        }
        disk.sync_dir().expect(whole);
        disk
    }
}
