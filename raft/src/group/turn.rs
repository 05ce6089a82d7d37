//! The loop of a turn: what the writer finished, then raft's readies, then what follows from them.
//! Between a ready and its advance nothing else touches raft.

use raft::eraftpb::{Entry, Message, Snapshot};

use super::Group;
use super::flights::{Flight, Then};
use super::notice::Output;
use crate::entry::{barrier_epoch, weight};
use crate::mistake::Mistake;
use crate::position::Position;
use crate::store::{Hard, Install, JobKind, WriteJob, encode_conf};
use crate::truncation::Keep;

/// Bytes that may wait for the writer before committed entries are handed over one by one only.
const QUEUE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A cut is worth its writes from this many entries on.
const CUT_ENTRIES_MIN: u64 = 512;
/// Ticks of silence after which a follower no longer holds the log back, in election timeouts.
const LIVE_ELECTIONS: u64 = 6;

impl Group {
    /// Does everything that can be done now. Call it after any other method, and whenever the
    /// group's [`crate::Wake`] fired.
    pub fn turn(&mut self) -> Output {
        if !self.disk.is_stopped() {
            self.land();
        }
        while !self.is_stopped() && self.node.has_ready() {
            let full = self.queue.bytes() > QUEUE_BYTES_MAX;
            let bytes = if full { 1 } else { self.config.max_committed_bytes_per_ready };
            self.node.raft.set_max_committed_size_per_ready(bytes);
            let took = self.take_ready();
            self.leave_joint();
            self.land();
            // Entries that cannot be read now (the file is closed or its disk is gone) leave a ready empty, and the
            // next one as well: a later turn tries again.
            if full || !took {
                break;
            }
        }
        if !self.is_stopped() {
            self.campaign_if_alone();
            self.fetch_on();
            self.epochs.unsent_bytes = 0;
            self.node.raft.set_batch_append(true);
        }
        std::mem::take(&mut self.out)
    }

    /// Takes one ready apart: messages out, the rest to the writer, and what waits for it noted. False when there was
    /// nothing in it.
    fn take_ready(&mut self) -> bool {
        let mut ready = self.node.ready();
        let number = ready.number();
        let sync = ready.must_sync();
        let (early, held) = self.sorted(ready.take_messages(), ready.take_persisted_messages());
        let reads = ready.take_read_states();
        let hard = ready.hs().map(Hard::from);
        let entries = ready.take_entries();
        let committed = ready.take_committed_entries();
        let snapshot = (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone());
        if let Some(snapshot) = &snapshot {
            self.node.mut_store().restore(snapshot_position(snapshot));
        }
        let empty = early.is_empty() && held.is_empty() && reads.is_empty() && hard.is_none();
        let took = !empty
            || !entries.is_empty()
            || !committed.is_empty()
            || snapshot.is_some()
            || ready.ss().is_some();
        self.node.mut_store().append(&entries);
        self.node.advance_append_async(ready);

        early.into_iter().for_each(|message| self.send_raft(message));
        let held = match self.config.mistake.is(Mistake::SpeaksBeforeItWrites) {
            true => {
                held.into_iter().for_each(|message| self.send_raft(message));
                Vec::new()
            }
            false => held,
        };
        let installed = snapshot.map(|snapshot| self.install(&snapshot, hard));
        let applied = self.hand_over(committed);
        let (apply, barriers) = match applied {
            Some((apply, barriers)) => (Some(apply), barriers),
            None => (None, Vec::new()),
        };
        let index = apply.as_ref().map(|apply| apply.mark.position.index);
        let truncate = if entries.is_empty() { None } else { self.measure(&entries) };
        if hard.is_some() || apply.is_some() || !entries.is_empty() {
            let job = self.push(JobKind::Write(Box::new(WriteJob { entries, hard, apply, truncate, sync })));
            self.remember_hard(job, hard);
        }
        let job = self.last_job();
        self.flights.push_back(Flight { job, then: Then::Persisted { number, messages: held } });
        if let Some(index) = installed {
            self.flights.push_back(Flight { job, then: Then::Counted { index } });
        }
        if let Some(index) = index {
            self.flights.push_back(Flight { job, then: Then::Visible { index, barriers } });
        }
        let settled = self.node.raft.raft_log.persisted.min(self.mark.position.index);
        self.node.mut_store().trim(settled);
        self.observe();
        reads.into_iter().for_each(|read| self.on_read_state(&read));
        took
    }

