//! The Balancer: each master tells the membership leader every second what it leads and how busy it is, and the Balancer
//! there moves one shard leader at a time to where it evens out. All it holds is soft. Must not know how to choose:
//! that is `core::balance`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::balance::{Dispatches, Fitness, MasterLoad, Move, ShardLoad, next_move, plan};
use hortator_core::cluster::MasterState;
use hortator_core::time::Span;
use hortator_proto::api::{BalanceView, MasterLoadView, MoveView, Response};
use hortator_proto::frame::{LedShard, LoadReport, PeerFrame, RowSum};
use hortator_raft::Rows;
use slog::{Logger, error, info};

use crate::context::{self, Context};
use crate::gateway::{ReplyTo, no_leader};
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

/// What the Balancer knows, for a client; answered by that of the membership leader.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellBalance {
    pub reply: ReplyTo,
}

/// What masters' clocks are ahead of that of this master, by their last reports; empty but on the membership leader.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<(u64, i64)>")]
pub struct ObserveClocks;

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
    pub rows: BTreeMap<u32, Rows>,
    pub meter: Arc<Meter>,
    pub log: Logger,
}

impl std::fmt::Debug for BalancerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BalancerParts(n{})", self.me)
    }
}

/// A master's last report.
struct Told {
    at: Span,
    report: LoadReport,
    /// By how much its clock was ahead when the report came: what that was on the way is in it.
    clock_ahead_us: i64,
}

/// See the module.
pub struct Balancer {
    parts: BalancerParts,
    /// Time since boot when this master started.
    started: Span,
    /// Entries proposed per group when the last report was made, and when that was.
    counted: (Span, BTreeMap<u32, u64>),
    reports: BTreeMap<u64, Told>,
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
        let (up, wall) = (since(now, self.started), self.parts.clock.wall());
        let workers = self.parts.post.sessions().len() as u32;
        LoadReport { up, cpu_percent, leads, wall, sums: self.sums(), workers }
    }

    /// After an entry for which all replicas keep it, and after the last one: enough to meet one that is kept there.
    fn sums(&self) -> Vec<RowSum> {
        let of = |(group, rows): (&u32, &Rows)| {
            let group = *group;
            let sums = rows.newest_sums().into_iter();
            sums.map(move |sum| RowSum { group, index: sum.index, sum: sum.sum })
        };
        self.parts.rows.iter().flat_map(of).collect()
    }

    /// Moves one leader, when all shards are accounted for and the last move has been measured.
    fn balance(&mut self) {
        let now = self.parts.clock.boot();
        let Ok(next) = self.next(now) else { return };
        info!(self.parts.log, "a shard's leader is moved"; "shard" => next.shard, "from" => next.from,
            "to" => next.to);
        self.moved = now;
        self.parts.post.to_master(next.from, PeerFrame::HandShardOver { shard: next.shard, to: next.to });
    }

    /// What it would move now, or why nothing.
    fn next(&self, now: Span) -> Result<Move, String> {
        let passed = since(now, self.moved);
        if passed.0 < MOVE_PAUSE.0 {
            let left = Span(MOVE_PAUSE.0 - passed.0).0.div_ceil(1_000_000);
            return Err(format!("the last change of leaders has to be measured first, {left} s more"));
        }
        let (masters, shards) = self.picture(now);
        let told = shards.len();
        if told != self.parts.shards as usize {
            return Err(format!("only {told} of {} shards are told to have a leader", self.parts.shards));
        }
        next_move(&masters, &shards).ok_or_else(|| "no move would even out enough to be worth it".to_string())
    }

    fn view(&self) -> BalanceView {
        let now = self.parts.clock.boot();
        let (masters, shards) = self.picture(now);
        let one = |load: &MasterLoad| {
            let told = &self.reports[&load.id];
            let leads = &told.report.leads;
            MasterLoadView {
                id: load.id,
                fit: load.fitness == Fitness::Fit,
                cpu_percent: told.report.cpu_percent,
                leads: leads.iter().map(|led| led.shard).collect(),
                workers: told.report.workers,
                runs: leads.iter().map(|led| led.runs).sum(),
                proposals_per_second: leads.iter().map(|led| led.proposals_per_second).sum(),
                clock_ahead_us: told.clock_ahead_us,
            }
        };
        let (next, why_not) = match self.next(now) {
            Ok(next) => (Some(move_view(next)), None),
            Err(why) => (None, Some(why)),
        };
        // Half a picture would send leaders to where others are already.
        let whole = shards.len() == self.parts.shards as usize;
        let moves = if whole { plan(&masters, &shards) } else { Vec::new() };
        let moves = moves.into_iter().map(move_view).collect();
        BalanceView { masters: masters.iter().map(one).collect(), next, why_not, moves }
    }

    fn picture(&self, now: Span) -> (Vec<MasterLoad>, Vec<ShardLoad>) {
        let table = self.parts.tables.masters();
        let mut shards: BTreeMap<u32, (u64, ShardLoad)> = BTreeMap::new();
        let mut masters = Vec::new();
        for (id, Told { at, report, .. }) in &self.reports {
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

fn move_view(Move { shard, from, to }: Move) -> MoveView {
    MoveView { shard, from, to }
}

fn since(now: Span, earlier: Span) -> Span {
    Span(now.0.saturating_sub(earlier.0))
}

impl Actor for Balancer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(ctx.paced(REPORT_EVERY), |balancer, _| balancer.tick());
    }
}

impl Handler<LoadReported> for Balancer {
    type Result = ();

    fn handle(&mut self, LoadReported { from, report }: LoadReported, _: &mut Context<Self>) {
        let parts = &self.parts;
        let clock_ahead_us = report.wall.0.saturating_sub(parts.clock.wall().0);
        if from != parts.me {
            for RowSum { group, index, .. } in parts.meter.rows.compare(&parts.rows, from, &report.sums) {
                error!(parts.log, "the rows of a replica differ from those here"; "master" => from,
                    "raft_group" => group, "index" => index);
            }
        }
        self.reports.insert(from, Told { at: parts.clock.boot(), report, clock_ahead_us });
    }
}

impl Handler<TellBalance> for Balancer {
    type Result = ();

    fn handle(&mut self, TellBalance { reply }: TellBalance, _: &mut Context<Self>) {
        reply.send(match self.parts.leaders.of(0).leader == Some(self.parts.me) {
            true => Response::Balance(self.view()),
            false => no_leader(0),
        });
    }
}

impl Handler<ObserveClocks> for Balancer {
    type Result = MessageResult<ObserveClocks>;

    fn handle(&mut self, _: ObserveClocks, _: &mut Context<Self>) -> Self::Result {
        let others = self.reports.iter().filter(|(id, _)| **id != self.parts.me);
        MessageResult(others.map(|(id, told)| (*id, told.clock_ahead_us)).collect())
    }
}
