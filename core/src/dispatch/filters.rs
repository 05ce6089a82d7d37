//! The chain of filters: whether a worker may have a task run of a shape, or which filter says no. Choosing, waking and
//! explaining all ask here; there is no second opinion.
//! Must not know scores, queues or other workers.

use super::account::{Joined, Membership, Patience, Voice, Worker};
use super::amounts::Shortfall;
use super::groups::GroupIndex;
use super::offer::{LabelRule, LabelTest, Shape, ZoneWish};

/// The first filter that says no. What it compared is in the worker and the shape; `sides` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// It left the group, or is gone.
    NotAMember,
    /// Draining or cordoned.
    Withheld,
    Silent,
    Quarantined,
    Overloaded,
    Kind,
    /// The rule's place in the shape's list.
    Label {
        rule: u8,
    },
    /// All it has would not be enough.
    TooSmall,
    /// Another zone would do only later.
    Zone,
    Short,
    /// It said itself since its last heartbeat that it has no room for so much.
    Refused,
}

/// Which of a shape's requests may be used: bit by place.
pub(super) type Allowed = u8;
pub(super) const ALL_ALLOWED: Allowed = Allowed::MAX;

/// Whether another zone will do by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zones {
    OwnOnly,
    Any,
}

/// All filters in their order; `suits` may remember what it said of a worker of the same class.
pub(super) fn chain(
    worker: &Worker,
    group: GroupIndex,
    shape: &Shape,
    allowed: Allowed,
    zones: Zones,
    suits: impl FnOnce(&Joined) -> Result<(), Refusal>,
) -> Result<u8, Refusal> {
    let joined = worker.joined().ok_or(Refusal::NotAMember)?;
    let member = joined.membership(group).ok_or(Refusal::NotAMember)?;
    standing(worker, joined, member)?;
    suits(joined)?;
    room(joined, shape, allowed, zones)
}

/// What does not depend on the shape: whether the worker takes work in that group at all.
pub(super) fn standing(worker: &Worker, joined: &Joined, member: &Membership) -> Result<(), Refusal> {
    if !joined.is_up() {
        return Err(Refusal::Withheld);
    }
    match joined.voice {
        Voice::Heard { .. } => {}
        Voice::NotYet { .. } | Voice::Silent { .. } => return Err(Refusal::Silent),
    }
    if !joined.is_trusted(worker.is_idle()) {
        return Err(Refusal::Quarantined);
    }
    match &member.over {
        // An idle worker stays over a limit for reasons that no task will change: it is tried now and then, so that a
        // limit that nobody can keep never stops the group.
        Some(over) if over.patience == Patience::Left || !worker.is_idle() => Err(Refusal::Overloaded),
        Some(_) | None => Ok(()),
    }
}

/// What only changes with the worker's row: the same for all workers of one class.
pub(super) fn suits(joined: &Joined, shape: &Shape) -> Result<(), Refusal> {
    let facts = &joined.facts;
    if !facts.kinds.contains(&shape.kind) {
        return Err(Refusal::Kind);
    }
    for (place, rule) in shape.labels.iter().enumerate() {
        if let LabelRule::Require(test) = rule
            && !test.holds(&facts.labels)
        {
            return Err(Refusal::Label { rule: place as u8 });
        }
    }
    match shape.requests.iter().any(|request| request.fit(&facts.total)) {
        true => Ok(()),
        false => Err(Refusal::TooSmall),
    }
}

/// What changes from moment to moment: the place of the first request that fits now.
pub(super) fn room(joined: &Joined, shape: &Shape, allowed: Allowed, zones: Zones) -> Result<u8, Refusal> {
    if zones == Zones::OwnOnly && !is_near(joined, shape) {
        return Err(Refusal::Zone);
    }
    let mut refusal = Refusal::Short;
    for (place, request) in shape.requests.iter().enumerate() {
        if allowed >> place & 1 == 0 || !request.fit(&joined.free) {
            continue;
        }
        if !joined.has_refused(request) {
            return Ok(place as u8);
        }
        refusal = Refusal::Refused;
    }
    Err(refusal)
}

/// Whether the worker is in the zone that the shape wishes; everywhere without a wish.
pub(super) fn is_near(joined: &Joined, shape: &Shape) -> bool {
    match &shape.zone {
        ZoneWish::Anywhere => true,
        ZoneWish::Near { zone, .. } => joined.facts.zone.as_ref() == Some(zone),
    }
}

/// What the nearest request lacks of the free amounts: the one with the fewest shortfalls, and the first of these.
pub(super) fn shortfalls(joined: &Joined, shape: &Shape) -> Vec<Shortfall> {
    let of_each = shape.requests.iter().map(|request| request.shortfalls(&joined.free));
    of_each.min_by_key(Vec::len).unwrap_or_default()
}

/// The rule's test, for a refusal that names it.
pub(super) fn required(shape: &Shape, rule: u8) -> &LabelTest {
    match &shape.labels[usize::from(rule)] {
        LabelRule::Require(test) => test,
        LabelRule::Prefer { .. } | LabelRule::Spread { .. } => unreachable!("only requirements refuse"),
    }
}
