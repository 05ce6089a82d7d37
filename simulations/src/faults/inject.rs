//! Does to a world what one line of a plan says, again and again, undoes it, and remembers what it did.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::leaders::MEMBERSHIP;
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::frame::NodeId;
use hortator_raft::memory::Crash;
use hortator_raft::sometimes;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{After, Fault, FaultLine, Hit, Who};
use crate::marks::Ear;
use crate::world::World;
use crate::world::disk::{Disk, Extent, Trap};
use crate::world::draw::Draw;
use crate::world::net::Parting;
use crate::world::trace::What;

/// Microseconds for a write on a slow disk: up to a second.
const SLOW: [u64; 2] = [5_000, 400_000];
/// How far wall clocks jump, in microseconds: up to a day.
const JUMP: [u64; 2] = [1_000, 86_400_000_000];
/// Millionths: leases allow for one per cent between any two clocks.
const DRIFT_MAX: u64 = 5_000;
/// Operations of one write within which a master dies.
const WITHIN: [u64; 2] = [1, 40];

/// Who carries out one line of a plan.
#[derive(Debug)]
pub struct Injector {
    line: FaultLine,
    number: usize,
    world: Rc<World>,
    ear: Ear,
    hits: Rc<RefCell<Vec<Hit>>>,
    dues: Dues,
    draw: Draw,
}

/// When each line of a plan is due, by its number.
pub type Dues = Rc<RefCell<BTreeMap<usize, Due>>>;

/// The next hit of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Hits before it.
    done: u32,
    /// Microseconds since the world began.
    at: u64,
}

/// One hit while it is carried out.
struct Blow<'a> {
    world: &'a Rc<World>,
    ear: &'a Ear,
    fault: Fault,
    /// The hit's own stream.
    draw: Draw,
}

impl Injector {
    /// `number` names the line's stream of draws; `ear` knows who leads; what is done goes to `hits`, and when the next is due
    /// to `dues`, which say when the first is where the line has waited before.
    pub fn new(
        line: FaultLine,
        number: usize,
        world: Rc<World>,
        ear: Ear,
        hits: Rc<RefCell<Vec<Hit>>>,
        dues: Dues,
    ) -> Injector {
        let draw = world.draw(&format!("fault {number}"));
        Injector { line, number, world, ear, hits, dues, draw }
    }

    /// Goes on until it has done all its line asks for; dropped when the time is over.
    pub async fn run(mut self) {
        let [least, most] = self.line.every;
        let mut left = self.dues.borrow().get(&self.number).copied();
        for done in left.map_or(0, |due| due.done).. {
            if self.line.count.is_some_and(|count| done >= count) {
                return;
            }
            let now = self.world.now();
            let at = match left.take() {
                Some(due) => due.at.max(now),
                None => now + self.draw.between([least.0, most.0]),
            };
            self.dues.borrow_mut().insert(self.number, Due { done, at });
            let from = Span(at);
            let after = self.line.after.clone().map(|mark| After { mark, from });
            let passer = wait(&self.world, &self.ear, from, after.as_ref()).await;
            let hit = self.aim(done, after, passer);
            self.hits.borrow_mut().push(hit.clone());
            // Unless it comes to draw the next: a hit that the end of a world cuts short is over.
            let next = Due { done: done + 1, at: hit.at.0 + hit.lasts.0 + least.0 };
            self.dues.borrow_mut().insert(self.number, next);
            inflict(&self.world, &self.ear, &hit).await;
        }
    }

    fn aim(&mut self, number: u32, after: Option<After>, passer: Option<NodeId>) -> Hit {
        let victims = match self.line.who {
            Who::Passer => passer.map_or_else(|| self.choose(number), |passer| vec![passer]),
            _ => self.choose(number),
        };
        let [least, most] = self.line.lasts;
        Hit {
            at: Span(self.world.now()),
            fault: self.line.fault,
            who: victims.iter().map(ToString::to_string).collect(),
            lasts: Span(self.draw.log_between([least.0, most.0])),
            line: self.number,
            number,
            after,
        }
    }

