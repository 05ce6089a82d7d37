//! Which workers there are, in which of their lives, and which lives are lost: decided here, written as one row a worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::api::Response;
use hortator_proto::frame::{PeerFrame, Registration};
use hortator_proto::row::{self, Admission, WorkerRow};
use hortator_raft::{Rows, Write};
use slog::{info, warn};

use super::roster::{read_groups, read_quotas};
use super::{Effect, Epoch, MembershipActor};
use crate::context::Context;
use crate::journal::Turn;
use crate::leaders::MEMBERSHIP;
use crate::worker_table::WorkerTable;

/// Workers of a cluster; far above the design's thousands, so that a runaway script cannot fill the group.
const WORKERS_MAX: usize = 20_000;

/// A worker's new life asks to be known, over a session with the master that passes it on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RegisterWorker {
    pub session_of: Name,
    pub through: u64,
    pub registration: Registration,
}

impl MembershipActor {
    fn register(&mut self, through: u64, registration: Registration) {
        let Some(epoch) = &mut self.epoch else { return self.pass_registration(through, registration) };
        if epoch.journal.under_pressure() {
            return;
        }
        let name = registration.name.clone();
        let known = epoch.decided.get(&name);
        let turn = match known {
            // The same once more, or one that was held back on its way while a younger one came: what counts is said.
            Some(row) if registration.life <= row.life => {
                if registration.life < row.life {
                    info!(self.log, "a late registration changes nothing"; "worker" => %name,
                        "through" => through, "incarnation" => row.incarnation);
                }
                let effect = Effect::Registered {
                    through,
                    worker: name,
                    life: row.life,
                    incarnation: row.incarnation,
                };
                Turn { effects: vec![effect], ..Turn::default() }
            }
            None if epoch.decided.len() >= WORKERS_MAX => {
                return warn!(self.log, "worker refused, the cluster has too many"; "worker" => %name);
            }
            _ => {
                let row = next_life(known.map(Arc::as_ref), &registration, epoch.journal.now());
                info!(self.log, "worker registers"; "worker" => %name, "incarnation" => row.incarnation,
                    "lost_through" => row.lost_through, "spooled" => row.spooled.len());
                epoch.listening.life_began(&name, row.incarnation, self.clock.boot());
                let effect = Effect::Registered {
                    through,
                    worker: name.clone(),
                    life: row.life,
                    incarnation: row.incarnation,
                };
                let write = Write::Put { key: row::key::worker(&name), value: row.encode() };
                epoch.decided.insert(name, Arc::new(row));
                Turn { writes: vec![write], effects: vec![effect], ..Turn::default() }
            }
        };
        epoch.journal.hand_in(turn);
        epoch.journal.flush();
    }

    /// What came over a session of this master goes to the leader; what a master passed on goes no further.
    fn pass_registration(&self, through: u64, registration: Registration) {
        let leader = self.leaders.of(MEMBERSHIP).leader.filter(|leader| *leader != self.me);
        if let (true, Some(leader)) = (through == self.me, leader) {
            self.post.to_master(leader, PeerFrame::Registration(registration));
        }
    }
}

impl Epoch {
    /// The write of a worker's row that a command has changed, and its answer.
    pub(super) fn write_worker(&mut self, row: WorkerRow) -> (Vec<Write>, Response) {
        let name = row.name.clone();
        let changed = self.decided.get(&name).is_none_or(|present| **present != row);
        let response = Response::Changed { name: name.to_string(), changed };
        if !changed {
            return (Vec::new(), response);
        }
        let write = Write::Put { key: row::key::worker(&name), value: row.encode() };
        self.decided.insert(name, Arc::new(row));
        (vec![write], response)
    }
}

/// The row of a worker's new life. Earlier lives are lost with it when the warden's lock proves them dead; what its
/// spool holds of them ends by its reports.
fn next_life(known: Option<&WorkerRow>, registration: &Registration, now: Timestamp) -> WorkerRow {
    let (before, lost_before) = known.map_or((0, 0), |row| (row.incarnation, row.lost_through));
    WorkerRow {
        name: registration.name.clone(),
        incarnation: before + 1,
        life: registration.life,
        profile: (*registration.facts).clone(),
        registered_at: now,
        lost_through: if registration.earlier_lives_dead { before } else { lost_before },
        spooled: registration.spooled.clone(),
        admission: known.map_or(Admission::Open, |row| row.admission.clone()),
    }
}

pub(super) fn read_workers(rows: &Rows) -> Result<WorkerTable, hortator_raft::ReadError> {
    let view = rows.read()?;
    let index = view.applied()?.index;
    let mut workers = BTreeMap::new();
    for (_, stored) in view.scan_prefix(&row::key::workers(), WORKERS_MAX + 1)? {
        let worker = WorkerRow::decode(&stored.value).expect("rows of this group were written by this crate");
        workers.insert(worker.name.clone(), Arc::new(worker));
    }
    let (groups, quotas) = (read_groups(&view)?, read_quotas(&view)?);
    Ok(WorkerTable { index, workers, groups, quotas })
}

impl Handler<RegisterWorker> for MembershipActor {
    type Result = ();

    fn handle(&mut self, message: RegisterWorker, _: &mut Context<Self>) {
        if message.session_of != message.registration.name {
            return warn!(self.log, "a session registers another worker's name; refused";
                "session" => %message.session_of, "worker" => %message.registration.name);
        }
        self.register(message.through, message.registration);
    }
}
