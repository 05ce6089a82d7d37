//! Opening a group: the file, the writer, raft on top of them, and the first greeting.
//! Knows the order of these steps; what each does is elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use raft::{Config, RawNode, ReadOnlyOption};

use super::{Group, Notice, Output, Peer};
use crate::backend::{Entropy, StoreBackend, Wake};
use crate::config::GroupConfig;
use crate::log_store::LogStore;
use crate::marks;
use crate::mistake::Mistake;
use crate::position::ReplicaId;
use crate::snapshot_desk::SnapshotDesk;
use crate::store::{Boot, Current, Hard, JobKind, Memory, OpenError, Queue, Rows, Writer, open_group};
use crate::truncation::LogSizes;

impl Group {
    /// Opens the replica's file, creating it when there is none, raises its boot counter durably and
    /// starts the writer. Call [`Group::turn`] right after: a sole voter leads at once.
    pub fn open(
        config: GroupConfig,
        backend: Arc<dyn StoreBackend>,
        mut entropy: Box<dyn Entropy>,
        log: slog::Logger,
        wake: Arc<dyn Wake>,
    ) -> Result<(Group, Rows), OpenError> {
        check(&config)?;
        let log = log.new(slog::o!("group" => config.group, "replica" => config.replica));
        let (file, mut boot) = open_group(&config, &*backend, &mut *entropy)?;
        slog::info!(log, "group file opened"; "boot" => boot.boot, "term" => boot.hard.term,
            "commit" => boot.hard.commit, "applied" => boot.mark.position.index, "last" => boot.last.index);
        let current = Arc::new(Current::new(file, boot.mark.position.index));
        current.sums.restart(boot.checkpoint());
        let node = raft_node(&config, &boot, &current, &log)?;
        let parts = Parts { config, backend, entropy, log, wake, node, current: current.clone() };
        Ok((Group::start(parts, &mut boot), Rows::new(current)))
    }

    /// Opens a replica again that a full disk has stopped. Its readers and its owner keep what they have; rows that were
    /// visible and not on disk come again from the log. When it fails, [`Notice::SpaceReturned`] says when to try again.
    pub fn reopen(&mut self, wake: Arc<dyn Wake>) -> Result<(), OpenError> {
        if !self.disk.is_full() {
            return Err(OpenError::Config(
                "only a replica that a full disk has stopped is opened again".into(),
            ));
        }
        self.disk.try_again();
        let (file, mut boot) = open_group(&self.config, &*self.backend, &mut *self.entropy)?;
        let current = self.current.clone();
        current.replace(Some(Arc::new(file)));
        current.set_applied(boot.mark.position.index);
        current.changes.restart(boot.mark.position.index);
        current.sums.restart(boot.checkpoint());
        let node =
            raft_node(&self.config, &boot, &current, &self.log).inspect_err(|_| current.replace(None))?;
        slog::info!(self.log, "group file opened again"; "boot" => boot.boot, "term" => boot.hard.term,
            "commit" => boot.hard.commit, "applied" => boot.mark.position.index, "last" => boot.last.index);
        let entropy = std::mem::replace(&mut self.entropy, Box::new(HandedOn));
        let said = std::mem::take(&mut self.out);
        let (config, backend, log) = (self.config.clone(), self.backend.clone(), self.log.clone());
        *self = Group::start(Parts { config, backend, entropy, log, wake, node, current }, &mut boot);
        let low = self.disk.is_low();
        let news = std::mem::replace(&mut self.out, said);
        self.notify(Notice::DiskLow { low });
        self.notify(Notice::Rescan { index: boot.mark.position.index });
        self.out.notices.extend(news.notices);
        self.out.messages.extend(news.messages);
        Ok(())
    }

