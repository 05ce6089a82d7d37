//! Starts a master: opens its groups, starts its actors in their rooms, opens its post office. Must not know what the
//! seams are made of, and never touches actix's `System`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hortator_core::lease::Leases;
use hortator_proto::frame::NodeId;
use hortator_proto::row;
use hortator_raft::{GroupConfig, OpenError, Rows};
use slog::{Logger, o};
use tokio::sync::{oneshot, watch};

use crate::balancer::{Balancer, BalancerParts};
use crate::context;
use crate::dispatcher::Dispatcher;
use crate::gateway::{Gateway, GatewayHandle, QuestionIds};
use crate::group::{GroupActor, GroupParts, HandOver, HandOverAnswer, Heir, Listen, WriteBell};
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::membership::{Founding, MembershipActor, MembershipParts, TellWorkers};
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::pace::Pace;
use crate::post::{Inbox, Post, Recipients};
use crate::relay::Relay;
use crate::replicas::Replicas;
use crate::seam::{Room, Rooms, Seams};
use crate::shard::limits::AllRows;
use crate::shard::{Shard, ShardParts};
use crate::status::StatusParts;
use crate::tables::{TableKeeper, Tables};
use crate::worker::WorkerPost;

/// What a master must know before it starts; all masters of a cluster agree on everything but `me`.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub pace: Pace,
    pub me: u64,
    pub cluster: [u8; 16],
    /// For people.
    pub cluster_name: String,
    /// Raised when a cluster is restored from a backup.
    pub generation: u32,
    /// Fixed when a cluster is created, 1..=255.
    pub shards: u32,
    pub founding: Founding,
    /// What a new cluster begins with; later its rows say it.
    pub leases: Leases,
    /// Bytes of redb's page cache for each group.
    pub cache_bytes: usize,
    /// Free bytes under which new commands are refused.
    pub disk_low_bytes: u64,
    /// Bytes given back when the disk is low.
    pub ballast_bytes: u64,
    /// Entries of each group's log kept behind what is applied.
    pub log_keep_entries: u64,
    pub mutant: Mutant,
}

/// How long a planned stop waits until others lead: two tries of a second each, and a moment.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);
/// Pause between two looks; a hand-over takes some milliseconds.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);

/// Why a master does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("group {group} does not open")]
    Group {
        group: u32,
        #[source]
        source: Box<OpenError>,
    },
    #[error("the room for {0} is closed")]
    Room(&'static str),
}

/// A running master.
#[derive(Debug)]
pub struct Node {
    gateway: GatewayHandle,
    groups: BTreeMap<u32, Mailbox<GroupActor>>,
    replicas: Arc<Replicas>,
    meter: Arc<Meter>,
}

impl Node {
    /// Starts all of a master in its rooms.
    pub async fn start(seams: Seams, config: NodeConfig, log: &Logger) -> Result<Node, StartError> {
        let log = log.new(o!("node" => format!("n{}", config.me)));
        let meter = Arc::new(Meter::at(config.pace));
        let leaders = Arc::<Leaders>::default();
        let me = NodeId::Master(config.me);
        let relay =
            Relay::new(me, seams.transport.clone(), config.pace.clock(seams.clock.clone()), log.clone());
        let post = Post::new(config.me, relay.clone(), meter.clone(), log.clone());
        let (kept, of) = (relay.clone(), meter.clone());
        in_room(&*seams.rooms, Room::Raft, "raft", move || kept.keep(&of)).await?;
        let seams = Seams { transport: relay, ..seams };
        let (keeper, tables) = Tables::new();
        let replicas = Arc::<Replicas>::default();
        let start = Start { seams, config, meter, leaders, tables, replicas, post, log };
        start.run(keeper).await
    }

    /// What clients talk to.
    pub fn gateway(&self) -> &GatewayHandle {
        &self.gateway
    }

    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Why this master may never take part again under its id, if so: its directory was emptied or restored.
    pub fn refusal(&self) -> Option<&str> {
        self.replicas.refusal()
    }

    /// Hands leaderships over, before a planned stop; returns when nothing is led here any more, nobody could take
    /// over, or after `HAND_OVER_MAX`.
    pub async fn hand_over(&self) {
        let deadline = tokio::time::Instant::now() + HAND_OVER_MAX;
        while self.asked_to_hand_over().await && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(HAND_OVER_PAUSE).await;
        }
    }

    /// True while anything is on its way.
    async fn asked_to_hand_over(&self) -> bool {
        let mut on_its_way = false;
        for group in self.groups.values() {
            on_its_way |= group.ask(HandOver { to: Heir::Best }).await == Ok(HandOverAnswer::OnItsWay);
        }
        on_its_way
    }
}

