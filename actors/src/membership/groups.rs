//! Worker groups' configurations and namespaces' quotas, as people change them. Pure.
//! It must not know workers or what is placed.

use hortator_core::dispatch::{Quota, Resource};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::api::{GroupChange, Problem, ProblemKind, QuotaChange};
use hortator_proto::row::{QuotaRow, WorkerGroupRow};

use super::roster::{Roster, RosterRow};

/// Groups with a configuration of their own; a queue each.
pub(super) const GROUPS_MAX: usize = 1_000;
/// Namespaces with a quota.
pub(super) const QUOTAS_MAX: usize = 10_000;
/// Shortest ageing: five levels in less than this would be no order.
const AGEING_MIN: Span = Span::from_secs(1);
/// Longest slow start: a worker that is not warm by then is no young one.
const SLOW_START_MAX: Span = Span::from_secs(3600);
/// Pressure and load may be above 100 per cent.
const THRESHOLD_MAX: f64 = 10_000.0;

pub(super) fn change(roster: &Roster, name: &Name, change: &GroupChange) -> Result<Vec<RosterRow>, Problem> {
    let known = roster.groups.get(name);
    if known.is_none() && roster.groups.len() >= GROUPS_MAX {
        return Err(refused(format!("{GROUPS_MAX} worker groups have a configuration already")));
    }
    let before = known.copied().unwrap_or_default();
    let mut config = before;
    if let Some(policy) = change.policy {
        config.policy = policy;
    }
    if let Some(ageing) = change.ageing {
        if ageing.0 > 0 && ageing < AGEING_MIN {
            return Err(refused(format!("ageing is {ageing}; the least is {AGEING_MIN}, and 0s means none")));
        }
        config.ageing = Some(ageing).filter(|ageing| ageing.0 > 0);
    }
    if let Some(slow_start) = change.slow_start {
        if slow_start > SLOW_START_MAX {
            return Err(refused(format!("slow_start is {slow_start}; the most is {SLOW_START_MAX}")));
        }
        config.slow_start = slow_start;
    }
    for (metric, limit) in &change.thresholds {
        if !(0.0..=THRESHOLD_MAX).contains(limit) {
            let name = metric.name();
            return Err(refused(format!("{name} is {limit}; it is a percentage, and 0 means no limit")));
        }
        let limit = if *limit == 0.0 { f64::INFINITY } else { *limit };
        config.thresholds = config.thresholds.with(*metric, limit);
    }
    if known.is_some() && config == before {
        return Ok(Vec::new());
    }
    Ok(vec![RosterRow::Group(WorkerGroupRow { name: name.clone(), config })])
}

pub(super) fn change_quota(
    roster: &Roster,
    namespace: &Name,
    change: &QuotaChange,
) -> Result<Vec<RosterRow>, Problem> {
    let before: Quota = roster.quotas.get(namespace).cloned().unwrap_or_default();
    if before.is_empty() && roster.quotas.len() >= QUOTAS_MAX {
        return Err(refused(format!("{QUOTAS_MAX} namespaces have a quota already")));
    }
    let mut most = before.clone();
    for (name, limit) in change {
        let resource: Resource =
            name.parse().map_err(|_| refused(format!("{name:?} is no name of a resource")))?;
        match limit {
            Some(limit) => _ = most.insert(resource, *limit),
            None => _ = most.remove(&resource),
        }
    }
    if most == before {
        return Ok(Vec::new());
    }
    Ok(vec![RosterRow::Quota(QuotaRow { namespace: namespace.clone(), most })])
}

fn refused(detail: String) -> Problem {
    Problem::new(ProblemKind::Invalid, "H3090", detail).hint("hortator help group")
}
