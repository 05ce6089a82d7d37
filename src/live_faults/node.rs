//! One node's seams with what stands in front of them, and the effects that faults have on it. Must not know which fault
//! an effect belongs to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hortator_actors::seam::{Clock, Rooms, Transport};
use hortator_raft::StoreBackend;

use super::clock::{Dial, Wrong};
use super::disk::{Disk, Trouble};
use super::gate::Gate;
use super::wires::{Rule, Wires};
use crate::env::{SystemClock, ThreadRooms};

/// What a node is made with.
#[derive(Clone, Debug)]
pub(crate) enum NodeSeams {
    /// The seams themselves.
    Bare,
    Faulty(Arc<NodeFaults>),
}

#[derive(Debug, Default)]
pub(crate) struct NodeFaults {
    wires: Arc<Wires>,
    disk: Disk,
    dial: Arc<Dial>,
    rooms: Mutex<Option<Arc<ThreadRooms>>>,
    /// What holds its rooms, by fault.
    gates: Mutex<Vec<(u64, Arc<Gate>)>>,
}

/// What a fault does to one node.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Wires(Rule),
    SlowDisk(Duration),
    FullDisk,
    ClockAhead { micros: i64 },
    ClockFast { rate: f64 },
    Pause,
    Kill,
}

impl NodeSeams {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            NodeSeams::Bare => Arc::new(SystemClock),
            NodeSeams::Faulty(faults) => faults.dial.clone(),
        }
    }

    pub(crate) fn store(&self, store: Arc<dyn StoreBackend>) -> Arc<dyn StoreBackend> {
        match self {
            NodeSeams::Bare => store,
            NodeSeams::Faulty(faults) => faults.disk.before(store),
        }
    }

    pub(crate) fn transport(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match self {
            NodeSeams::Bare => transport,
            NodeSeams::Faulty(faults) => faults.wires.before(transport),
        }
    }

    /// These threads stand still when the node is to.
    pub(crate) fn hold(&self, rooms: &Arc<ThreadRooms>) {
        if let NodeSeams::Faulty(faults) = self {
            *faults.rooms.lock().unwrap_or_else(PoisonError::into_inner) = Some(rooms.clone());
        }
    }

    /// Its threads are about to be joined: nothing may hold them.
    pub(crate) fn release(&self) {
        if let NodeSeams::Faulty(faults) = self {
            faults.rooms.lock().unwrap_or_else(PoisonError::into_inner).take();
            let gates = std::mem::take(&mut *faults.gates.lock().unwrap_or_else(PoisonError::into_inner));
            gates.iter().for_each(|(_, gate)| gate.open());
        }
    }
}

impl NodeFaults {
    pub(super) fn apply(&self, id: u64, effect: &Effect) {
        match effect {
            Effect::Wires(rule) => self.wires.add(id, rule.clone()),
            Effect::SlowDisk(by) => self.disk.trouble(id, Trouble::Slow(*by, Arc::default())),
            Effect::FullDisk => self.disk.trouble(id, Trouble::Full),
            Effect::ClockAhead { micros } => self.dial.set(id, Wrong::Ahead { micros: *micros }),
            Effect::ClockFast { rate } => {
                self.dial.set(id, Wrong::Fast { rate: *rate, since: SystemClock.boot() });
            }
            Effect::Pause => self.pause(id),
            // That is the keeper's to do.
            Effect::Kill => {}
        }
    }

    pub(super) fn lift(&self, id: u64) {
        self.wires.lift(id);
        self.disk.mend(id);
        self.dial.right(id);
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().filter(|(own, _)| *own == id).for_each(|(_, gate)| gate.open());
        gates.retain(|(own, _)| *own != id);
    }

    /// Each of its threads waits at the gate when it comes to it.
    fn pause(&self, id: u64) {
        let gate = Arc::<Gate>::default();
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rooms) = &*rooms else { return };
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).push((id, gate.clone()));
        for room in rooms.entered() {
            let gate = gate.clone();
            rooms.enter(room, Box::new(move || gate.wait()));
        }
    }
}