    /// The replica at work: the writer, the first greeting, and a vote when nobody else has one.
    fn start(parts: Parts, boot: &mut Boot) -> Group {
        let Parts { config, backend, entropy, log, wake, node, current } = parts;
        let (group, replica) = (config.group, config.replica);
        let (Hard { term, vote, .. }, last) = (boot.hard, boot.last.index);
        let applied = boot.mark.position.index;
        let origin = boot.identity.origin;
        marks::deed(|| {
            let boot = boot.boot;
            marks::Deed::Boots { group, replica, origin, boot, term, vote, last, applied }
        });
        for (peer, Memory { origin, boot, .. }) in &boot.peers {
            let (peer, origin, boot) = (*peer, *origin, *boot);
            marks::deed(|| marks::Deed::Meets { group, replica, peer, origin, boot });
        }
        note_rows(&config, &current);
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(
            config.clone(),
            backend.clone(),
            current.clone(),
            queue.clone(),
            wake,
            boot,
            log.clone(),
        );
        let sizes = std::mem::replace(&mut boot.sizes, LogSizes::new(0)).keeping(config.log_keep_entries);
        let mut group = Group {
            log,
            node,
            entropy,
            queue,
            origin: boot.identity.origin,
            boot: boot.boot,
            lives: boot.lives,
            ticks: 0,
            flights: VecDeque::new(),
            next_job: 1,
            finished_job: 0,
            hard_pending: VecDeque::new(),
            hard_durable: boot.hard,
            mark: boot.mark,
            visible: boot.mark.position.index,
            sizes,
            seen: Default::default(),
            election_timeout: config.election_ticks,
            epochs: super::propose::Epochs::new(boot.epoch_max),
            reads: super::reads::Reads::new(config.replica, boot.boot),
            membership: Default::default(),
            peers: known_peers(boot),
            pace: Default::default(),
            incoming: None,
            disk: Default::default(),
            out: Output::default(),
            current,
            backend,
            config,
        };
        group.draw_election_timeout();
        group.check_disk();
        if group.config.ballast_bytes > 0 && !group.disk.is_low() {
            group.push(JobKind::Ballast { bytes: group.config.ballast_bytes });
        }
        group.backend.start_writer(&format!("group-{}", group.config.group), writer);
        group.greet_all();
        group.campaign_if_alone();
        group
    }
}

/// What a replica is made of, beside what its file says.
struct Parts {
    config: GroupConfig,
    backend: Arc<dyn StoreBackend>,
    entropy: Box<dyn Entropy>,
    log: slog::Logger,
    wake: Arc<dyn Wake>,
    node: RawNode<LogStore>,
    current: Arc<Current>,
}

/// In place of the entropy of a replica that is about to be replaced by itself.
struct HandedOn;

impl Entropy for HandedOn {
    fn next_u64(&mut self, _: &str) -> u64 {
        unreachable!("the replica that had it is gone")
    }
}

fn check(config: &GroupConfig) -> Result<(), OpenError> {
    let refuse = |reason: &str| Err(OpenError::Config(reason.into()));
    if config.replica == 0 || config.initial_voters.contains(&0) {
        return refuse("a replica id is not 0");
    }
    if !config.initial_voters.is_empty() && !config.initial_voters.contains(&config.replica) {
        return refuse("the first voters do not include this replica; a joining replica has none");
    }
    if config.heartbeat_ticks == 0 || config.election_ticks <= config.heartbeat_ticks {
        return refuse("an election takes more ticks than a heartbeat, and a heartbeat at least one");
    }
    Ok(())
}

fn raft_node(
    config: &GroupConfig,
    boot: &Boot,
    current: &Arc<Current>,
    log: &slog::Logger,
) -> Result<RawNode<LogStore>, OpenError> {
    let raft_config = Config {
        id: config.replica,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied: boot.mark.position.index,
        max_size_per_msg: config.max_size_per_msg,
        max_inflight_msgs: config.max_inflight_msgs,
        // they need each other, and both are off by default
        check_quorum: !config.mistake.is(Mistake::NeverStepsDown),
        pre_vote: true,
        // the other option trusts clocks
        read_only_option: ReadOnlyOption::Safe,
        batch_append: true,
        priority: 0,
        max_uncommitted_size: config.max_uncommitted_bytes,
        max_committed_size_per_ready: config.max_committed_bytes_per_ready,
        ..Config::default()
    };
    let store = LogStore::new(current.clone(), boot, SnapshotDesk::new(current.clone(), boot.boot));
    Ok(RawNode::new(&raft_config, store, log)?)
}

/// For who compares rows with the log.
pub(super) fn note_rows(config: &GroupConfig, current: &Arc<Current>) {
    if !marks::is_heard() {
        return;
    }
    let (group, replica) = (config.group, config.replica);
    let rows = Rows::new(current.clone());
    if let Ok((index, digest)) = rows.read().and_then(|view| Ok((view.applied()?.index, view.digest()?))) {
        marks::deed(|| marks::Deed::Holds { group, replica, index, digest });
    }
}

fn known_peers(boot: &Boot) -> BTreeMap<ReplicaId, Peer> {
    let known = |(id, memory): &(ReplicaId, _)| (*id, Peer { admitted: Some(*memory), ..Peer::default() });
    boot.peers.iter().map(known).collect()
}
