//! Does to the cluster what one line of a plan says, again and again, and remembers what it did.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::StatusView;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::cluster::Cluster;
use super::links::Place;
use super::plan::{FaultKind, FaultLine, Who};
use super::recovery::{GroupBefore, Loss};
use super::workload::Workload;
use crate::cli::client::Call;

/// How often a terminated process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A process that was asked to end and has not done so by then is a violation.
const TERMINATE_MAX: Duration = Duration::from_secs(30);
/// How long a victim's role may take to be found; then any master is taken.
const ASK_MAX: Duration = Duration::from_secs(2);

/// One fault that happened.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Done {
    pub(super) kind: FaultKind,
    pub(super) who: Who,
    pub(super) victims: Vec<String>,
    pub(super) at: Timestamp,
    pub(super) lasted_ms: u64,
    #[serde(skip)]
    pub(super) again_within: Option<Span>,
    /// Acknowledged runs that had not ended, and processes that ran, when it came.
    pub(super) runs_under_way: usize,
    pub(super) processes: usize,
}

/// What all lines of a plan have done so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) done: Vec<Done>,
    pub(super) losses: Vec<Loss>,
    pub(super) violations: Vec<String>,
    /// Cuts at whose end the cluster said that some path leads over a third.
    pub(super) relayed: usize,
}

/// Who carries out one line of a plan.
pub(super) struct Injector {
    pub(super) line: FaultLine,
    pub(super) cluster: Rc<Cluster>,
    pub(super) workload: Rc<Workload>,
    pub(super) record: Rc<RefCell<Record>>,
    pub(super) random: ChaCha8Rng,
    next_master: usize,
}

impl Injector {
    pub(super) fn new(
        line: FaultLine,
        (cluster, workload): (Rc<Cluster>, Rc<Workload>),
        record: Rc<RefCell<Record>>,
        seed: u64,
    ) -> Injector {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Injector { line, cluster, workload, record, random, next_master: 0 }
    }

    /// Goes on until it has done all its line asks for; dropped when the time is over.
    pub(super) async fn run(mut self) {
        for done in 0u32.. {
            if self.line.count.is_some_and(|count| done >= count) {
                return;
            }
            tokio::time::sleep(self.line.draw_pause(&mut self.random).as_duration()).await;
            self.once().await;
        }
    }

    async fn once(&mut self) {
        let status = self.status().await;
        let victims = self.choose(status.as_ref());
        let length = self.line.draw_length(&mut self.random);
        let ran = self.cluster.ledger.processes();
        let at = super::now();
        if let Some(status) = &status
            && matches!(self.line.who, Who::Leader | Who::AllMasters | Who::NextMaster | Who::Master)
        {
            let few = 2 * victims.len() < self.cluster.masters().len();
            let majority = if few { at } else { at.plus(length) };
            self.record.borrow_mut().losses.push(loss((at, majority), status, &victims));
        }
        let names = victims.iter().map(|place| self.cluster.name(*place)).collect();
        let done = Done {
            kind: self.line.kind,
            who: self.line.who,
            victims: names,
            at,
            lasted_ms: length.0 / 1_000,
            again_within: self.line.again_within,
            runs_under_way: self.workload.told().under_way,
            processes: ran,
        };
        self.record.borrow_mut().done.push(done);
        self.inflict(&victims, length).await;
    }

    async fn status(&self) -> Option<StatusView> {
        let ask = self.cluster.client.ask(Call::get("/status"));
        tokio::time::timeout(ASK_MAX, ask).await.ok()?.ok()
    }

    fn choose(&mut self, status: Option<&StatusView>) -> Vec<Place> {
        let (masters, workers) = (self.cluster.masters(), self.cluster.workers());
        match self.line.who {
            Who::AllMasters => masters,
            Who::Leader => {
                let groups = status.map_or(&[][..], |status| &status.groups[..]);
                let leaders: Vec<u64> = groups.iter().filter_map(|group| group.leader).collect();
                let leader = self.one_of(&leaders).and_then(|leader| self.cluster.master(leader));
                leader.or_else(|| self.one_of(&masters)).into_iter().collect()
            }
            Who::Master => self.one_of(&masters).into_iter().collect(),
            Who::NextMaster => {
                self.next_master += 1;
                vec![masters[(self.next_master - 1) % masters.len()]]
            }
            Who::Worker => self.one_of(&workers).into_iter().collect(),
            Who::Node => self.one_of(&[masters, workers].concat()).into_iter().collect(),
            Who::Link => {
                let first = self.random.random_range(0..masters.len());
                let second = (first + self.random.random_range(1..masters.len())) % masters.len();
                vec![masters[first], masters[second]]
            }
            Who::WorkerLink => self.worker_and(1),
            Who::WorkerLinks => self.worker_and(2),
        }
    }

