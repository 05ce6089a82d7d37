//! Replicas of one group in one process: a wire in memory, writers stepped by hand, all from one seed.
//! Each node plays a minimal owner: it begins an epoch when it leads, and remembers what was committed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the harness")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::{
    Batch, Group, GroupConfig, Notice, Position, ProposeError, ReplicaId, Role, Step, StoreBackend, Ticket,
};

mod parts;
pub use parts::*;

pub struct World {
    pub seed: u64,
    pub random: Random,
    pub nodes: BTreeMap<ReplicaId, Node>,
    pub wire: VecDeque<(ReplicaId, ReplicaId, Bytes)>,
    /// Links that lose everything, (from, to).
    pub cut: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Kinds of payloads that never arrive, by their first byte.
    pub lost_kinds: BTreeSet<u8>,
    /// So many parts of snapshots come with a row whose own checksum is wrong, as a rotten sender's would.
    pub rotten_chunks: u32,
    pub loss_percent: u64,
    pub shuffle: bool,
    /// What was reported as committed: never to be lost.
    pub committed: BTreeMap<u64, (Position, Bytes, Bytes)>,
    /// Rows by applied index, to compare replicas.
    states: BTreeMap<u64, u64>,
    /// Sums that replicas keep, by index.
    sums: BTreeMap<u64, u64>,
    pub transcript: u64,
}

impl World {
    /// Replicas 1..=count, all voters.
    pub fn new(seed: u64, count: u64) -> World {
        World::with(seed, count, |_| {})
    }

    pub fn with(seed: u64, count: u64, tune: impl Fn(&mut GroupConfig)) -> World {
        println!("seed {seed}");
        let mut world = World {
            seed,
            random: Random(seed),
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            lost_kinds: BTreeSet::new(),
            rotten_chunks: 0,
            loss_percent: 0,
            shuffle: false,
            committed: BTreeMap::new(),
            states: BTreeMap::new(),
            sums: BTreeMap::new(),
            transcript: 0,
        };
        let voters: Vec<ReplicaId> = (1..=count).collect();
        voters.iter().for_each(|id| world.add(*id, voters.clone(), &tune));
        world
    }

