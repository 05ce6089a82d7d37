//! Who was heard when, as the membership leader knows it, and which heartbeats wait to be acknowledged. Pure; times
//! are arguments. It must not know rows or frames, and declares nobody lost: it only says how long a silence was.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::{Incarnation, Name};
use hortator_core::time::Span;

/// A pause between two ticks longer than this is a stall: five ticks, and far below an election.
pub(super) const STALL_AFTER: Span = Span::from_millis(500);
/// After a stall nobody is declared lost for so long: four heartbeats of every worker have come by then, also over
/// links that lose one in five.
pub(super) const TRUST_AFTER: Span = Span::from_secs(2);
/// A confirmation that takes longer was lost on its way to the group, and another is asked for.
const ROUND_PATIENCE: Span = Span::from_secs(1);

/// A worker's newest heartbeat that waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) worker: Name,
    pub(super) incarnation: Incarnation,
    pub(super) sequence: u64,
    /// The masters that heard it.
    pub(super) heard_by: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Idle,
    /// A quorum is asked, since that time, whether this master leads.
    Open(Span),
}

/// One leader's listening, from its election on.
#[derive(Debug)]
pub(super) struct Listening {
    last_tick: Span,
    /// How long it has listened: stalls do not count, since nobody could be heard.
    listened: Span,
    trusted_from: Span,
    voices: BTreeMap<Name, Voice>,
    /// When a worker's newer life came, in time listened: its earlier lives were heard before.
    came: BTreeMap<Name, Span>,
    /// Arrived since the last round began.
    fresh: BTreeMap<Name, Beat>,
    round: Round,
}

#[derive(Debug)]
struct Voice {
    incarnation: Incarnation,
    /// In time listened.
    at: Span,
}

impl Listening {
    pub(super) fn new(now: Span) -> Listening {
        Listening {
            last_tick: now,
            listened: Span::ZERO,
            trusted_from: now,
            voices: BTreeMap::new(),
            came: BTreeMap::new(),
            fresh: BTreeMap::new(),
            round: Round::Idle,
        }
    }

    /// As if nobody had been heard for an hour; only a mutant begins so.
    pub(super) fn after_silence(now: Span) -> Listening {
        Listening { listened: Span::from_secs(3_600), ..Listening::new(now) }
    }

    /// Goes on listening; true when it had stalled before.
    pub(super) fn tick(&mut self, now: Span) -> bool {
        let stalled = now.0.saturating_sub(self.last_tick.0) > STALL_AFTER.0;
        self.listened = self.moment(now);
        self.last_tick = now;
        if stalled {
            self.trusted_from = Span(now.0 + TRUST_AFTER.0);
        }
        stalled
    }

    fn moment(&self, now: Span) -> Span {
        Span(self.listened.0 + now.0.saturating_sub(self.last_tick.0).min(STALL_AFTER.0))
    }

    fn note(&mut self, worker: &Name, incarnation: Incarnation, now: Span) {
        let at = self.moment(now);
        match self.voices.get_mut(worker) {
            Some(voice) if voice.incarnation > incarnation => {}
            Some(voice) => *voice = Voice { incarnation, at },
            None => drop(self.voices.insert(worker.clone(), Voice { incarnation, at })),
        }
    }

    /// A new life registers.
    pub(super) fn life_began(&mut self, worker: &Name, incarnation: Incarnation, now: Span) {
        self.note(worker, incarnation, now);
        self.came.insert(worker.clone(), self.moment(now));
    }

    /// A heartbeat that is to be acknowledged; of several only the newest is.
    pub(super) fn hear(&mut self, heard_by: u64, worker: &Name, life: Incarnation, sequence: u64, now: Span) {
        self.note(worker, life, now);
        let beat =
            || Beat { worker: worker.clone(), incarnation: life, sequence, heard_by: [heard_by].into() };
        match self.fresh.get_mut(worker) {
            Some(waiting) if (waiting.incarnation, waiting.sequence) == (life, sequence) => {
                waiting.heard_by.insert(heard_by);
            }
            Some(waiting) if (waiting.incarnation, waiting.sequence) > (life, sequence) => {}
            Some(waiting) => *waiting = beat(),
            None => drop(self.fresh.insert(worker.clone(), beat())),
        }
    }

    /// What the next round of confirmation is for: a round proves nothing for what comes after it has begun.
    pub(super) fn begin_round(&mut self, now: Span) -> Vec<Beat> {
        let open = matches!(self.round, Round::Open(since) if now.0 < since.0 + ROUND_PATIENCE.0);
        if open || self.fresh.is_empty() {
            return Vec::new();
        }
        self.round = Round::Open(now);
        std::mem::take(&mut self.fresh).into_values().collect()
    }