struct Start {
    seams: Seams,
    config: NodeConfig,
    meter: Arc<Meter>,
    leaders: Arc<Leaders>,
    tables: Tables,
    replicas: Arc<Replicas>,
    post: Arc<Post>,
    log: Logger,
}

impl Start {
    async fn run(self, keeper: TableKeeper) -> Result<Node, StartError> {
        let (mut groups, mut rows) = (BTreeMap::new(), BTreeMap::new());
        for group in 0..=self.config.shards {
            let (mailbox, group_rows) = self.group(group).await?;
            groups.insert(group, mailbox);
            rows.insert(group, group_rows);
        }
        let dispatcher = self.dispatcher().await?;
        let membership = self.membership(&groups[&0], &rows[&0], keeper).await?;
        let all_rows = Arc::new(rows.clone());
        let (mut shards, mut applied) = (BTreeMap::new(), BTreeMap::new());
        for shard in 1..=self.config.shards {
            let (sender, receiver) = watch::channel(0);
            let mailbox = self.shard(shard, &groups[&shard], &all_rows, sender).await?;
            shards.insert(shard, mailbox);
            applied.insert(shard, receiver);
        }
        let ids = QuestionIds::new(&mut *(self.seams.entropy)("gateway"));
        let (gateway, workers) = self.edge(ids.clone()).await?;
        let balancer = self.balancer(&rows).await?;
        self.post.open(Recipients {
            balancer: balancer.clone(),
            groups: groups.clone(),
            shards: shards.clone(),
            membership: membership.clone(),
            dispatcher: dispatcher.clone(),
            gateway: gateway.clone(),
            workers,
        });
        self.seams.transport.listen(Arc::new(Inbox::of(&self.post)));
        let _ = groups[&0].send(Listen(membership.door()));
        let _ = membership.send(TellWorkers);
        for (id, shard) in &shards {
            let _ = groups[id].send(Listen(shard.door()));
        }
        let status = StatusParts {
            me: self.config.me,
            cluster: self.config.cluster_name.clone(),
            tables: self.tables.clone(),
            groups: groups.clone(),
            shards,
            dispatcher,
            balancer,
            rows: rows.clone(),
            leaders: self.leaders.clone(),
            meter: self.meter.clone(),
            post: self.post.clone(),
            clock: self.seams.clock.clone(),
        };
        let gateway = GatewayHandle::new(gateway, ids, rows, applied, status, self.config.shards);
        Ok(Node { gateway, groups, replicas: self.replicas, meter: self.meter })
    }

    async fn group(&self, id: u32) -> Result<(Mailbox<GroupActor>, Rows), StartError> {
        let config = &self.config;
        let voters = match &config.founding {
            Founding::First(genesis) => genesis.masters.iter().map(|founder| founder.id).collect(),
            Founding::Joiner => Vec::new(),
        };
        let mut group_config = GroupConfig::new(id, config.me, config.cluster, voters);
        group_config.cache_bytes = config.cache_bytes;
        group_config.disk_low_bytes = config.disk_low_bytes;
        group_config.ballast_bytes = config.ballast_bytes;
        group_config.log_keep_entries = config.log_keep_entries;
        group_config.watched = row::key::WATCHED;
        group_config.mistake = config.mutant.of_replica(id);
        let entropy = (self.seams.entropy)(&format!("raft-{id}"));
        let store = self.seams.store.clone();
        let (post, leaders, meter) = (self.post.clone(), self.leaders.clone(), self.meter.clone());
        let (tables, replicas) = (self.tables.clone(), self.replicas.clone());
        let (log, me) = (self.log.new(o!("raft_group" => id)), config.me);
        let opened = in_room(&*self.seams.rooms, Room::Raft, "raft", move || {
            let bell = Arc::<WriteBell>::default();
            let (group, rows) =
                hortator_raft::Group::open(group_config, store, entropy, log.clone(), bell.clone())?;
            let rows_of = rows.clone();
            let parts = GroupParts { id, me, group, rows, bell, post, leaders, tables, replicas, meter, log };
            Ok((GroupActor::start_in_room(parts), rows_of))
        });
        opened.await?.map_err(|source| StartError::Group { group: id, source: Box::new(source) })
    }

