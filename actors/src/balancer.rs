//! The Balancer: each master tells the membership leader every second what it leads and how busy it is, and the Balancer
//! there moves one shard leader at a time to where it evens out. All it holds is soft. Must not know how to choose:
//! that is `core::balance`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::balance::{Dispatches, Fitness, MasterLoad, ShardLoad, next_move};
use hortator_core::cluster::MasterState;
use hortator_core::time::Span;
use hortator_proto::frame::{LedShard, LoadReport, PeerFrame};
use slog::{Logger, info};

use crate::context::{self, Context};
use crate::group::votes;
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::observe::ActorName;
use crate::post::Post;
use crate::replicas::Replicas;
use crate::seam::{Clock, HostMetrics};
use crate::tables::Tables;

/// Reports of at most a handful of masters; the next one follows in a second.
const MAILBOX: usize = 64;
/// Between two reports of a master, and two looks of the Balancer.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A report older than this says nothing: its master is silent.
const FRESH: Span = Span(3_500_000);
/// Between two moves: what the last one changed must have been measured first, and each move costs a rebuild.
const MOVE_PAUSE: Span = Span(10_000_000);
/// A master that has not been up for so long gets no leader: it may be about to fall again.
const SETTLED: Span = Span(15_000_000);

/// A master's report, its own included.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LoadReported {
    pub from: u64,
    pub report: LoadReport,
}

/// The collaborators of a [`Balancer`].
pub struct BalancerParts {
    pub me: u64,
    pub shards: u32,
    pub post: Arc<Post>,
    pub clock: Arc<dyn Clock>,
    pub host: Box<dyn HostMetrics>,
    pub leaders: Arc<Leaders>,
    pub replicas: Arc<Replicas>,
    pub tables: Tables,
    pub meter: Arc<Meter>,
    pub log: Logger,
}

impl std::fmt::Debug for BalancerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BalancerParts(n{})", self.me)
    }
}

/// See the module.
pub struct Balancer {
    parts: BalancerParts,
    /// Time since boot when this master started.
    started: Span,
    /// Entries proposed per group when the last report was made, and when that was.
    counted: (Span, BTreeMap<u32, u64>),
    reports: BTreeMap<u64, (Span, LoadReport)>,
    moved: Span,
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Balancer(n{})", self.parts.me)
    }
}

impl Balancer {
    /// Starts it in the present room.
    pub fn start_in_room(parts: BalancerParts) -> Mailbox<Balancer> {
        let (meter, now) = (parts.meter.clone(), parts.clock.boot());
        let counted = (now, BTreeMap::new());
        let balancer = Balancer { parts, started: now, counted, reports: BTreeMap::new(), moved: now };
        context::start(&meter, ActorName::Only, balancer)
    }

    fn tick(&mut self) {
        let report = self.report();
        let leader = self.parts.leaders.of(0).leader;
        if let Some(leader) = leader {
            self.parts.post.to_master(leader, PeerFrame::Load(report));
        }
        if leader == Some(self.parts.me) {
            self.balance();
        } else {
            // Who leads next begins with what it is told then.
            self.reports.clear();
            self.moved = self.parts.clock.boot();
        }
    }

    fn report(&mut self) -> LoadReport {
        let now = self.parts.clock.boot();
        let seen = self.parts.replicas.all();
        let masters = self.parts.tables.masters();
        let (before, counted) = &self.counted;
        let millis = (since(now, *before).0 / 1_000).max(1);
        let led = seen.iter().filter(|(group, seen)| **group > 0 && seen.leads).map(|(group, seen)| {
            let proposed = seen.proposals - counted.get(group).copied().unwrap_or(0).min(seen.proposals);
            LedShard {
                shard: *group,
                term: self.parts.leaders.of(*group).term,
                runs: seen.runs,
                proposals_per_second: proposed * 1_000 / millis,
                heirs: votes::heirs(seen, &masters),
            }
        });
        let leads = led.collect();
        self.counted = (now, seen.iter().map(|(group, seen)| (*group, seen.proposals)).collect());
        let cpu_percent = self.parts.host.sample().cpu_percent;
        LoadReport { up: since(now, self.started), cpu_percent, leads }
    }

    /// Moves one leader, when all shards are accounted for and the last move has been measured.
    fn balance(&mut self) {
        let now = self.parts.clock.boot();
        if since(now, self.moved).0 < MOVE_PAUSE.0 {
            return;
        }
        let (masters, shards) = self.picture(now);
        if shards.len() != self.parts.shards as usize {
            return;
        }
        let Some(next) = next_move(&masters, &shards) else { return };
        info!(self.parts.log, "a shard's leader is moved"; "shard" => next.shard, "from" => next.from,
            "to" => next.to);
        self.moved = now;
        self.parts.post.to_master(next.from, PeerFrame::HandShardOver { shard: next.shard, to: next.to });
    }

    fn picture(&self, now: Span) -> (Vec<MasterLoad>, Vec<ShardLoad>) {
        let table = self.parts.tables.masters();
        let mut shards: BTreeMap<u32, (u64, ShardLoad)> = BTreeMap::new();
        let mut masters = Vec::new();
        for (id, (at, report)) in &self.reports {
            let fresh = since(now, *at).0 <= FRESH.0;
            let fit = fresh && report.up.0 >= SETTLED.0 && table.state(*id) == Some(MasterState::Member);
            masters.push(MasterLoad {
                id: *id,
                cpu_percent: report.cpu_percent.clamp(0.0, 100.0) as u32,
                dispatches: if *id == self.parts.me { Dispatches::Yes } else { Dispatches::No },
                fitness: if fit { Fitness::Fit } else { Fitness::Unfit },
            });
            for led in report.leads.iter().filter(|_| fresh) {
                let load = ShardLoad {
                    shard: led.shard,
                    leader: *id,
                    runs: led.runs,
                    proposals_per_second: led.proposals_per_second,
                    heirs: led.heirs.clone(),
                };
                // Of two that say they lead, the later term is right.
                let newest = shards.entry(led.shard).or_insert_with(|| (led.term, load.clone()));
                if newest.0 < led.term {
                    *newest = (led.term, load);
                }
            }
        }
        (masters, shards.into_values().map(|(_, load)| load).collect())
    }
}

fn since(now: Span, earlier: Span) -> Span {
    Span(now.0.saturating_sub(earlier.0))
}

impl Actor for Balancer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(REPORT_EVERY, |balancer, _| balancer.tick());
    }
}

impl Handler<LoadReported> for Balancer {
    type Result = ();

    fn handle(&mut self, LoadReported { from, report }: LoadReported, _: &mut Context<Self>) {
        self.reports.insert(from, (self.parts.clock.boot(), report));
    }
}
