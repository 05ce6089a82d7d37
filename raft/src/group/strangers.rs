//! Members that were never met: asked who they are, and asked for at the others, who say what they remember of them.
//! Decides nothing about what is said; that is the handshake's.

use super::Group;
use crate::envelope::Envelope;
use crate::hello::Hello;
use crate::lives::Lives;
use crate::position::ReplicaId;
use crate::store::Memory;

/// Ticks between two questions to a member that is not known: seldom enough for one that is away for good.
const STRANGERS_TICKS: u64 = 10;

impl Group {
    /// Asks members that never said who they are, until they do: one whose word came to nobody but an earlier leader could
    /// lose its directory, and be taken for new by all others. That leader, or whoever else has met it, is asked as well.
    pub(super) fn ask_strangers(&mut self) {
        if !self.ticks.is_multiple_of(STRANGERS_TICKS) {
            return;
        }
        let others = self.others();
        let (known, strangers): (Vec<ReplicaId>, Vec<ReplicaId>) =
            others.into_iter().partition(|id| self.memory_of(*id).is_some());
        for stranger in strangers {
            self.ask(stranger);
            known.iter().for_each(|id| self.send(*id, &Envelope::WhoIs { peer: stranger }));
        }
    }

    /// Tells what this replica's disk knows of a peer.
    pub(super) fn on_who_is(&mut self, from: ReplicaId, peer: ReplicaId) {
        if let Some(memory) = self.peers.get(&peer).and_then(|peer| peer.admitted) {
            self.introduce(from, peer, memory);
        }
    }

    /// Somebody was met for the first time. If it loses its directory before others meet it, they must know of it.
    pub(super) fn introduce_to_all(&mut self, peer: ReplicaId, memory: Memory) {
        for to in self.others().into_iter().filter(|to| *to != peer) {
            self.introduce(to, peer, memory);
        }
    }

    /// A learner is not introduced: it may be filled anew, and whoever lags takes an emptied voter for one.
    fn introduce(&mut self, to: ReplicaId, peer: ReplicaId, memory: Memory) {
        if !self.node.raft.prs().conf().voters().contains(peer) {
            return;
        }
        let (cluster_id, group) = (self.config.cluster_id, self.config.group);
        let Memory { origin, boot, term, commit } = memory;
        // What came before that boot of it is not remembered.
        let (lives, last) = (Lives::default(), commit);
        let hello = Hello { cluster_id, group, replica: peer, origin, boot, lives, term, commit, last };
        self.send(to, &Envelope::Introduction { hello });
    }

    /// Remembers what another member remembers of a third, as if that one had said it: it did, once. What this replica heard
    /// itself stays.
    pub(super) fn on_introduction(&mut self, from: ReplicaId, hello: &Hello) {
        let is_ours = hello.cluster_id == self.config.cluster_id && hello.group == self.config.group;
        let others = self.others();
        let among_members = others.contains(&from) && others.contains(&hello.replica);
        if !is_ours || !among_members || self.memory_of(from).is_none() {
            return;
        }
        match self.memory_of(hello.replica) {
            None => {
                crate::sometimes!("raft: a peer is known by another's word");
                // How long ago it was sent is not known.
                self.peers.entry(hello.replica).or_default().early = None;
                self.remember(hello.replica, hello.memory());
            }
            Some(memory) if memory.origin != hello.origin => {
                slog::error!(self.log, "two directories under one id: one of them was emptied";
                    "peer" => hello.replica, "told_by" => from);
            }
            Some(_) => {}
        }
    }
}
