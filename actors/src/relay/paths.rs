//! Which links are good and which way frames go, judged by what came over each link and by what the peers tell of
//! theirs. Pure; times are arguments. Must not know frames or connections.
//!
//! A link is good while both ends hear each other. A peer without a good link is reached over a master that has a good
//! link to both, once that master has said so after the link went bad; when there is none, frames still try the
//! connection, if there is one. A change of the path ends the session and begins another: frames may have been lost
//! and may overtake each other, and whoever talks over it says again what matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::frame::{Content, Links, NodeId, RelayedPath};

/// The pace of links between masters.
const AMONG_MASTERS: Pace = Pace {
    // Small frames, twenty a second: a tenth of what Raft sends.
    ping: Span::from_millis(50),
    // Four pings. With a ping and Raft's heartbeat it stays below the shortest election timeout of 500 ms.
    silent: Span::from_millis(200),
    after_silence: Span::from_millis(25),
    // A master that restarts is gone for its other peers too; they say so within two pings.
    after_close: Span::from_millis(150),
};
/// The pace of links with workers, of which a master may have thousands.
const WITH_WORKERS: Pace = Pace {
    ping: Span::from_millis(500),
    // Four pings: a quarter of the shortest lease, and less than it takes to place a refused attempt anew.
    silent: Span::from_secs(2),
    after_silence: Span::from_millis(600),
    // A worker that restarts is back at all masters within the longest pause between two calls, and a handshake.
    after_close: Span::from_secs(2),
};
/// A link is used again after it has been good for so long: a path that changes costs a new session.
const STEADY: Span = Span::from_secs(1);
/// How often a list of workers is said again to a peer that does not have it yet.
const LIST_EVERY: Span = Span::from_millis(200);
/// Somebody that cannot be reached and of whom nobody has spoken for so long is forgotten.
const FORGET_AFTER: Span = Span::from_secs(60);
/// Paths that a master tells the others of, for people.
const TOLD_MAX: usize = 32;

struct Pace {
    ping: Span,
    /// Nothing came for so long: the link is bad.
    silent: Span,
    /// A relay's word counts that is younger than the link's silence by this, since its own may be just beginning.
    after_silence: Span,
    /// The same when the connection closed, or there was none.
    after_close: Span,
}

/// How often a node looks at its links.
pub(super) fn looks_every(me: &NodeId) -> Duration {
    match me {
        NodeId::Master(_) => Duration::from_millis(50),
        NodeId::Worker(_) => Duration::from_millis(100),
    }
}

/// The way to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Nowhere,
    Direct,
    Via(u64),
}

/// What the actors hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Closed(NodeId),
    Opened(NodeId, Path),
}

/// What follows a look.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) sessions: Vec<Session>,
    pub(super) pings: Vec<(NodeId, Content)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Paths {
    me: NodeId,
    masters: Roll,
    /// Masters that were removed and never come back.
    removed: BTreeSet<u64>,
    peers: BTreeMap<NodeId, Peer>,
    looked: Span,
    /// Workers with a good link, and when that changed.
    workers: BTreeSet<Name>,
    workers_version: u64,
}

/// Which masters belong to the cluster.
#[derive(Debug)]
enum Roll {
    /// Nobody has said it, or links are given.
    Unknown,
    Known(BTreeSet<u64>),
}

#[derive(Debug)]
struct Peer {
    connected: bool,
    /// When the last frame came directly, in microseconds since boot.
    heard: AtomicU64,
    hears_us: bool,
    link: Link,
    path: Path,
    next_ping: Span,
    told: Told,
    /// Of our list of workers, as it says.
    knows: u64,
    list_sent: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Good { since: Span },
    Silent { since: Span },
    Closed { since: Span },
}

/// What a peer told of its own links.
#[derive(Debug, Default)]
struct Told {
    at: Span,
    masters: BTreeSet<u64>,
    workers: BTreeSet<Name>,
    workers_version: u64,
    relayed: Vec<RelayedPath>,
}

impl Peer {
    fn new(now: Span) -> Peer {
        Peer {
            connected: false,
            heard: AtomicU64::new(now.0),
            hears_us: false,
            link: Link::Closed { since: now },
            path: Path::Nowhere,
            next_ping: now,
            told: Told::default(),
            knows: 0,
            list_sent: Span::ZERO,
        }
    }

