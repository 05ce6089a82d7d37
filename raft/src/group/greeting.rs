//! The handshake with peers: nobody's message counts before its boot is remembered on disk here.
//! Decides only whether a peer is who it was; what its messages mean is decided elsewhere.

use raft::eraftpb::Message;

use super::flights::{Flight, Then};
use super::{Group, Notice, Question, StepError};
use crate::envelope::{Envelope, UNASKED};
use crate::hello::{Amnesia, Hello};
use crate::marks;
use crate::mistake::Mistake;
use crate::position::ReplicaId;
use crate::store::{JobKind, Memory};

/// Answers of a blank peer before people are told: meanwhile somebody may introduce it.
const UNCLEAR_MIN: u32 = 8;

/// Whether a peer is who it was.
enum Standing {
    /// What it says fits what is remembered, or nothing is and nothing need be.
    Fits,
    /// It may be new or emptied: only somebody who has met it can tell.
    Unclear,
    /// What it says does not fit.
    Forgot(Amnesia),
}

impl Group {
    /// Who this replica is, and what its file holds durably.
    pub fn hello(&self) -> Hello {
        Hello {
            cluster_id: self.config.cluster_id,
            group: self.config.group,
            replica: self.config.replica,
            origin: self.origin,
            boot: self.boot,
            lives: self.lives,
            term: self.hard_durable.term,
            commit: self.hard_durable.commit,
            last: self.node.raft.raft_log.last_index(),
        }
    }

    /// Compares what a peer says with what is remembered of it, and remembers it durably. The peer's
    /// messages count once that is on disk. Words that were overtaken on their way (two connections of a peer that was
    /// killed, read by one that was frozen) look like those of a restored directory: only the answer to a question that was
    /// asked after the last word was remembered is later than that word, and only on it a peer is refused.
    pub(super) fn on_hello(&mut self, from: ReplicaId, hello: Hello, answers: u64) -> Result<(), Amnesia> {
        match self.judge(from, &hello) {
            Standing::Fits => self.remember(from, hello.memory()),
            Standing::Unclear => self.note_unclear(from),
            Standing::Forgot(amnesia) if amnesia.may_be_overtaken() && !self.heeds(from, answers) => {
                crate::sometimes!("raft: words that do not fit are asked for once more");
                self.ask(from);
            }
            Standing::Forgot(amnesia) => {
                self.refuse(from, hello.boot, &amnesia);
                return Err(amnesia);
            }
        }
        Ok(())
    }

    /// Said each time that it has been asked twice as often: somebody may have to remove it.
    fn note_unclear(&mut self, from: ReplicaId) {
        let peer = self.peers.entry(from).or_default();
        peer.unclear += 1;
        if peer.unclear >= UNCLEAR_MIN && peer.unclear.is_power_of_two() {
            slog::warn!(self.log, "a voter is blank and no member knows its directory, so its vote does not count; \
                if its disk was emptied, remove it and let it rejoin under a new id"; "peer" => from);
        }
    }

    /// Its words are judged by that from now on, and its messages count once it is on disk.
    pub(super) fn remember(&mut self, from: ReplicaId, memory: Memory) {
        let peer = self.peers.entry(from).or_default();
        // An answer that is still on its way may be older than this.
        peer.question = None;
        if peer.admitting.or(peer.admitted) != Some(memory) {
            peer.admitting = Some(memory);
            let job = self.push(JobKind::Remember { peer: from, memory });
            self.flights.push_back(Flight { job, then: Then::Admitted { peer: from, memory } });
        }
    }

    fn refuse(&mut self, peer: ReplicaId, boot: u64, amnesia: &Amnesia) {
        crate::sometimes!("raft: a replica that has forgotten is refused");
        let (group, replica) = (self.config.group, self.config.replica);
        marks::deed(|| marks::Deed::Refuses { group, replica, peer });
        slog::error!(self.log, "peer refused"; "peer" => peer, "reason" => %amnesia);
        self.send(peer, &Envelope::Refusal { boot, reason: amnesia.to_string() });
    }

    fn judge(&self, from: ReplicaId, hello: &Hello) -> Standing {
        if hello.cluster_id != self.config.cluster_id {
            return Standing::Forgot(Amnesia::OtherCluster(from));
        }
        if hello.group != self.config.group || hello.replica != from || from == self.config.replica {
            return Standing::Forgot(Amnesia::OtherReplica(from));
        }
        match self.memory_of(from) {
            Some(memory) => hello.judge(&memory).map_or_else(Standing::Forgot, |()| Standing::Fits),
            None if hello.is_blank() => self.judge_blank(from),
            None => Standing::Fits,
        }
    }

    /// Of a peer that was never met. First members begin empty, and know who the others of them are; whoever else has a vote
    /// got it when it had caught up, and a learner's word never counted. Who came later has no list of the first members.
    fn judge_blank(&self, from: ReplicaId) -> Standing {
        match self.config.initial_voters.is_empty() {
            true if self.node.raft.prs().conf().learners().contains(&from) => Standing::Fits,
            true => Standing::Unclear,
            false if self.was_promoted(from) => Standing::Forgot(Amnesia::Emptied(from)),
            false => Standing::Fits,
        }
    }

    pub(super) fn memory_of(&self, peer: ReplicaId) -> Option<Memory> {
        self.peers.get(&peer).and_then(|peer| peer.admitting.or(peer.admitted))
    }