    /// What may leave at once, and what waits until the ready is on disk. raft lets a leader speak at once, since its term
    /// was on disk when it asked for votes; a sole voter asks nobody, and would lead its learners in a term that a crash
    /// takes back and gives again.
    fn sorted(&self, early: Vec<Message>, held: Vec<Message>) -> (Vec<Message>, Vec<Message>) {
        match self.hard_durable.term == self.node.raft.term {
            true => (early, held),
            false => (Vec::new(), early.into_iter().chain(held).collect()),
        }
    }

    /// Gives the index up to which the snapshot goes.
    fn install(&mut self, snapshot: &Snapshot, hard: Option<Hard>) -> u64 {
        let position = snapshot_position(snapshot);
        let incoming = self.incoming.take_if(|incoming| incoming.position() == position);
        let Some(incoming) = incoming else {
            crate::store::fatal(format_args!("raft took snapshot {position} that was never fetched"))
        };
        crate::sometimes!("raft: a snapshot was installed");
        crate::always!(position.index >= self.mark.position.index, "raft: a snapshot leads no replica back");
        self.mark = incoming.mark();
        self.epochs.see(self.mark.epoch);
        self.sizes.clear();
        let conf = encode_conf(snapshot.get_metadata().get_conf_state());
        let id = incoming.id();
        let job = self.push(JobKind::Install(Box::new(Install { id, hard, conf, mark: self.mark })));
        self.remember_hard(job, hard);
        let from = Some((incoming.from(), id));
        self.flights.push_back(Flight { job, then: Then::Installed { index: position.index, from } });
        self.on_snapshot_taken(snapshot.get_metadata().get_conf_state());
        position.index
    }

    /// Counts new entries, and decides whether the log is cut in the same write.
    fn measure(&mut self, entries: &[Entry]) -> Option<Position> {
        self.sizes.cut_tail(entries[0].index);
        for entry in entries {
            self.sizes.append(entry.index, weight(entry));
            self.epochs.see(barrier_epoch(entry).unwrap_or(0));
        }
        let length = self.node.store().last().index - self.node.store().first();
        let over = self.sizes.total() > self.config.log_keep_bytes;
        if !over && length < self.config.log_keep_entries + CUT_ENTRIES_MIN.min(self.config.log_keep_entries)
        {
            return None;
        }
        self.cut(self.config.log_keep_entries)
    }

    /// Cuts the log now, behind what is applied here and what the live followers have: who lacks more gets a snapshot
    /// of the rows. Gives the first index that is left, or none when nothing can go.
    pub fn cut_log(&mut self) -> Option<u64> {
        if self.is_stopped() {
            return None;
        }
        let position = self.cut(0)?;
        let job = WriteJob { truncate: Some(position), sync: true, ..WriteJob::default() };
        self.push(JobKind::Write(Box::new(job)));
        Some(position.index + 1)
    }

    /// Up to where the log goes when so many applied entries are kept; the store in memory forgets them at once.
    fn cut(&mut self, entries: u64) -> Option<Position> {
        let index = self.sizes.cut_head(Keep {
            applied: self.visible,
            entries,
            bytes: self.config.log_keep_bytes,
            slowest: self.slowest_follower(),
        })?;
        assert!(index <= self.visible, "the log is never cut behind what is applied");
        let term = match raft::Storage::term(self.node.store(), index) {
            Ok(term) => term,
            Err(error) => crate::store::fatal(format_args!("no term for entry {index}: {error}")),
        };
        let position = Position { term, index };
        self.node.mut_store().truncate(position);
        Some(position)
    }

    /// What the slowest live follower has; a silent one does not hold the log back.
    fn slowest_follower(&self) -> u64 {
        let mut slowest = self.node.store().desk.borrow().lowest_index().unwrap_or(u64::MAX);
        if !self.is_leader() {
            return slowest;
        }
        let patience = LIVE_ELECTIONS * self.config.election_ticks as u64;
        for (id, progress) in self.node.raft.prs().iter() {
            let heard = self.peers.get(id).and_then(|peer| peer.heard_at);
            if *id != self.config.replica && heard.is_some_and(|tick| self.ticks - tick <= patience) {
                slowest = slowest.min(progress.matched);
            }
        }
        slowest
    }
}

fn snapshot_position(snapshot: &Snapshot) -> Position {
    let metadata = snapshot.get_metadata();
    Position { term: metadata.term, index: metadata.index }
}