    fn is_heard(&self, pace: &Pace, now: Span) -> bool {
        self.connected && now.0 < self.heard.load(Ordering::Relaxed) + pace.silent.0
    }

    fn is_good(&self) -> bool {
        matches!(self.link, Link::Good { .. })
    }

    /// The link as it is now; since when, if it was so before.
    fn judge(&mut self, pace: &Pace, now: Span) {
        let good = self.is_heard(pace, now) && self.hears_us;
        let judged = match (self.connected, good) {
            (false, _) => Link::Closed { since: now },
            (true, true) => Link::Good { since: now },
            (true, false) => Link::Silent { since: now },
        };
        if std::mem::discriminant(&judged) != std::mem::discriminant(&self.link) {
            self.link = judged;
            // The other end may still believe in it.
            self.next_ping = now;
        }
    }

    fn has_told_of(&self, node: &NodeId) -> bool {
        match node {
            NodeId::Master(id) => self.told.masters.contains(id),
            NodeId::Worker(name) => self.told.workers.contains(name),
        }
    }
}

impl Paths {
    pub(super) fn new(me: NodeId, now: Span) -> Paths {
        Paths {
            me,
            masters: Roll::Unknown,
            removed: BTreeSet::new(),
            peers: BTreeMap::new(),
            looked: now,
            workers: BTreeSet::new(),
            workers_version: 0,
        }
    }

    pub(super) fn path(&self, to: &NodeId) -> Path {
        self.peers.get(to).map_or(Path::Nowhere, |peer| peer.path)
    }

    /// Whether frames for that node can be passed on to it.
    pub(super) fn is_linked(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(Peer::is_good)
    }

    /// Whether the node may take part: a master that was removed may not.
    pub(super) fn belongs(&self, node: &NodeId) -> bool {
        match (node, &self.masters) {
            (NodeId::Master(id), _) if self.removed.contains(id) => false,
            (NodeId::Master(id), Roll::Known(masters)) => masters.contains(id),
            (NodeId::Master(_), Roll::Unknown) | (NodeId::Worker(_), _) => true,
        }
    }

    /// An empty list says nothing.
    pub(super) fn set_masters(&mut self, masters: BTreeSet<u64>, removed: BTreeSet<u64>) {
        self.removed.extend(removed);
        if !masters.is_empty() {
            self.masters = Roll::Known(masters);
        }
    }