    /// Whether it got its vote as one that had caught up: then it cannot be empty, even for one that never met it. For a
    /// replica that knows the first members.
    fn was_promoted(&self, peer: ReplicaId) -> bool {
        let votes = self.node.raft.prs().conf().voters().contains(peer);
        votes && !self.config.initial_voters.contains(&peer)
    }

    /// Whether words that do not fit are the last that were said.
    fn heeds(&self, from: ReplicaId, answers: u64) -> bool {
        self.is_answer(from, answers) || self.config.mistake.is(Mistake::RefusesUnasked)
    }

    fn is_answer(&self, from: ReplicaId, answers: u64) -> bool {
        let question = Question { number: answers, promoted: self.was_promoted(from) };
        self.peers.get(&from).is_some_and(|peer| peer.question == Some(question))
    }

    /// Asks a peer who it is, once a tick at most. The question stays the same until its next word is remembered or it gets
    /// its vote: where a round trip takes longer than a tick, no answer would ever be to the newest question.
    pub(super) fn ask(&mut self, from: ReplicaId) {
        let (ticks, promoted) = (self.ticks, self.was_promoted(from));
        let peer = self.peers.entry(from).or_default();
        if peer.asked_at == Some(ticks) {
            return;
        }
        peer.asked_at = Some(ticks);
        let same = peer.question.filter(|question| question.promoted == promoted);
        let question =
            same.unwrap_or_else(|| Question { number: self.entropy.next_u64("question") | 1, promoted });
        peer.question = Some(question);
        self.send(from, &Envelope::Who { question: question.number });
    }

    pub(super) fn on_admitted(&mut self, from: ReplicaId, memory: Memory) {
        let (group, replica) = (self.config.group, self.config.replica);
        let Memory { origin, boot, .. } = memory;
        marks::deed(|| marks::Deed::Meets { group, replica, peer: from, origin, boot });
        let peer = self.peers.entry(from).or_default();
        let is_first = peer.admitted.replace(memory).is_none();
        peer.admitting = peer.admitting.filter(|admitting| *admitting != memory);
        let early = peer.early.take_if(|(boot, _)| *boot == memory.boot);
        if is_first {
            self.introduce_to_all(from, memory);
        }
        if let Some((_, message)) = early {
            self.step_early(from, message);
        }
    }

    fn step_early(&mut self, from: ReplicaId, message: Message) {
        crate::sometimes!("raft: a message waited for its sender's introduction");
        let ticks = self.ticks;
        self.peers.entry(from).or_default().heard_at = Some(ticks);
        if let Err(error) = self.step_raft(from, message) {
            slog::debug!(self.log, "a message that had waited is not taken"; "peer" => from, "error" => %error);
        }
    }

    /// Takes raft's message, now or once its sender's boot is remembered.
    pub(super) fn admit_raft(
        &mut self,
        from: ReplicaId,
        boot: u64,
        message: Message,
    ) -> Result<(), StepError> {
        let admitted = self.admit(from, boot);
        if matches!(admitted, Err(StepError::NotIntroduced(_))) && self.others().contains(&from) {
            self.peers.entry(from).or_default().early = Some((boot, message));
            return admitted;
        }
        admitted?;
        self.step_raft(from, message)
    }

    /// Tells all members who this is, so that their first messages need no question.
    pub(super) fn greet_all(&mut self) {
        let hello = Envelope::Hello { answers: UNASKED, hello: self.hello() };
        self.others().into_iter().for_each(|peer| self.send(peer, &hello));
    }

    pub(super) fn on_who(&mut self, from: ReplicaId, question: u64) {
        let hello = Envelope::Hello { answers: question, hello: self.hello() };
        self.send(from, &hello);
    }

    /// A refusal of an earlier boot says nothing of this one: the right directory may be back.
    pub(super) fn on_refusal(&mut self, peer: ReplicaId, boot: u64, reason: String) {
        if boot != self.boot {
            return;
        }
        slog::error!(self.log, "refused by a peer"; "peer" => peer, "reason" => &reason);
        self.notify(Notice::RefusedByPeer { peer, reason });
    }

    /// How its links are a follower learns from its leader's words, and a leader from those of all others; whoever knows no
    /// leader learns nothing.
    fn note_gap(&mut self, from: ReplicaId, before: u64) {
        if self.is_leader() || self.node.raft.leader_id == from {
            self.pace.hear(before, self.ticks);
        }
    }

    /// Takes a message of that boot of a peer, or asks the peer who it is.
    pub(super) fn admit(&mut self, from: ReplicaId, boot: u64) -> Result<(), StepError> {
        let ticks = self.ticks;
        let peer = self.peers.entry(from).or_default();
        match peer.admitted {
            Some(memory) if memory.boot == boot => {
                let before = peer.heard_at.replace(ticks);
                self.note_gap(from, before.unwrap_or(ticks));
                Ok(())
            }
            Some(memory) if memory.boot > boot => {
                crate::sometimes!("raft: a message of an earlier boot is refused");
                // Boots of an emptied directory may begin below those that it had; it is to hear of it.
                self.ask(from);
                Err(StepError::EarlierBoot { from, boot })
            }
            _ => {
                self.ask(from);
                Err(StepError::NotIntroduced(from))
            }
        }
    }
}
