//! A run's history, oldest first, from a position on.

use hortator_core::id::{Position, RunId};
use hortator_proto::api::{EventEntry, PAGE_MAX, Response};
use hortator_proto::row::{self, HistoryRow};
use hortator_raft::RowsView;

use super::{Failure, Reader, header_of};
use crate::mutant::Mutant;

pub(super) fn list(
    reader: &Reader,
    rows: &RowsView,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<Response, Failure> {
    let header = header_of(rows, run)?;
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let (_, to) = row::key::range(&row::key::history_of(run));
    let from = row::key::history(run, after.saturating_add(1));
    let mut page = rows.scan(&from, &to, limit + 1, false)?;
    if after > 0 && page.len() > 1 && reader.mutant.is(Mutant::SkipsAnEvent) {
        page.remove(0);
    }
    let mut entries = Vec::new();
    for (key, stored) in page.iter().take(limit) {
        let Some((_, index)) = row::key::parse_history(key) else { continue };
        let HistoryRow { at, events } = row::decode_history(&stored.value)?;
        entries.push(EventEntry { position: Position { group: reader.shard, index }, at, events });
    }
    let last = page.len() <= limit && !header.is_live();
    Ok(Response::Events { entries, last, position: reader.position(rows)? })
}
