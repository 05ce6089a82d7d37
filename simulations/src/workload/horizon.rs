//! How far each group had come by what clients were told: no later question may be answered from before that. Must not know
//! what the answers say.

use std::collections::BTreeMap;

use hortator_core::id::Position;
use hortator_proto::api::Response;

use super::client::FINAL;

/// See the module. One that was taken when a question was asked stays what it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Horizon(BTreeMap<u32, u64>);

impl Horizon {
    /// Somebody was told this.
    pub(super) fn see(&mut self, response: &Response) {
        let Some(Position { group, index }) = position(response) else { return };
        let furthest = self.0.entry(group).or_default();
        *furthest = index.max(*furthest);
    }

    /// What speaks against this as an answer to a question that was asked at that time.
    pub(super) fn judge(&self, response: &Response) -> Option<String> {
        let Position { group, index } = read_up_to(response)?;
        let furthest = *self.0.get(&group)?;
        (index < furthest).then(|| {
            format!("a question is answered as of {group}:{index}, after {group}:{furthest} was told")
        })
    }
}

/// The entry that it is the answer of, or up to which it has read.
fn position(response: &Response) -> Option<Position> {
    match response {
        Response::Applied { position, .. }
        | Response::Started { position, .. }
        | Response::Accepted { position, .. } => Some(*position),
        Response::Run(view) => Some(view.position),
        read => read_up_to(read),
    }
}

/// Of answers from rows. A run under way is told by its actor, which knows more than the position that it gives.
fn read_up_to(response: &Response) -> Option<Position> {
    match response {
        Response::TaskRuns { position, .. }
        | Response::Events { position, .. }
        | Response::Position(position) => Some(*position),
        Response::Run(view) if FINAL.contains(&view.state.as_str()) => Some(view.position),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::id::RunId;

    use super::*;

    #[test]
    fn an_answer_from_before_what_was_told_is_seen() {
        let at = |group, index| Response::Position(Position { group, index });
        let started = |group, index| Response::Started {
            run: RunId(7),
            existing: false,
            position: Position { group, index },
        };
        for (told, answer, good) in [
            (vec![], at(1, 5), true),
            (vec![at(1, 5)], at(1, 5), true),
            (vec![at(1, 5)], at(1, 6), true),
            (vec![at(1, 5)], at(1, 4), false),
            (vec![at(1, 5), at(1, 3)], at(1, 4), false),
            (vec![at(1, 5)], at(2, 4), true),
            (vec![started(1, 5)], at(1, 4), false),
            (vec![at(1, 5)], started(1, 4), true),
        ] {
            let mut horizon = Horizon::default();
            told.iter().for_each(|response| horizon.see(response));
            assert_eq!(horizon.judge(&answer).is_none(), good, "{told:?} then {answer:?}");
        }
    }

    /// What was told after the question was asked says nothing about its answer.
    #[test]
    fn a_question_has_the_horizon_of_its_time() {
        let at = |index| Response::Position(Position { group: 1, index });
        let mut horizon = Horizon::default();
        horizon.see(&at(3));
        let asked = horizon.clone();
        horizon.see(&at(9));
        assert!(asked.judge(&at(4)).is_none());
        assert!(horizon.judge(&at(4)).is_some());
    }
}
