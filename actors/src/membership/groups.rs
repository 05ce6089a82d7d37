//! Worker groups' configurations and namespaces' quotas, as people change them. Pure.
//! It must not know what is placed, or what waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::dispatch::{Quota, Resource};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::api::{GroupChange, Problem, ProblemKind, QuotaChange};
use hortator_proto::row::{QuotaRow, WorkerGroupRow, WorkerRow};

use super::roster::{Roster, RosterRow};

/// Groups with a configuration of their own; a queue each.
pub(super) const GROUPS_MAX: usize = 1_000;
/// Namespaces with a quota.
pub(super) const QUOTAS_MAX: usize = 10_000;
/// Shortest ageing: five levels in less than this would be no order.
const AGEING_MIN: Span = Span::from_secs(1);
/// Longest slow start: a worker that is not warm by then is no young one.
const SLOW_START_MAX: Span = Span::from_secs(3600);
/// Lost workers that one entry makes forget their group: some 2 MiB of rows.
const FORGETS_MAX: usize = 1_000;
/// Workers that a refusal names.
const NAMED_MAX: usize = 5;
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

/// What a deletion writes.
#[derive(Debug, PartialEq)]
pub(super) struct Deletion {
    pub(super) configuration: Option<RosterRow>,
    /// Lost ones, that do not name the group any more.
    pub(super) workers: Vec<WorkerRow>,
    /// So many lost ones are for the next time.
    pub(super) left: usize,
}

/// A group is there as long as people or workers name it. What waits for it goes on waiting, and is told that there is no
/// such group.
pub(super) fn delete(
    roster: &Roster,
    workers: &BTreeMap<Name, Arc<WorkerRow>>,
    name: &Name,
) -> Result<Deletion, Problem> {
    let named = workers.values().filter(|row| row.profile.groups.contains(name));
    let (lost, present): (Vec<_>, Vec<_>) = named.partition(|row| row.lost_through >= row.incarnation);
    if !present.is_empty() {
        let names: Vec<&str> = present.iter().take(NAMED_MAX).map(|row| row.name.as_str()).collect();
        let more = if present.len() > NAMED_MAX { " and others" } else { "" };
        let detail = format!(
            "worker group {name} has {} workers: {}{more}; a group is there as long as workers are in it",
            present.len(),
            names.join(", "),
        );
        let hint = format!("hortator worker drain {} --wait", names[0]);
        return Err(Problem::new(ProblemKind::Conflict, "H3092", detail).hint(hint));
    }
    let configured = roster.groups.contains_key(name);
    if !configured && lost.is_empty() {
        let detail = format!("there is no worker group {name}");
        return Err(Problem::new(ProblemKind::NotFound, "H3091", detail).hint("hortator group list"));
    }
    let without = |row: &Arc<WorkerRow>| {
        let mut row = WorkerRow::clone(row);
        row.profile.groups.retain(|group| group != name);
        row
    };
    let left = lost.len().saturating_sub(FORGETS_MAX);
    let configuration = (configured && left == 0).then(|| RosterRow::GroupGone(name.clone()));
    let workers = lost.into_iter().take(FORGETS_MAX).map(without).collect();
    Ok(Deletion { configuration, workers, left })
}

/// One entry of the log has room for so many only.
pub(super) fn not_all_at_once(name: &Name, left: usize) -> Problem {
    let detail = format!(
        "{FORGETS_MAX} lost workers of group {name} do not name it any more, and {left} others still do"
    );
    Problem::new(ProblemKind::Busy, "H3093", detail).hint(format!("hortator group delete {name}"))
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

#[cfg(test)]
mod tests {
    use hortator_core::dispatch::GroupConfig;
    use hortator_proto::frame::{LifeId, WorkerProfile};
    use hortator_proto::row::Admission;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn worker(text: &str, groups: &[&str], lost_through: u64) -> (Name, Arc<WorkerRow>) {
        let groups = groups.iter().map(|group| name(group)).collect();
        let row = WorkerRow {
            name: name(text),
            incarnation: 2,
            life: LifeId::default(),
            profile: WorkerProfile { groups, ..WorkerProfile::default() },
            registered_at: hortator_core::time::Timestamp(0),
            lost_through,
            spooled: Vec::new(),
            admission: Admission::Open,
        };
        (name(text), Arc::new(row))
    }

    #[test]
    fn a_group_goes_when_no_worker_is_in_it() {
        let roster = Roster { groups: [(name("set"), GroupConfig::default())].into(), ..Roster::default() };
        let workers = BTreeMap::from([
            worker("w1", &["busy"], 0),
            worker("w2", &["busy", "gone"], 2),
            worker("w3", &["again"], 1),
        ]);
        for (group, expected) in [
            ("set", "forgets its configuration"),
            ("gone", "w2 stays in busy"),
            ("busy", "H3092"),
            ("again", "H3092"),
            ("other", "H3091"),
        ] {
            let found = match delete(&roster, &workers, &name(group)) {
                Err(problem) => problem.code,
                Ok(Deletion { configuration: Some(RosterRow::GroupGone(gone)), workers, left: 0 }) => {
                    assert_eq!((gone, workers), (name(group), Vec::new()));
                    "forgets its configuration".into()
                }
                Ok(Deletion { configuration, workers, left }) => {
                    assert_eq!((configuration, workers.len(), left), (None, 1, 0));
                    let groups: Vec<&str> = workers[0].profile.groups.iter().map(Name::as_str).collect();
                    format!("{} stays in {}", workers[0].name, groups.join(", "))
                }
            };
            assert_eq!(found, expected, "{group}");
        }
    }

    #[test]
    fn more_lost_workers_than_an_entry_has_room_for_take_another() {
        let mut roster =
            Roster { groups: [(name("gone"), GroupConfig::default())].into(), ..Roster::default() };
        let lost = |at: usize| worker(&format!("w{at}"), &["gone"], 2);
        let mut workers: BTreeMap<Name, Arc<WorkerRow>> = (0..FORGETS_MAX + 7).map(lost).collect();
        let first = delete(&roster, &workers, &name("gone")).expect("allowed");
        assert_eq!((first.configuration, first.workers.len(), first.left), (None, FORGETS_MAX, 7));
        workers.extend(first.workers.into_iter().map(|row| (row.name.clone(), Arc::new(row))));
        let second = delete(&roster, &workers, &name("gone")).expect("allowed");
        assert_eq!((second.workers.len(), second.left), (7, 0));
        roster.apply(&second.configuration.expect("now it is the last"));
        assert!(roster.groups.is_empty());
    }
}
