//! What was heard of workers, and when: a Dispatcher that begins, or that hears of a row late, must not take an old
//! heartbeat for a new one. Must not know how a loss is decided.

use std::collections::BTreeMap;

use hortator_core::dispatch::stream::Exchange;
use hortator_core::id::{Name, WorkerRef};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::Heartbeat;
use hortator_proto::row::WorkerRow;

use crate::worker_facts::{facts, load};

/// The newest heartbeat of each worker.
pub(crate) type AllHeard = BTreeMap<Name, Heard>;

/// A worker's newest heartbeat.
#[derive(Debug)]
pub(crate) struct Heard {
    /// By the wall, for people.
    pub(crate) at: Timestamp,
    /// By the boot clock, for an `Era`.
    pub(crate) boot: Span,
    pub(crate) heartbeat: Heartbeat,
}

/// A Dispatcher's own time: about the wall's, but it never jumps, since from its beginning it runs with the boot clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Era {
    pub(crate) wall: Timestamp,
    pub(crate) boot: Span,
}

impl Era {
    /// When the boot clock showed that; it may have been before the beginning.
    pub(crate) fn time(&self, boot: Span) -> Timestamp {
        match boot.0.checked_sub(self.boot.0) {
            Some(after) => self.wall.plus(Span(after)),
            None => self.wall.minus(Span(self.boot.0 - boot.0)),
        }
    }
}

/// A worker as its row has it, and what was heard of that life already: a first heartbeat may come before the row.
/// `before` is the row that the exchange knows; of a life that it knows it has heard all there is.
pub(crate) fn tell_worker(
    exchange: &mut Exchange,
    (before, row): (Option<&WorkerRow>, &WorkerRow),
    heard: &AllHeard,
    (era, now): (&Era, Timestamp),
) {
    let worker = WorkerRef { name: row.name.clone(), incarnation: row.incarnation };
    if row.lost_through >= row.incarnation {
        return exchange.on_worker_lost(&worker, now);
    }
    exchange.on_worker(facts(row), now);
    if before.is_some_and(|before| before.incarnation == row.incarnation) {
        return;
    }
    if let Some(heard) = heard.get(&row.name)
        && heard.heartbeat.incarnation == row.incarnation
    {
        exchange.on_heartbeat(&worker, &load(&heard.heartbeat), era.time(heard.boot));
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::dispatch::Chance;
    use hortator_core::dispatch::stream::{DispatcherTerm, ExchangeConfig};
    use hortator_proto::frame::{LifeId, WorkerProfile};
    use hortator_proto::row::Admission;

    use super::*;

    const BEGAN: Era = Era { wall: Timestamp(1_700_000_000_000_000), boot: Span::from_secs(3600) };

    fn row() -> WorkerRow {
        WorkerRow {
            name: Name::new("w1").expect("a name"),
            incarnation: 2,
            life: LifeId::default(),
            profile: WorkerProfile { slots: 4, ..WorkerProfile::default() },
            registered_at: Timestamp(0),
            lost_through: 0,
            spooled: Vec::new(),
            admission: Admission::Open,
        }
    }

    /// One in which nothing but silence is due within an hour.
    fn exchange() -> (Exchange, Span) {
        let config = ExchangeConfig { listing_wait: Span::from_secs(3600), ..ExchangeConfig::default() };
        let term = DispatcherTerm(1);
        (Exchange::new(term, 1, config, Chance::new(1), BEGAN.wall), config.dispatch.silent_after)
    }

    fn heard(incarnation: u64, boot: Span) -> AllHeard {
        let heartbeat = Heartbeat { incarnation, ..Heartbeat::default() };
        // By a wall clock that was wrong then.
        AllHeard::from([(row().name, Heard { at: Timestamp(0), boot, heartbeat })])
    }

    #[test]
    fn a_new_dispatcher_counts_silence_from_the_last_heartbeat() {
        for millis_ago in [0, 1500, 2500, 60_000, 7_000_000] {
            let (mut exchange, silent_after) = exchange();
            let boot = Span(BEGAN.boot.0.saturating_sub(millis_ago * 1000));
            let ago = Span(BEGAN.boot.0 - boot.0);
            tell_worker(&mut exchange, (None, &row()), &heard(2, boot), (&BEGAN, BEGAN.wall));
            let due = BEGAN.wall.minus(ago).plus(silent_after);
            assert_eq!(exchange.next_deadline(), Some(due), "heard {millis_ago} ms ago");
        }
    }

    #[test]
    fn a_changed_row_is_no_sign_of_life() {
        let (mut exchange, silent_after) = exchange();
        let told = heard(2, BEGAN.boot);
        tell_worker(&mut exchange, (None, &row()), &told, (&BEGAN, BEGAN.wall));
        let silent = BEGAN.wall.plus(silent_after);
        exchange.expire(silent);
        let opens = exchange.next_deadline();
        let changed = WorkerRow { registered_at: Timestamp(1), ..row() };
        tell_worker(&mut exchange, (Some(&row()), &changed), &told, (&BEGAN, silent));
        assert_eq!(exchange.next_deadline(), opens, "it stays silent");
        // Another life's first heartbeat may have come before its row.
        let (next, boot) = (WorkerRow { incarnation: 3, ..row() }, Span(BEGAN.boot.0 + 5_000_000));
        let now = BEGAN.time(boot);
        tell_worker(&mut exchange, (Some(&row()), &next), &heard(3, boot), (&BEGAN, now));
        assert_eq!(exchange.next_deadline(), Some(now.plus(silent_after)));
    }
}
