//! Makes a backup of views of all groups, a frame at a time. It blocks while it reads.

use std::collections::VecDeque;

use bytes::Bytes;
use hortator_core::time::Timestamp;
use hortator_proto::row::{ClusterRow, key};
use hortator_raft::{ReadError, Row, RowsView};
use ring::digest::{Context, SHA256};

use super::format::{End, GroupCut, GroupEnd, Header, Kind, PAGE_BYTES, begin, frame, json_frame};
use crate::pki::hex;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("the rows of group {group} cannot be read: {source}")]
    Rows { group: u32, source: ReadError },
    #[error("the cluster is not formed yet")]
    NotFormed,
    #[error("the cluster's own row cannot be read: {0}")]
    Cluster(#[from] hortator_proto::frame::DecodeError),
}

/// A backup on its way.
pub struct Saving {
    header: Header,
    views: VecDeque<(u32, RowsView)>,
    stage: Stage,
    sha256: Context,
}

enum Stage {
    Begin,
    /// Of the first view: the last key that is out, and how many rows.
    Group {
        after: Option<Bytes>,
        rows: u64,
    },
    Over,
}

impl std::fmt::Debug for Saving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saving").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Saving {
    /// `views`: of all groups, in the order in which they were opened; the membership group last.
    pub fn new(name: &str, views: Vec<(u32, RowsView)>, now: Timestamp) -> Result<Saving, SaveError> {
        let cluster = cluster(&views)?;
        let cut = |(group, view): &(u32, RowsView)| {
            let seed = view.seed().map_err(|source| SaveError::Rows { group: *group, source })?;
            let (term, index) = (seed.position.term, seed.position.index);
            Ok(GroupCut { group: *group, term, index, epoch: seed.epoch })
        };
        let header = Header {
            cluster: hex(&cluster.id),
            name: name.to_owned(),
            generation: cluster.generation,
            shards: cluster.shards,
            feature_level: cluster.feature_level,
            taken_at: now,
            version: env!("CARGO_PKG_VERSION").into(),
            groups: views.iter().map(cut).collect::<Result<_, SaveError>>()?,
        };
        Ok(Saving { header, views: views.into(), stage: Stage::Begin, sha256: Context::new(&SHA256) })
    }

    /// The next bytes of the file; none at its end.
    pub fn step(&mut self) -> Result<Option<Bytes>, SaveError> {
        let mut out = Vec::with_capacity(PAGE_BYTES + (PAGE_BYTES >> 2));
        match &mut self.stage {
            Stage::Begin => {
                begin(&mut out);
                json_frame(Kind::Header, &mut out, &self.header);
                self.stage = Stage::Group { after: None, rows: 0 };
            }
            Stage::Group { after, rows } => match self.views.front() {
                Some((group, view)) => {
                    let page = view.page(after.as_deref(), PAGE_BYTES);
                    let group = *group;
                    let (page, more) = page.map_err(|source| SaveError::Rows { group, source })?;
                    *rows += put_rows(group, &page, &mut out);
                    *after = page.last().map(|(key, _)| key.clone());
                    if !more {
                        json_frame(Kind::GroupEnd, &mut out, &GroupEnd { group, rows: *rows });
                        self.views.pop_front();
                        self.stage = Stage::Group { after: None, rows: 0 };
                    }
                }
                None => {
                    let sha256 = hex(self.sha256.clone().finish().as_ref());
                    json_frame(Kind::End, &mut out, &End { sha256 });
                    self.stage = Stage::Over;
                }
            },
            Stage::Over => return Ok(None),
        }
        self.sha256.update(&out);
        Ok(Some(out.into()))
    }
}

fn cluster(views: &[(u32, RowsView)]) -> Result<ClusterRow, SaveError> {
    let (_, membership) = views.last().filter(|(group, _)| *group == 0).ok_or(SaveError::NotFormed)?;
    let stored = membership.get(&key::cluster()).map_err(|source| SaveError::Rows { group: 0, source })?;
    Ok(ClusterRow::decode(&stored.ok_or(SaveError::NotFormed)?.value)?)
}

/// How many went in. What lets somebody in stays out.
fn put_rows(group: u32, page: &[(Bytes, Row)], out: &mut Vec<u8>) -> u64 {
    let kept = || page.iter().filter(|(key, _)| !key::opens_doors(key));
    let count = kept().count() as u64;
    if count > 0 {
        frame(Kind::Rows, out, |out| {
            out.extend_from_slice(&group.to_le_bytes());
            for (key, row) in kept() {
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(&row.written.term.to_le_bytes());
                out.extend_from_slice(&row.written.index.to_le_bytes());
                out.extend_from_slice(&(row.value.len() as u32).to_le_bytes());
                out.extend_from_slice(&row.value);
            }
        });
    }
    count
}
