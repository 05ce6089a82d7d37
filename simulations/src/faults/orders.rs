//! What operators do to a cluster at work: workers that get nothing new, leases that change. Must not know what comes of it.

use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::Name;
use hortator_core::lease::DEFAULT_TERMS;
use hortator_core::time::Span;
use hortator_proto::api::{Command, Request, Response, SettingsChange, WorkerOrder};
use hortator_proto::frame::NodeId;
use tokio::time::{sleep, timeout};

use super::{Fault, Hit};
use crate::world::World;

/// Terms that are longer than those of a new cluster, and allowed.
const LONGER: (Span, Span) = (Span::from_secs(20), Span::from_secs(25));
/// How long an operator waits for a master before asking the next one.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_millis(100);
/// Tries until an operator gives up; a healed cluster answers within a few.
const TRIES: u32 = 300;
/// An order that was on its way when all was healed has come by then.
const LATE: Duration = Duration::from_secs(3);

/// Gives the order, and takes it back.
pub(super) async fn give(world: &Rc<World>, fault: Fault, victims: &[NodeId], lasts: Duration) {
    for command in commands(fault, victims, Step::Give) {
        insist(world, &command).await;
    }
    sleep(lasts).await;
    for command in commands(fault, victims, Step::TakeBack) {
        insist(world, &command).await;
    }
}

/// Takes back whatever these hits may have left, on a task of its own.
pub fn take_back(world: &Rc<World>, hits: &[Hit]) {
    let orders = hits.iter().map(|hit| commands(hit.fault, &hit.victims(world), Step::TakeBack));
    let mut all: Vec<Command> = Vec::new();
    for command in orders.flatten() {
        if !all.contains(&command) {
            all.push(command);
        }
    }
    let world = world.clone();
    tokio::task::spawn_local(async move {
        for _ in 0..2 {
            for command in &all {
                insist(&world, command).await;
            }
            sleep(LATE).await;
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Give,
    TakeBack,
}

fn commands(fault: Fault, victims: &[NodeId], step: Step) -> Vec<Command> {
    let order = match (fault, step) {
        (Fault::LongerLeases, Step::Give) => return vec![leases(LONGER.0, LONGER.1)],
        (Fault::LongerLeases, Step::TakeBack) => {
            return vec![leases(DEFAULT_TERMS.worker_lease, DEFAULT_TERMS.declare_lost)];
        }
        (Fault::Cordon, Step::Give) => WorkerOrder::Cordon,
        (Fault::Drain, Step::Give) => WorkerOrder::Drain,
        (Fault::Cordon | Fault::Drain, Step::TakeBack) => WorkerOrder::Uncordon,
        _ => return Vec::new(),
    };
    let workers = victims.iter().filter_map(|victim| match victim {
        NodeId::Worker(name) => Some(name.clone()),
        NodeId::Master(_) => None,
    });
    workers.map(|name: Name| Command::OrderWorker { name, order, by: "operator".into() }).collect()
}

fn leases(worker_lease: Span, declare_lost: Span) -> Command {
    let change = SettingsChange {
        worker_lease: Some(worker_lease),
        declare_lost: Some(declare_lost),
        ..SettingsChange::default()
    };
    Command::ChangeSettings { change, by: "operator".into() }
}

/// Until a master has done it, or refuses for good; a worker that never registered has no row to change.
async fn insist(world: &Rc<World>, command: &Command) {
    for _ in 0..TRIES {
        for id in world.master_ids() {
            let Some(gateway) = world.gateway(id) else { continue };
            let asked = timeout(ANSWER_MAX, gateway.request(Request::Command(command.clone()))).await;
            if let Ok(Response::Changed { .. }) = asked {
                return;
            }
        }
        sleep(REST).await;
    }
}
