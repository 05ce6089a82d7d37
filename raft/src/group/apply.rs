//! Handing committed entries to the writer, in order and once.
//! Checks what every replica must find the same; the meaning of rows is not known here.

use protobuf2::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType};

use super::Group;
use crate::entry::Payload;
use crate::marks;
use crate::mistake::Mistake;
use crate::position::Position;
use crate::store::{Apply, encode_conf, fatal};

impl Group {
    /// Advances raft's applied cursor at once; the rows follow when the writer comes to them.
    pub(super) fn hand_over(&mut self, entries: Vec<Entry>) -> Option<(Apply, Vec<(u64, Position)>)> {
        let last = entries.last()?.index;
        let mut conf = None;
        let mut barriers = Vec::new();
        for entry in &entries {
            let position = Position { term: entry.term, index: entry.index };
            if position.index != self.mark.position.index + 1 {
                fatal(format_args!("entry {position} to be applied after {}", self.mark.position));
            }
            self.mark.position = position;
            let (group, replica) = (self.config.group, self.config.replica);
            marks::deed(|| marks::Deed::Applies {
                group,
                replica,
                index: entry.index,
                term: entry.term,
                data: &entry.data,
            });
            match entry.get_entry_type() {
                EntryType::EntryNormal => {
                    self.hand_over_normal(entry, position, &mut barriers);
                    self.membership_passed(position, &[]);
                }
                _ => conf = Some(self.hand_over_conf(entry, position)),
            }
        }
        self.node.advance_apply_to(last);
        Some((Apply { entries, conf, mark: self.mark }, barriers))
    }

    /// In the log an epoch's entries follow its barrier in sequence, with nothing of another epoch between.
    fn hand_over_normal(&mut self, entry: &Entry, position: Position, barriers: &mut Vec<(u64, Position)>) {
        let payload = match Payload::parse(&entry.data) {
            Ok(payload) => payload,
            Err(error) => fatal(format_args!("entry {position}: {error}")),
        };
        // A replica that goes back by mistake would be stopped here, and nobody would see what it has applied.
        let goes_back = self.config.mistake.is(Mistake::AppliesTwice);
        match payload {
            Payload::Nothing => {}
            Payload::Barrier { epoch } => {
                if epoch <= self.mark.epoch && !goes_back {
                    fatal(format_args!("entry {position} begins epoch {epoch} after {}", self.mark.epoch));
                }
                (self.mark.epoch, self.mark.sequence) = (epoch, 0);
                barriers.push((epoch, position));
            }
            Payload::Batch { epoch, sequence, .. } => {
                if (epoch, sequence) != (self.mark.epoch, self.mark.sequence) && !goes_back {
                    let (e, s) = (self.mark.epoch, self.mark.sequence);
                    fatal(format_args!("entry {position} is {epoch}/{sequence}, expected is {e}/{s}"));
                }
                (self.mark.epoch, self.mark.sequence) = (epoch, sequence + 1);
            }
        }
    }

    /// A membership change counts from here on; its conf state is persisted with the applied index.
    fn hand_over_conf(&mut self, entry: &Entry, position: Position) -> Vec<u8> {
        let change = match entry.get_entry_type() {
            EntryType::EntryConfChangeV2 => ConfChangeV2::parse_from_bytes(&entry.data),
            _ => Err(protobuf2::ProtobufError::WireError(protobuf2::error::WireError::Other)),
        };
        let change = match change {
            Ok(change) => change,
            Err(error) => fatal(format_args!("entry {position} is no membership change: {error}")),
        };
        let learners = self.node.raft.prs().conf().learners();
        let promotes = |single: &ConfChangeSingle| {
            single.get_change_type() == ConfChangeType::AddNode && learners.contains(&single.node_id)
        };
        crate::sometimes!(change.changes.iter().any(promotes), "raft: a learner got a vote");
        match self.node.apply_conf_change(&change) {
            Ok(conf) => {
                self.on_conf_applied(&conf, position, &entry.context);
                encode_conf(&conf)
            }
            Err(error) => fatal(format_args!("entry {position}: membership change does not apply: {error}")),
        }
    }
}