    /// A worker, and so many masters.
    fn worker_and(&mut self, count: usize) -> Vec<Place> {
        let (mut masters, workers) = (self.cluster.masters(), self.cluster.workers());
        while masters.len() > count {
            masters.remove(self.random.random_range(0..masters.len()));
        }
        self.one_of(&workers).into_iter().chain(masters).collect()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { Some(all[self.random.random_range(0..all.len())]) }
    }

    async fn inflict(&mut self, victims: &[Place], length: Span) {
        let length = length.as_duration();
        let cluster = self.cluster.clone();
        match self.line.kind {
            FaultKind::Kill => {
                victims.iter().for_each(|victim| cluster.with(*victim, |process| process.kill(length)));
                tokio::time::sleep(length).await;
            }
            FaultKind::Stop => {
                victims.iter().for_each(|victim| cluster.with(*victim, |process| process.freeze()));
                tokio::time::sleep(length).await;
                victims.iter().for_each(|victim| cluster.with(*victim, |process| process.thaw()));
            }
            FaultKind::Loss => {
                cluster.links.lose(self.line.permille);
                tokio::time::sleep(length).await;
                cluster.links.lose(0);
            }
            FaultKind::Cut | FaultKind::CutIn | FaultKind::CutOut => {
                let cuts = self.directions(victims);
                cuts.iter().for_each(|(from, to)| cluster.links.cut(*from, *to));
                tokio::time::sleep(length).await;
                // Asked of any master; those that are cut off answer late, or not.
                let relayed = self.status().await.is_some_and(|status| !status.relayed.is_empty());
                self.record.borrow_mut().relayed += usize::from(relayed);
                cuts.iter().for_each(|(from, to)| cluster.links.heal(*from, *to));
            }
            FaultKind::Terminate => {
                for victim in victims {
                    self.terminate(*victim, length).await;
                }
            }
        }
    }

    /// From whom to whom nothing travels: between the two of a link, or between a node and all others.
    fn directions(&self, victims: &[Place]) -> Vec<(Place, Place)> {
        let all = [self.cluster.masters(), self.cluster.workers()].concat();
        let others: Vec<Place> = match (self.line.who, victims) {
            (Who::Link | Who::WorkerLink | Who::WorkerLinks, [_, others @ ..]) => others.to_vec(),
            _ => all.into_iter().filter(|place| !victims.contains(place)).collect(),
        };
        let Some(victim) = victims.first().copied() else { return Vec::new() };
        let outwards = others.iter().map(|other| (victim, *other));
        let inwards = others.iter().map(|other| (*other, victim));
        match self.line.kind {
            FaultKind::CutIn => inwards.collect(),
            FaultKind::CutOut => outwards.collect(),
            _ => outwards.chain(inwards).collect(),
        }
    }

    async fn terminate(&self, victim: Place, rest: Duration) {
        self.cluster.pause_supervision(victim);
        self.cluster.with(victim, |process| process.terminate());
        let begun = tokio::time::Instant::now();
        let violation = loop {
            let mut ended = None;
            self.cluster.with(victim, |process| ended = process.ended(rest));
            match ended {
                Some(status) if status.success() => break None,
                Some(status) => break Some(format!("was asked to end and ended with {status}")),
                None if begun.elapsed() > TERMINATE_MAX => {
                    self.cluster.with(victim, |process| process.kill(rest));
                    break Some(format!("did not end within {TERMINATE_MAX:?}"));
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        self.cluster.resume_supervision(victim);
        if let Some(why) = violation {
            let name = self.cluster.name(victim);
            self.record.borrow_mut().violations.push(format!("{name} {why}"));
        }
        tokio::time::sleep(rest).await;
    }
}

/// What has to recover when the victims are gone.
fn loss((at, majority): (Timestamp, Timestamp), status: &StatusView, victims: &[Place]) -> Loss {
    let led = |group: u32| {
        let view = status.groups.iter().find(|view| view.group == group);
        let leader = view.and_then(|view| view.leader);
        leader.is_some_and(|leader| victims.iter().any(|victim| u64::from(victim.0) == leader))
    };
    let shards = status.groups.iter().filter(|view| view.group > 0);
    let hit = shards.filter(|view| led(0) || led(view.group));
    Loss {
        at,
        majority,
        shards: hit.map(|view| GroupBefore { group: view.group, commit: view.commit }).collect(),
    }
}