    /// That master, or any one while nobody was heard to lead.
    fn or_any(&mut self, leader: Option<u64>, masters: &[NodeId]) -> Vec<NodeId> {
        let leader = leader.map(NodeId::Master);
        leader.or_else(|| self.draw.pick(masters).cloned()).into_iter().collect()
    }

    fn choose(&mut self, number: u32) -> Vec<NodeId> {
        let masters: Vec<NodeId> = self.world.master_ids().into_iter().map(NodeId::Master).collect();
        let workers: Vec<NodeId> = self.world.worker_names().into_iter().map(NodeId::Worker).collect();
        let all = [masters.clone(), workers.clone()].concat();
        match self.line.who {
            Who::AllMasters => masters,
            Who::AllWorkers => workers,
            Who::Leader => {
                let leader = self.draw.pick(&self.ear.leaders()).copied();
                self.or_any(leader, &masters)
            }
            Who::Dispatcher => self.or_any(self.ear.leader_of(MEMBERSHIP), &masters),
            Who::Master | Who::Passer => self.draw.pick(&masters).cloned().into_iter().collect(),
            Who::NextMaster => {
                masters.get(number as usize % masters.len().max(1)).cloned().into_iter().collect()
            }
            Who::Follower => {
                let leaders = self.ear.leaders();
                let follows = |node: &NodeId| !matches!(node, NodeId::Master(id) if leaders.contains(id));
                let followers: Vec<NodeId> = masters.iter().filter(|node| follows(node)).cloned().collect();
                let follower = self.draw.pick(&followers).or_else(|| self.draw.pick(&masters));
                follower.cloned().into_iter().collect()
            }
            Who::Worker => self.draw.pick(&workers).cloned().into_iter().collect(),
            Who::Node => self.draw.pick(&all).cloned().into_iter().collect(),
            Who::Link => {
                let Some(first) = self.draw.pick(&masters).cloned() else { return Vec::new() };
                let others: Vec<NodeId> = all.into_iter().filter(|other| *other != first).collect();
                let second = self.draw.pick(&others).cloned();
                std::iter::once(first).chain(second).collect()
            }
        }
    }
}

/// The hits of one line once more, each at its time or when what it waited for comes, or as soon after that as the one
/// before it is over.
pub async fn repeat(world: Rc<World>, ear: Ear, hits: Vec<Hit>) {
    for hit in hits {
        wait(&world, &ear, hit.at, hit.after.as_ref()).await;
        inflict(&world, &ear, &hit).await;
    }
}

/// Until that time, or until what it is after.
async fn wait(world: &World, ear: &Ear, at: Span, after: Option<&After>) -> Option<NodeId> {
    let until = |time: Span| Duration::from_micros(time.0.saturating_sub(world.now()));
    match after {
        None => {
            sleep(until(at)).await;
            None
        }
        Some(After { mark, from }) => ear.passes_after(mark, until(*from)).await,
    }
}

async fn inflict(world: &Rc<World>, ear: &Ear, hit: &Hit) {
    let Hit { fault, who, lasts, .. } = hit;
    world.note("faults", What::Fault { words: &format!("{fault:?} {who:?} for {lasts}") });
    let mut blow = Blow { world, ear, fault: *fault, draw: hit.draw(world) };
    blow.fall(&hit.victims(world), lasts.as_duration()).await;
}