    async fn balancer(&self, rows: &BTreeMap<u32, Rows>) -> Result<Mailbox<Balancer>, StartError> {
        let parts = BalancerParts {
            me: self.config.me,
            shards: self.config.shards,
            post: self.post.clone(),
            clock: self.seams.clock.clone(),
            host: (self.seams.host)(),
            leaders: self.leaders.clone(),
            replicas: self.replicas.clone(),
            tables: self.tables.clone(),
            rows: rows.clone(),
            meter: self.meter.clone(),
            log: self.log.new(o!("actor" => "balancer")),
        };
        let start = move || Balancer::start_in_room(parts);
        in_room(&*self.seams.rooms, Room::Deciders(0), "the membership group", start).await
    }

    async fn dispatcher(&self) -> Result<Mailbox<Dispatcher>, StartError> {
        let (post, clock, meter) = (self.post.clone(), self.seams.clock.clone(), self.meter.clone());
        let shards = self.config.shards;
        let log = self.log.new(o!("actor" => "dispatcher"));
        let mutant = self.config.mutant;
        let start = move || Dispatcher::start_in_room(post, clock, shards, mutant, meter, log);
        in_room(&*self.seams.rooms, Room::Deciders(0), "the membership group", start).await
    }

    async fn membership(
        &self,
        group: &Mailbox<GroupActor>,
        rows: &Rows,
        keeper: TableKeeper,
    ) -> Result<Mailbox<MembershipActor>, StartError> {
        let parts = MembershipParts {
            me: self.config.me,
            cluster: self.config.cluster,
            founding: self.config.founding.clone(),
            initial_leases: self.config.leases,
            mutant: self.config.mutant,
            leaders: self.leaders.clone(),
            group: group.clone(),
            rows: rows.clone(),
            clock: self.seams.clock.clone(),
            post: self.post.clone(),
            transport: self.seams.transport.clone(),
            replicas: self.replicas.clone(),
            keeper,
            meter: self.meter.clone(),
            log: self.log.new(o!("raft_group" => 0)),
        };
        let start = move || MembershipActor::start_in_room(parts);
        in_room(&*self.seams.rooms, Room::Deciders(0), "the membership group", start).await
    }

    async fn shard(
        &self,
        id: u32,
        group: &Mailbox<GroupActor>,
        all_rows: &AllRows,
        applied: watch::Sender<u64>,
    ) -> Result<Mailbox<Shard>, StartError> {
        let parts = ShardParts {
            id,
            generation: self.config.generation,
            mutant: self.config.mutant,
            group: group.clone(),
            rows: all_rows[&id].clone(),
            all_rows: all_rows.clone(),
            seams: self.seams.clone(),
            post: self.post.clone(),
            leaders: self.leaders.clone(),
            replicas: self.replicas.clone(),
            tables: self.tables.clone(),
            meter: self.meter.clone(),
            applied,
            log: self.log.new(o!("raft_group" => id)),
        };
        in_room(&*self.seams.rooms, Room::Deciders(id), "a shard", move || Shard::start_in_room(parts)).await
    }

    async fn edge(&self, ids: QuestionIds) -> Result<(Mailbox<Gateway>, Mailbox<WorkerPost>), StartError> {
        let (me, post, leaders) = (self.config.me, self.post.clone(), self.leaders.clone());
        let (clock, meter, log) = (self.seams.clock.clone(), self.meter.clone(), self.log.clone());
        let start = move || {
            let gateway = Gateway::start_in_room(me, ids, post.clone(), leaders, meter.clone(), log.clone());
            let post = WorkerPost::new(post, clock, meter.clone(), log);
            (gateway, context::start(&meter, ActorName::Only, post))
        };
        in_room(&*self.seams.rooms, Room::Edge, "the edge", start).await
    }
}

/// Runs `start` inside a room and brings back what it gives.
async fn in_room<T: Send + 'static>(
    rooms: &dyn Rooms,
    room: Room,
    name: &'static str,
    start: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    let (sender, receiver) = oneshot::channel();
    rooms.enter(room, Box::new(move || drop(sender.send(start()))));
    receiver.await.map_err(|_| StartError::Room(name))
}