    pub(super) fn round_over(&mut self) {
        self.round = Round::Idle;
    }

    /// How long that life was not heard, counted from this leader's election at the earliest. None while it would not
    /// trust itself to say.
    pub(super) fn silence(&self, worker: &Name, incarnation: Incarnation, now: Span) -> Option<Span> {
        if now < self.trusted_from {
            return None;
        }
        let heard = self.voices.get(worker).filter(|voice| voice.incarnation >= incarnation);
        let since = heard.map_or(Span::ZERO, |voice| voice.at);
        Some(Span(self.listened.0.saturating_sub(since.0)))
    }

    /// How long all lives before the present one were not heard, which says nothing of the present one.
    pub(super) fn silence_before_this_life(&self, worker: &Name, now: Span) -> Option<Span> {
        let since = self.came.get(worker).copied().unwrap_or(Span::ZERO);
        (now >= self.trusted_from).then(|| Span(self.listened.0.saturating_sub(since.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Span {
        Span::from_millis(1_000_000 + millis)
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    /// Ticks each 100 ms.
    fn listen(listening: &mut Listening, from: u64, to: u64) {
        (from..=to).step_by(100).for_each(|millis| assert!(!listening.tick(at(millis)), "{millis}"));
    }

    fn silence(listening: &Listening, millis: u64) -> Option<u64> {
        listening.silence(&name("w1"), 1, at(millis)).map(|span| span.0 / 1000)
    }

    #[test]
    fn silence_is_counted_from_the_election_at_the_earliest() {
        let mut listening = Listening::new(at(0));
        listen(&mut listening, 100, 3_000);
        assert_eq!(silence(&listening, 3_000), Some(3_000));
        listening.note(&name("w1"), 1, at(3_000));
        listen(&mut listening, 3_100, 4_000);
        assert_eq!(silence(&listening, 4_000), Some(1_000));
    }

    #[test]
    fn a_voice_of_an_earlier_life_is_none_of_this_one() {
        let mut listening = Listening::new(at(0));
        listen(&mut listening, 100, 2_000);
        listening.note(&name("w1"), 1, at(2_000));
        assert_eq!(listening.silence(&name("w1"), 2, at(2_000)), Some(Span::from_secs(2)));
        listening.note(&name("w1"), 2, at(2_000));
        listening.note(&name("w1"), 1, at(2_050));
        assert_eq!(listening.silence(&name("w1"), 2, at(2_000)), Some(Span::ZERO));
    }

    #[test]
    fn earlier_lives_are_silent_since_the_present_one_came() {
        let mut listening = Listening::new(at(0));
        let before = |listening: &Listening| listening.silence_before_this_life(&name("w1"), at(9_000));
        listen(&mut listening, 100, 1_000);
        assert_eq!(before(&listening), Some(Span::from_secs(1)));
        listening.life_began(&name("w1"), 2, at(1_000));
        listen(&mut listening, 1_100, 3_000);
        listening.hear(1, &name("w1"), 2, 5, at(3_000));
        assert_eq!(before(&listening), Some(Span::from_secs(2)));
    }

    #[test]
    fn a_stall_counts_as_no_silence_and_is_followed_by_distrust() {
        let mut listening = Listening::new(at(0));
        listening.note(&name("w1"), 1, at(0));
        listen(&mut listening, 100, 1_000);
        assert!(listening.tick(at(61_000)));
        assert_eq!(silence(&listening, 61_000), None);
        listen(&mut listening, 61_100, 62_900);
        assert_eq!(silence(&listening, 62_900), None);
        listen(&mut listening, 63_000, 63_000);
        assert_eq!(silence(&listening, 63_000), Some(1_000 + 500 + 2_000));
    }

    #[test]
    fn a_round_serves_what_came_before_it_and_nothing_later() {
        let mut listening = Listening::new(at(0));
        let w1 = name("w1");
        assert!(listening.begin_round(at(0)).is_empty());
        listening.hear(2, &w1, 1, 10, at(0));
        listening.hear(3, &w1, 1, 10, at(1));
        listening.hear(3, &w1, 1, 9, at(2));
        let beats = listening.begin_round(at(100));
        assert_eq!(
            beats,
            [Beat { worker: w1.clone(), incarnation: 1, sequence: 10, heard_by: [2, 3].into() }]
        );
        listening.hear(1, &w1, 1, 11, at(150));
        assert!(listening.begin_round(at(200)).is_empty(), "one round at a time");
        listening.round_over();
        assert_eq!(listening.begin_round(at(300))[0].sequence, 11);
        listening.hear(1, &w1, 1, 12, at(350));
        assert!(listening.begin_round(at(1_200)).is_empty());
        assert_eq!(listening.begin_round(at(1_300))[0].sequence, 12, "the round before was lost");
    }
}