impl Blow<'_> {
    async fn fall(&mut self, victims: &[NodeId], lasts: Duration) {
        match self.fault {
            Fault::Kill | Fault::PowerLoss => {
                victims.iter().for_each(|victim| self.end(victim));
                let (all, up) = (self.world.master_ids().len(), self.world.masters_up());
                sometimes!(all == 5 && up == 3, "faults: two of five masters are down");
                sleep(lasts).await;
                victims.iter().for_each(|victim| start(self.world, victim));
            }
            Fault::Terminate => self.terminate(victims, lasts).await,
            Fault::HandOver => {
                for id in masters_of(victims) {
                    self.world.hand_over(id).await;
                }
                sleep(lasts).await;
            }
            Fault::Stop => {
                victims.iter().for_each(|victim| freeze(self.world, victim, true));
                sleep(lasts).await;
                victims.iter().for_each(|victim| freeze(self.world, victim, false));
            }
            Fault::StopHost => {
                masters_of(victims).for_each(|id| stand_still(self.world, id, true));
                sleep(lasts).await;
                masters_of(victims).for_each(|id| stand_still(self.world, id, false));
            }
            Fault::Cut
            | Fault::CutPeers
            | Fault::CutIn
            | Fault::CutOut
            | Fault::Split
            | Fault::Bridge
            | Fault::Chain
            | Fault::Swizzle
            | Fault::Break
            | Fault::Storm
            | Fault::Throttle
            | Fault::Squall
            | Fault::Clog => {
                super::wires::disturb(self.world, self.fault, victims, lasts, &mut self.draw).await
            }
            Fault::DieInWrite | Fault::DieAfterSync => {
                for victim in masters_of(victims) {
                    let trap = match self.fault {
                        Fault::DieInWrite => Trap::Within(self.draw.between(WITHIN)),
                        _ => Trap::AfterSync,
                    };
                    self.world.trap_master(victim, trap);
                }
                // The supervisor starts it again.
                sleep(lasts).await;
            }
            Fault::SyncFails => {
                for disk in masters_of(victims).filter_map(|victim| self.world.disk(victim)) {
                    disk.files().fail_next_sync();
                }
                sleep(lasts).await;
            }
            Fault::SlowDisk => {
                let pace = [self.draw.between([1_000, SLOW[0]]), self.draw.log_between(SLOW)];
                let disks: Vec<_> =
                    masters_of(victims).filter_map(|victim| self.world.disk(victim)).collect();
                let slow: Vec<_> = disks.iter().map(|disk| (disk, disk.slow_down(pace))).collect();
                sleep(lasts).await;
                slow.into_iter().for_each(|(disk, layer)| disk.speed_up(layer));
            }
            Fault::StallDisk => {
                for disk in masters_of(victims).filter_map(|victim| self.world.disk(victim)) {
                    let mut writers = disk.files().writer_names();
                    let extent = match self.draw.chance(500_000) && !writers.is_empty() {
                        true => Extent::Writer(
                            writers.swap_remove(self.draw.below(writers.len() as u64) as usize),
                        ),
                        false => Extent::Whole,
                    };
                    disk.stall(lasts.as_micros() as u64, extent);
                }
                sleep(lasts).await;
            }
            Fault::DiskFull => {
                let disks: Vec<_> =
                    masters_of(victims).filter_map(|victim| self.world.disk(victim)).collect();
                let mut fill = |disk: &Disk| disk.fill(self.draw.log_between([1, 1 << 20]));
                let full: Vec<_> = disks.iter().map(|disk| (disk, fill(disk))).collect();
                sleep(lasts).await;
                full.into_iter().for_each(|(disk, layer)| disk.make_room(layer));
            }
            Fault::ClockJump => {
                let far = self.draw.log_between(JUMP) as i64;
                let far = if self.draw.chance(500_000) { far } else { -far };
                let clocks: Vec<_> = victims.iter().filter_map(|victim| clock(self.world, victim)).collect();
                clocks.iter().for_each(|clock| clock.jump(far));
                sleep(lasts).await;
                clocks.iter().for_each(|clock| clock.jump(-far));
            }
            Fault::ClockDrift => {
                let clocks: Vec<_> = victims.iter().filter_map(|victim| clock(self.world, victim)).collect();
                let mut drift = || self.draw.below(2 * DRIFT_MAX) as i64 - DRIFT_MAX as i64;
                let drifts: Vec<_> = clocks.iter().map(|clock| (clock, drift())).collect();
                drifts.iter().for_each(|(clock, drift)| clock.drift_more(*drift));
                sleep(lasts).await;
                drifts.iter().for_each(|(clock, drift)| clock.drift_more(-*drift));
            }
            Fault::Cordon | Fault::Drain | Fault::LongerLeases => {
                super::orders::give(self.world, self.fault, victims, lasts).await;
            }
            Fault::Grow
            | Fault::Shrink
            | Fault::Replace
            | Fault::Amnesia
            | Fault::BitRot
            | Fault::Misdirect
            | Fault::OldDisk => {
                let victim = masters_of(victims).next();
                super::members::change(self.world, self.ear, self.fault, victim, lasts, &mut self.draw).await;
            }
            Fault::NewHost => {
                let workers: Vec<Name> = workers_of(victims).cloned().collect();
                workers.iter().for_each(|name| self.world.exchange_host(name));
                sleep(lasts).await;
                victims.iter().for_each(|victim| start(self.world, victim));
            }
        }
    }

    fn end(&mut self, victim: &NodeId) {
        let power = self.fault == Fault::PowerLoss;
        match victim {
            NodeId::Master(id) => {
                let (crash, parting) = match power {
                    true => (self.power_loss(), Parting::Silent),
                    false => (Crash::Keep, Parting::Told),
                };
                self.world.crash_master(*id, crash, parting);
            }
            NodeId::Worker(name) if power => self.world.cut_power_of_worker(name),
            NodeId::Worker(name) => self.world.kill_agent(name),
        }
    }

    fn power_loss(&mut self) -> Crash {
        match self.draw.below(5) {
            0 => Crash::Lose,
            1 => Crash::Keep,
            _ => Crash::Mix(self.draw.word()),
        }
    }

    async fn terminate(&mut self, victims: &[NodeId], lasts: Duration) {
        for victim in victims {
            match victim {
                NodeId::Master(id) => {
                    self.world.hand_over(*id).await;
                    self.world.crash_master(*id, Crash::Keep, Parting::Told);
                }
                NodeId::Worker(name) => self.world.kill_agent(name),
            }
        }
        sleep(lasts).await;
        victims.iter().for_each(|victim| start(self.world, victim));
    }
}