    /// Adds a replica; without voters it waits to be invited.
    pub fn add(&mut self, id: ReplicaId, voters: Vec<ReplicaId>, tune: impl Fn(&mut GroupConfig)) {
        let mut config = GroupConfig::new(GROUP, id, CLUSTER, voters);
        (config.disk_low_bytes, config.ballast_bytes) = (0, 0);
        tune(&mut config);
        let node = Node {
            id,
            backend: MemoryBackend::new(),
            config,
            group: None,
            rows: None,
            notices: Vec::new(),
            ticket: None,
            proposed: BTreeMap::new(),
            reads: BTreeMap::new(),
            boots: 0,
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub fn node(&mut self, id: ReplicaId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node")
    }

    pub fn ids(&self) -> Vec<ReplicaId> {
        self.nodes.keys().copied().collect()
    }

    /// Opens a node's group; false when it died on the way.
    pub fn start(&mut self, id: ReplicaId) -> bool {
        let seed = self.seed;
        let node = self.node(id);
        assert!(node.group.is_none(), "node {id} is up");
        node.boots += 1;
        let dice = Dice(Random(seed ^ (id << 32) ^ node.boots));
        let backend = Arc::new(node.backend.clone());
        match Group::open(
            node.config.clone(),
            backend,
            Box::new(dice),
            quiet_log(),
            Arc::new(Bell::default()),
        ) {
            Ok((group, rows)) => {
                (node.group, node.rows) = (Some(group), Some(rows));
                true
            }
            Err(error) if node.backend.is_dead() => {
                println!("node {id} died while opening: {error}");
                false
            }
            Err(error) => panic!("node {id} does not open: {error:?}"),
        }
    }

    /// The process dies; the disk keeps what `crash` says.
    pub fn crash(&mut self, id: ReplicaId, crash: Crash) {
        let node = self.node(id);
        node.backend.crash(crash);
        (node.group, node.rows, node.ticket) = (None, None, None);
        node.proposed.clear();
        self.wire.retain(|(from, to, _)| *from != id && *to != id);
    }

    /// Ends in order: what is queued is still written.
    pub fn shut_down(&mut self, id: ReplicaId) {
        let node = self.node(id);
        (node.group, node.rows, node.ticket) = (None, None, None);
        while node.backend.step_writer(WRITER).is_some_and(|step| step != Step::Ended) {}
    }

    /// Cuts one side off from the other, both ways.
    pub fn part(&mut self, side: &[ReplicaId]) {
        for (from, to) in self.links() {
            if side.contains(&from) != side.contains(&to) {
                self.cut.insert((from, to));
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn links(&self) -> Vec<(ReplicaId, ReplicaId)> {
        let ids = self.ids();
        ids.iter().flat_map(|from| ids.iter().map(move |to| (*from, *to))).filter(|(a, b)| a != b).collect()
    }

    /// One node's turn: messages go on the wire, notices are acted on.
    pub fn turn(&mut self, id: ReplicaId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(group) = node.group.as_mut() else { return };
        let output = group.turn();
        for message in output.messages {
            self.wire.push_back((id, message.to, message.payload));
        }
        let again = !output.notices.is_empty();
        for notice in output.notices {
            self.on_notice(id, notice);
        }
        if again {
            // acting on a notice may have asked for more
            self.turn(id);
        }
    }

    fn on_notice(&mut self, id: ReplicaId, notice: Notice) {
        self.record(format!("{id} {notice:?}").as_bytes());
        let node = self.nodes.get_mut(&id).expect("a node");
        match &notice {
            Notice::LeaderChanged { leader, .. } => {
                node.ticket = None;
                node.proposed.clear();
                if *leader == Some(id) {
                    node.group().begin_epoch().expect("a leader begins an epoch");
                }
            }
            Notice::EpochBegan { term, epoch, index } => {
                assert!(node.rows().applied() >= *index, "the barrier's rows are visible");
                node.ticket = Some(Ticket { term: *term, epoch: *epoch, sequence: 0 });
            }
            Notice::EpochEnded { .. } => {
                node.ticket = None;
                node.proposed.clear();
                if node.is_leader() {
                    node.group().begin_epoch().expect("a leader begins an epoch");
                }
            }
            Notice::Committed { position, .. } => {
                let (key, value) =
                    node.proposed.remove(position).expect("proposed in this epoch, at this position");
                let old = self.committed.insert(position.index, (*position, key, value));
                assert_eq!(old, None, "committed twice");
            }
            Notice::ReadReady { id, index } => {
                node.reads.insert(id.0, *index);
            }
            _ => {}
        }
        self.nodes.get_mut(&id).expect("a node").notices.push(notice);
    }

    fn record(&mut self, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.transcript as u32);
        hasher.update(bytes);
        self.transcript = u64::from(hasher.finalize());
    }

    /// Lets a writer do one step; false when it had nothing to do or is gone.
    pub fn write_one(&mut self, id: ReplicaId) -> bool {
        self.node(id).backend.step_writer(WRITER) == Some(Step::Worked)
    }

    pub fn deliver_one(&mut self) -> bool {
        let at =
            if self.shuffle && !self.wire.is_empty() { self.random.below(self.wire.len() as u64) } else { 0 };
        let Some((from, to, mut payload)) = self.wire.remove(at as usize) else {
            return false;
        };
        if payload[0] == CHUNK && self.rotten_chunks > 0 {
            self.rotten_chunks -= 1;
            payload = with_a_rotten_row(&payload);
        }
        let muted = self.cut.contains(&(from, to)) || self.lost_kinds.contains(&payload[0]);
        let lost = muted || self.random.chance(self.loss_percent);
        let Some(node) = self.nodes.get_mut(&to) else {
            return true;
        };
        if let (false, Some(group)) = (lost, node.group.as_mut()) {
            if let Err(error) = group.step(from, &payload) {
                self.record(format!("{to} refuses {from}: {error}").as_bytes());
            }
            self.turn(to);
        }
        true
    }

    /// Delivers and writes until nothing moves any more.
    pub fn settle(&mut self) {
        self.ids().into_iter().for_each(|id| self.turn(id));
        loop {
            let mut moved = self.deliver_one();
            if !moved {
                for id in self.ids() {
                    if self.write_one(id) {
                        moved = true;
                    }
                    self.turn(id);
                }
            }
            if !moved && self.wire.is_empty() {
                break;
            }
        }
        self.check();
    }

    pub fn tick(&mut self) {
        for id in self.ids() {
            if let Some(group) = self.node(id).group.as_mut() {
                group.tick();
            }
            self.turn(id);
        }
        self.settle();
    }

    pub fn ticks(&mut self, count: usize) {
        (0..count).for_each(|_| self.tick());
    }

    /// Ticks until the condition holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut World) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            self.tick();
        }
        panic!("seed {}: not within 400 ticks: {what}; {:#?}", self.seed, self.statuses());
    }

    pub fn statuses(&self) -> Vec<hortator_raft::GroupStatus> {
        self.nodes.values().filter_map(|node| Some(node.group.as_ref()?.status())).collect()
    }

    /// A leader whose epoch has begun; of several (a deposed one may not know yet) the one of the highest term.
    pub fn leader(&mut self) -> Option<ReplicaId> {
        let ready = self.nodes.values().filter_map(|node| Some((node.ticket?.term, node.id)));
        ready.max().map(|(_, id)| id)
    }

    pub fn elect(&mut self) -> ReplicaId {
        self.until("a leader with an epoch", |world| world.leader().is_some());
        self.leader().expect("just found")
    }

    /// Proposes a put; its position, or why not.
    pub fn propose(
        &mut self,
        id: ReplicaId,
        key: &str,
        value: impl Into<Bytes>,
    ) -> Result<Position, ProposeError> {
        let value = value.into();
        let mut batch = Batch::new();
        batch.put(Bytes::copy_from_slice(key.as_bytes()), value.clone());
        let node = self.node(id);
        let Some(ticket) = node.ticket else {
            return Err(ProposeError::WrongEpoch);
        };
        let taken = node.group().propose(ticket, &batch);
        if let Ok(position) = taken {
            node.ticket = Some(Ticket { sequence: ticket.sequence + 1, ..ticket });
            node.proposed.insert(position, (Bytes::copy_from_slice(key.as_bytes()), value));
        }
        taken
    }

    /// Puts at the leader and waits until it is committed; tries again when the leader was deposed meanwhile.
    pub fn put(&mut self, key: &str, value: impl Into<Bytes>) -> Position {
        let value = value.into();
        for _ in 0..20 {
            let leader = self.elect();
            let taken = self.propose(leader, key, value.clone());
            self.settle();
            let Ok(position) = taken else {
                continue;
            };
            let done =
                |world: &World| world.committed.get(&position.index).is_some_and(|(at, ..)| *at == position);
            self.until("the put is committed or given up", |world| {
                done(world) || !world.nodes[&leader].proposed.contains_key(&position)
            });
            if done(self) {
                return position;
            }
        }
        panic!("seed {}: no put succeeded; {:#?}", self.seed, self.statuses());
    }

    /// A proposal at the leader, if there is one.
    pub fn propose_somewhere(&mut self, round: u64) {
        let leader = self.elect();
        self.propose(leader, &format!("r{round}"), "v").expect("taken");
        self.turn(leader);
        self.deliver_one();
    }

    pub fn value(&self, id: ReplicaId, key: &str) -> Option<Bytes> {
        self.nodes[&id].rows().get(key.as_bytes()).expect("readable").map(|row| row.value)
    }

    /// All replicas that are up have applied what is committed.
    pub fn converge(&mut self) {
        self.until("all replicas are equal", |world| {
            let statuses = world.statuses();
            let leader = statuses.iter().any(|status| status.role == Role::Leader);
            let last = statuses.iter().map(|status| status.last).max();
            leader && statuses.iter().all(|status| Some(status.applied) == last)
        });
        self.check_committed();
    }

    /// Replicas that have applied the same entries have the same rows.
    pub fn check(&mut self) {
        for id in self.ids() {
            let node = &self.nodes[&id];
            let stopped = node.group.as_ref().is_none_or(|group| group.status().stopped.is_some());
            if stopped || node.backend.is_dead() {
                continue;
            }
            let (applied, rows) = node.dump();
            let mut hasher = crc32fast::Hasher::new_with_initial(applied.term as u32);
            for (key, row) in &rows {
                hasher.update(key);
                hasher.update(&row.value);
                hasher.update(&row.written.index.to_le_bytes());
                hasher.update(&row.written.term.to_le_bytes());
            }
            let sum = u64::from(hasher.finalize());
            let known = *self.states.entry(applied.index).or_insert(sum);
            assert_eq!(known, sum, "seed {}: node {id} differs at {applied}", self.seed);
            // The sum that was kept on the way is that of the rows there are, and others have the same one.
            let audit = node.rows().read().and_then(|view| view.audit()).expect("readable");
            assert_eq!((audit.counted, audit.broken), (audit.kept, 0), "seed {}: node {id}", self.seed);
            for checkpoint in node.rows().sums() {
                let known = *self.sums.entry(checkpoint.index).or_insert(checkpoint.sum);
                assert_eq!(known, checkpoint.sum, "seed {}: node {id} at {}", self.seed, checkpoint.index);
            }
        }
    }

    /// What was reported as committed is there, unless a later entry wrote the same key.
    pub fn check_committed(&self) {
        for node in self.nodes.values().filter(|node| node.group.is_some()) {
            let applied = node.rows().applied();
            for (index, (position, key, value)) in self.committed.range(..=applied) {
                let row = node.rows().get(key).expect("readable");
                let row =
                    row.unwrap_or_else(|| panic!("seed {}: node {} lost {position}", self.seed, node.id));
                let kept = row.written == *position && row.value == *value;
                assert!(
                    kept || row.written.index > *index,
                    "seed {}: node {} lost {position}",
                    self.seed,
                    node.id
                );
            }
        }
    }
}
