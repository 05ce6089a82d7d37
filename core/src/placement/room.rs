//! One worker's account: what it has, what is reserved on it, what it measured, and whether a shape fits.
//! Must not know other workers.

use std::sync::Arc;

use super::offer::{KindTag, Shape};
use super::worker::{Load, WorkerFacts, WorkerState};
use super::worker_groups::{GroupIndex, LoadKey};
use super::workers::HoldSource;
use crate::id::WorkerRef;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerRef,
    name: Arc<str>,
    /// Attempts that shards report.
    pub(super) held: Reserved,
    /// Grants that are not settled.
    pub(super) granted: Reserved,
    pub(super) presence: Presence,
}

/// Slots reserved, and by how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) slots: u64,
    pub(super) count: u64,
}

#[derive(Debug)]
pub(super) enum Presence {
    /// Only a name: its row is gone or has not come yet.
    Absent,
    Joined(Box<Joined>),
}

#[derive(Debug)]
pub(super) struct Joined {
    pub(super) facts: WorkerFacts,
    pub(super) groups: Vec<GroupIndex>,
    pub(super) voice: Voice,
    /// Measured slots that no reservation explained at the last two heartbeats. The lesser counts, so that an attempt
    /// that ended between the heartbeat's sending and its arrival does not.
    excess: [u64; 2],
    /// The fewest slots that it has refused since its last heartbeat.
    refused: Option<u32>,
    /// When it was last chosen.
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    NotYet { joined_at: Timestamp },
    Heard { at: Timestamp },
    Silent { since: Timestamp },
}

/// What may be placed on a worker at once; more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    None,
    For { free: u32 },
}

/// Why a shape does not fit a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Withheld,
    Kind,
    Silent {
        since: Timestamp,
    },
    Slots {
        free: u32,
    },
    /// It said so itself since its last heartbeat.
    Refused {
        free: u32,
    },
}

impl Reserved {
    pub(super) fn add(&mut self, slots: u32) {
        self.slots += u64::from(slots);
        self.count += 1;
    }

    pub(super) fn release(&mut self, slots: u32) {
        self.slots -= u64::from(slots);
        self.count -= 1;
    }
}

impl Worker {
    pub(super) fn new(id: WorkerRef) -> Worker {
        let name = id.name.as_str().into();
        Worker {
            id,
            name,
            held: Reserved::default(),
            granted: Reserved::default(),
            presence: Presence::Absent,
        }
    }

    pub(super) fn joined(&self) -> Option<&Joined> {
        match &self.presence {
            Presence::Joined(joined) => Some(joined),
            Presence::Absent => None,
        }
    }

    pub(super) fn groups(&self) -> &[GroupIndex] {
        self.joined().map_or(&[], |joined| &joined.groups)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.joined().is_none() && self.held.count == 0 && self.granted.count == 0
    }

    /// The chain of filters: the first that the shape does not pass. Choosing and explaining both ask here.
    pub(super) fn refusal(&self, shape: &Shape) -> Option<Refusal> {
        let joined = self.joined().expect("only workers that are in are asked");
        if joined.facts.state != WorkerState::Up {
            return Some(Refusal::Withheld);
        }
        if !joined.runs(shape.kind) {
            return Some(Refusal::Kind);
        }
        match joined.voice {
            Voice::NotYet { joined_at: since } | Voice::Silent { since } => {
                return Some(Refusal::Silent { since });
            }
            Voice::Heard { .. } => {}
        }
        let free = self.free();
        if shape.slots > free {
            return Some(Refusal::Slots { free });
        }
        joined.refused.is_some_and(|refused| shape.slots >= refused).then_some(Refusal::Refused { free })
    }

    /// Room for anything at all, before a shape's own needs are asked.
    pub(super) fn room(&self) -> Room {
        let Some(joined) = self.joined() else {
            return Room::None;
        };
        let open = joined.facts.state == WorkerState::Up && matches!(joined.voice, Voice::Heard { .. });
        match joined.refused {
            _ if !open => Room::None,
            None => Room::For { free: self.free() },
            Some(0) => Room::None,
            Some(refused) => Room::For { free: self.free().min(refused - 1) },
        }
    }

    pub(super) fn load_key(&self) -> LoadKey {
        let (slots, turn) = self.joined().map_or((1, 0), |joined| (joined.facts.slots, joined.turn));
        let load = (self.used() << 32) / u64::from(slots.max(1));
        LoadKey { load, turn, name: self.name.clone() }
    }

    /// All it has.
    pub(super) fn slots(&self) -> u32 {
        self.joined().map_or(0, |joined| joined.facts.slots)
    }

    fn used(&self) -> u64 {
        let excess = self.joined().map_or(0, |joined| joined.excess[0].min(joined.excess[1]));
        self.held.slots + self.granted.slots + excess
    }

    fn free(&self) -> u32 {
        let slots = self.joined().map_or(0, |joined| u64::from(joined.facts.slots));
        u32::try_from(slots.saturating_sub(self.used())).expect("no more is free than there is")
    }

    pub(super) fn join(&mut self, facts: WorkerFacts, groups: Vec<GroupIndex>, now: Timestamp) {
        match &mut self.presence {
            Presence::Joined(joined) => {
                joined.facts = facts;
                joined.groups = groups;
            }
            Presence::Absent => {
                self.presence = Presence::Joined(Box::new(Joined {
                    facts,
                    groups,
                    voice: Voice::NotYet { joined_at: now },
                    excess: [u64::MAX, 0],
                    refused: None,
                    turn: 0,
                }));
            }
        }
    }

    pub(super) fn leave(&mut self) -> Presence {
        std::mem::replace(&mut self.presence, Presence::Absent)
    }

    pub(super) fn hear(&mut self, load: Load, at: Timestamp) {
        let reserved = self.held.slots + self.granted.slots;
        if let Presence::Joined(joined) = &mut self.presence {
            // The first one has none before it to compare with, and counts alone.
            let before = match joined.voice {
                Voice::NotYet { .. } => u64::MAX,
                Voice::Heard { .. } | Voice::Silent { .. } => joined.excess[1],
            };
            joined.excess = [before, u64::from(load.running_slots).saturating_sub(reserved)];
            joined.voice = Voice::Heard { at };
            joined.refused = None;
        }
    }

    pub(super) fn fall_silent(&mut self) {
        if let Presence::Joined(joined) = &mut self.presence
            && let Voice::Heard { at } = joined.voice
        {
            joined.voice = Voice::Silent { since: at };
        }
    }

    pub(super) fn grant(&mut self, slots: u32, turn: u64) {
        self.granted.add(slots);
        if let Presence::Joined(joined) = &mut self.presence {
            joined.turn = turn;
        }
    }

    pub(super) fn hold(&mut self, slots: u32, source: HoldSource) {
        self.held.add(slots);
        if let (Presence::Joined(joined), HoldSource::Elsewhere) = (&mut self.presence, source) {
            // What was measured without an owner now has one.
            joined.excess = joined.excess.map(|excess| excess.saturating_sub(u64::from(slots)));
        }
    }

    pub(super) fn note_refusal(&mut self, slots: u32) {
        if let Presence::Joined(joined) = &mut self.presence {
            joined.refused = Some(joined.refused.map_or(slots, |refused| refused.min(slots)));
        }
    }
}

impl Joined {
    fn runs(&self, kind: KindTag) -> bool {
        self.facts.kinds.contains(&kind)
    }
}