/// Undoes all that is still wrong: everybody runs, hears everybody and has a good disk and clock.
pub fn heal(world: &Rc<World>) {
    world.note("faults", What::Fault { words: "all is healed" });
    world.net().clear_up();
    world.net().mend_all();
    world.crew().spoilt().into_iter().for_each(|id| world.retire_master(id, Parting::Told));
    for id in world.master_ids() {
        if let Some(disk) = world.disk(id) {
            disk.mend();
            disk.go_on();
            disk.disarm();
        }
        let node = NodeId::Master(id);
        mend_clock(world, &node);
        freeze(world, &node, false);
        start(world, &node);
    }
    for name in world.worker_names() {
        world.freeze_host(&name, false);
        let node = NodeId::Worker(name);
        mend_clock(world, &node);
        freeze(world, &node, false);
        start(world, &node);
    }
}

fn mend_clock(world: &World, node: &NodeId) {
    if let Some(clock) = clock(world, node) {
        clock.set_right();
    }
}

fn clock(world: &World, node: &NodeId) -> Option<std::sync::Arc<crate::world::clock::HostClock>> {
    match node {
        NodeId::Master(id) => world.clock_of_master(*id),
        NodeId::Worker(name) => world.clock_of_worker(name),
    }
}

fn freeze(world: &World, node: &NodeId, frozen: bool) {
    match node {
        NodeId::Master(id) => world.freeze_master(*id, frozen),
        NodeId::Worker(name) => world.freeze_agent(name, frozen),
    }
}

/// A master and the workers that share its host.
fn stand_still(world: &World, master: u64, frozen: bool) {
    world.freeze_master(master, frozen);
    for worker in world.workers_beside(master) {
        world.freeze_host(&worker, frozen);
        world.freeze_agent(&worker, frozen);
    }
}

/// On a task of its own: whoever asks may be dropped before the node is up.
pub(super) fn start(world: &Rc<World>, node: &NodeId) {
    let (world, node) = (world.clone(), node.clone());
    tokio::task::spawn_local(async move {
        match node {
            NodeId::Master(id) => world.start_master(id).await,
            NodeId::Worker(name) => world.start_worker(&name).await,
        }
    });
}

fn workers_of(victims: &[NodeId]) -> impl Iterator<Item = &Name> {
    victims.iter().filter_map(|victim| match victim {
        NodeId::Worker(name) => Some(name),
        NodeId::Master(_) => None,
    })
}

fn masters_of(victims: &[NodeId]) -> impl Iterator<Item = u64> {
    victims.iter().filter_map(|victim| match victim {
        NodeId::Master(id) => Some(*id),
        NodeId::Worker(_) => None,
    })
}
