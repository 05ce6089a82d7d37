//! Compares the masters' rows once all have caught up: replicas copy blindly, so they hold the same bytes. Must not know
//! what a row means.

use std::hash::{Hash, Hasher};

use hortator_raft::Rows;

use crate::checkers::Violation;
use crate::marks::Ear;
use crate::model::ROWS;
use crate::world::World;
use crate::world::trace::Rolling;

/// Rows read at a time.
const PAGE: usize = 1_000;

/// S14 for every group; masters that are behind are no reason, L5 has named them.
pub fn compare(world: &World, ear: &Ear) -> Vec<Violation> {
    let mut violations = Vec::new();
    for group in 0..=world.shape().shards {
        let mut first: Option<(u64, u64, u64)> = None;
        for id in world.master_ids() {
            let Some(gateway) = world.gateway(id) else { continue };
            let Some(rows) = gateway.rows_of(group) else { continue };
            let Some(digest) = digest(rows) else { continue };
            let applied = rows.applied();
            let expected = ear.digest(group, applied);
            let held = rows.read().and_then(|view| view.digest()).ok();
            if held.is_some() && expected.is_some() && held != expected {
                let detail = format!("in the end n{id} holds other rows than the log of group {group}");
                violations.push(Violation { checker: "S15", promise: ROWS, detail });
            }
            match first {
                None => first = Some((id, applied, digest)),
                Some((other, at, expected)) if at == applied && expected != digest => {
                    violations.push(Violation {
                        checker: "S14",
                        promise: "replicas that have applied the same hold the same rows",
                        detail: format!("group {group}: n{other} and n{id} differ at index {applied}"),
                    });
                }
                Some(_) => {}
            }
        }
    }
    violations
}

/// None when the file is closed for the moment.
fn digest(rows: &Rows) -> Option<u64> {
    let view = rows.read().ok()?;
    let mut digest = Rolling::default();
    let mut from = Vec::new();
    loop {
        let page = view.scan(&from, &[], PAGE, false).ok()?;
        for (key, row) in &page {
            (&key[..], &row.value[..], row.written).hash(&mut digest);
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = [&key[..], &[0]].concat(),
            _ => return Some(digest.finish()),
        }
    }
}