    /// Something came over the direct link.
    pub(super) fn hear(&self, from: &NodeId, now: Span) {
        if let Some(peer) = self.peers.get(from) {
            peer.heard.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// A connection has shaken hands both ways: its link is good until it turns out otherwise.
    pub(super) fn opened(&mut self, node: &NodeId, now: Span) -> Vec<Session> {
        let peer = self.peers.entry(node.clone()).or_insert_with(|| Peer::new(now));
        let path = peer.path;
        *peer =
            Peer { connected: true, hears_us: true, link: Link::Good { since: now }, path, ..Peer::new(now) };
        match path {
            Path::Nowhere => change(node, peer, Path::Direct),
            // A new life of the other end, whose last end was not noticed.
            Path::Direct => {
                vec![Session::Closed(node.clone()), Session::Opened(node.clone(), Path::Direct)]
            }
            // It stays there until the link has shown that it lasts.
            Path::Via(_) => Vec::new(),
        }
    }

    pub(super) fn closed(&mut self, node: &NodeId, now: Span) -> Vec<Session> {
        let Some(peer) = self.peers.get_mut(node) else { return Vec::new() };
        let path = peer.path;
        *peer = Peer { path, ..Peer::new(now) };
        match path {
            Path::Direct => change(node, peer, Path::Nowhere),
            Path::Via(_) | Path::Nowhere => Vec::new(),
        }
    }

    pub(super) fn on_links(&mut self, from: &NodeId, links: Links, now: Span) {
        let Some(peer) = self.peers.get_mut(from).filter(|peer| peer.connected) else { return };
        peer.hears_us = links.hears_you;
        peer.knows = links.workers_known;
        peer.told.at = now;
        peer.told.masters = links.masters.into_iter().collect();
        peer.told.relayed = links.relayed;
        if peer.told.workers_version != links.workers_version {
            // What it had is not true any more; its list comes when it hears what we know.
            peer.told.workers_version = 0;
        }
    }

    pub(super) fn on_workers(&mut self, from: &NodeId, version: u64, names: Vec<Name>, now: Span) {
        let from_master = matches!(from, NodeId::Master(_));
        let Some(peer) = self.peers.get_mut(from).filter(|peer| peer.connected && from_master) else {
            return;
        };
        peer.told.at = now;
        peer.told.workers_version = version;
        peer.told.workers = names.into_iter().collect();
    }

    /// Judges all links, chooses paths, says what is due.
    pub(super) fn look(&mut self, now: Span) -> Look {
        self.forgive_a_stall(now);
        let me = self.me.clone();
        for (node, peer) in &mut self.peers {
            peer.judge(pace(&me, node), now);
        }
        self.count_workers(now);
        self.learn_of_others(now);
        Look { sessions: self.choose_paths(now), pings: self.pings(now) }
    }

    /// Whoever stood still heard nobody; that says nothing about them.
    fn forgive_a_stall(&mut self, now: Span) {
        let (since, usual) = (now.0.saturating_sub(self.looked.0), looks_every(&self.me).as_micros() as u64);
        self.looked = now;
        if since > 2 * usual {
            for peer in self.peers.values_mut() {
                let heard = peer.heard.get_mut();
                *heard = (*heard + since - usual).min(now.0);
            }
        }
    }

    fn count_workers(&mut self, now: Span) {
        let good = self.peers.iter().filter(|(_, peer)| peer.is_good());
        let names = good.filter_map(|(node, _)| match node {
            NodeId::Worker(name) => Some(name),
            NodeId::Master(_) => None,
        });
        if !names.clone().eq(self.workers.iter()) {
            self.workers = names.cloned().collect();
            self.workers_version = now.0;
        }
    }

    /// Those whom a peer reaches and this node does not know are wanted too.
    fn learn_of_others(&mut self, now: Span) {
        let mut others = BTreeSet::new();
        for peer in self.peers.values().filter(|peer| peer.is_good()) {
            let masters = peer.told.masters.iter().map(|id| NodeId::Master(*id));
            others.extend(masters.filter(|node| !self.peers.contains_key(node)));
            let workers = peer.told.workers.difference(&self.workers);
            others.extend(workers.cloned().map(NodeId::Worker).filter(|node| !self.peers.contains_key(node)));
        }
        others.remove(&self.me);
        for node in others.into_iter().filter(|node| self.belongs(node)).collect::<Vec<_>>() {
            self.peers.insert(node, Peer::new(now));
        }
    }

    fn choose_paths(&mut self, now: Span) -> Vec<Session> {
        let mut sessions = Vec::new();
        let mut gone = Vec::new();
        let choices: Vec<(NodeId, Path)> = self
            .peers
            .iter()
            .map(|(node, peer)| (node, peer, self.choose(node, peer, now)))
            .filter(|(_, peer, path)| peer.path != *path || *path == Path::Nowhere)
            .map(|(node, _, path)| (node.clone(), path))
            .collect();
        for (node, path) in choices {
            let peer = self.peers.get_mut(&node).expect("it was just looked at");
            match peer.link {
                Link::Closed { since } if path == Path::Nowhere && lasted(since, now) > FORGET_AFTER => {
                    gone.push(node.clone());
                }
                Link::Closed { .. } | Link::Silent { .. } | Link::Good { .. } => {}
            }
            sessions.extend(change(&node, peer, path));
        }
        for node in gone {
            self.peers.remove(&node);
        }
        sessions
    }

    fn choose(&self, node: &NodeId, peer: &Peer, now: Span) -> Path {
        let pace = pace(&self.me, node);
        let (good_for, word_after) = match peer.link {
            Link::Good { since } => (lasted(since, now), None),
            Link::Silent { since } => (Span::ZERO, Some(Span(since.0 + pace.after_silence.0))),
            Link::Closed { since } => (Span::ZERO, Some(Span(since.0 + pace.after_close.0))),
        };
        let still = |via: u64| self.relays(via, node, Span::ZERO);
        match (peer.path, word_after) {
            (Path::Via(via), _) if good_for < STEADY && still(via) => Path::Via(via),
            (_, None) => Path::Direct,
            (_, Some(word_after)) => match self.relay_to(node, word_after) {
                Some(via) => Path::Via(via),
                None if peer.connected => Path::Direct,
                None => Path::Nowhere,
            },
        }
    }

    /// The master over which that node is reached, by a word that is not older.
    fn relay_to(&self, node: &NodeId, word_after: Span) -> Option<u64> {
        let masters = self.peers.keys().filter_map(|peer| match peer {
            NodeId::Master(id) => Some(*id),
            NodeId::Worker(_) => None,
        });
        masters.into_iter().find(|via| self.relays(*via, node, word_after))
    }

    fn relays(&self, via: u64, node: &NodeId, word_after: Span) -> bool {
        let master = NodeId::Master(via);
        let peer = self.peers.get(&master).filter(|_| master != *node && self.belongs(&master));
        // Between two workers there is nothing to be said.
        let wanted = !matches!((&self.me, node), (NodeId::Worker(_), NodeId::Worker(_)));
        let relays = |peer: &Peer| peer.is_good() && peer.told.at >= word_after && peer.has_told_of(node);
        wanted && self.belongs(node) && self.belongs(&self.me) && peer.is_some_and(relays)
    }

    fn pings(&mut self, now: Span) -> Vec<(NodeId, Content)> {
        let good = self.peers.iter().filter(|(_, peer)| peer.is_good());
        let masters: Vec<u64> = good
            .filter_map(|(node, _)| match node {
                NodeId::Master(id) => Some(*id),
                NodeId::Worker(_) => None,
            })
            .collect();
        let relayed: Vec<RelayedPath> = self.own_relayed().take(TOLD_MAX).collect();
        let mut pings = Vec::new();
        for (node, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.connected) {
            let (pace, to_master) = (pace(&self.me, node), matches!(node, NodeId::Master(_)));
            let from_master = matches!(self.me, NodeId::Master(_));
            if now >= peer.next_ping {
                peer.next_ping = Span(now.0 + pace.ping.0);
                let links = Links {
                    hears_you: peer.is_heard(pace, now),
                    // Workers relay nothing, so nobody asks whom they reach.
                    masters: if from_master { masters.clone() } else { Vec::new() },
                    workers_version: if from_master && to_master { self.workers_version } else { 0 },
                    workers_known: peer.told.workers_version,
                    relayed: if to_master { relayed.clone() } else { Vec::new() },
                };
                pings.push((node.clone(), Content::Links(links)));
            }
            let lacks = from_master && to_master && peer.knows != self.workers_version && peer.is_good();
            if lacks && now.0 >= peer.list_sent.0 + LIST_EVERY.0 {
                peer.list_sent = now;
                let names = self.workers.iter().cloned().collect();
                pings.push((node.clone(), Content::Workers { version: self.workers_version, names }));
            }
        }
        pings
    }

    fn own_relayed(&self) -> impl Iterator<Item = RelayedPath> + '_ {
        self.peers.iter().filter_map(|(node, peer)| match peer.path {
            Path::Via(via) => Some(RelayedPath { to: node.clone(), via }),
            Path::Direct | Path::Nowhere => None,
        })
    }

    /// Paths over a third: this node's, and those that its peers told of.
    pub(super) fn relayed(&self) -> Vec<(NodeId, RelayedPath)> {
        let own = self.own_relayed().map(|path| (self.me.clone(), path));
        let told = self.peers.iter().filter(|(_, peer)| peer.is_good());
        let told =
            told.flat_map(|(node, peer)| peer.told.relayed.iter().map(|path| (node.clone(), path.clone())));
        own.chain(told).collect()
    }
}

fn pace(me: &NodeId, other: &NodeId) -> &'static Pace {
    match (me, other) {
        (NodeId::Master(_), NodeId::Master(_)) => &AMONG_MASTERS,
        (NodeId::Worker(_), _) | (_, NodeId::Worker(_)) => &WITH_WORKERS,
    }
}

fn lasted(since: Span, now: Span) -> Span {
    Span(now.0.saturating_sub(since.0))
}

/// The path's change, as the actors hear it.
fn change(node: &NodeId, peer: &mut Peer, path: Path) -> Vec<Session> {
    let before = std::mem::replace(&mut peer.path, path);
    if before == path {
        return Vec::new();
    }
    let closed = (before != Path::Nowhere).then(|| Session::Closed(node.clone()));
    let opened = (path != Path::Nowhere).then(|| Session::Opened(node.clone(), path));
    closed.into_iter().chain(opened).collect()
}
