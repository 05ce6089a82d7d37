//! Join tokens: what each ends in, as data.

use super::*;
use crate::membership::genesis::{Founder, Genesis, form};

const NOW: Timestamp = Timestamp(1_000_000_000);
const HOUR: Span = Span(3_600_000_000);

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn hash(secret: u8) -> SecretHash {
    SecretHash([secret; 32])
}

/// A formed cluster with masters n1 to n`masters`.
pub(in crate::membership) fn formed(masters: u64) -> Roster {
    let founder = |id: u64| Founder {
        id,
        name: name(&format!("n{id}")),
        peer: format!("h{id}:7401"),
        worker: format!("h{id}:7402"),
        api: format!("h{id}:7400"),
    };
    let genesis = Genesis {
        cluster: [7; 16],
        shards: 4,
        generation: 1,
        masters: (1..=masters).map(founder).collect(),
        authority: None,
        tokens: Vec::new(),
    };
    let mut roster = Roster::default();
    let rows = form(&roster, &genesis, NOW);
    rows.iter().for_each(|row| roster.apply(row));
    assert_eq!(form(&roster, &genesis, NOW), [], "a cluster is formed once");
    roster
}

fn master_token(id: &str, secret: u8, master: &str) -> NewJoinToken {
    let role = JoinRole::Master { name: name(master) };
    NewJoinToken { id: id.into(), hash: hash(secret), role, valid_for: HOUR }
}

fn worker_token(id: &str, secret: u8) -> NewJoinToken {
    NewJoinToken { id: id.into(), hash: hash(secret), role: JoinRole::Worker, valid_for: HOUR }
}

fn shown(token: &str, secret: u8, key: u8, joiner: Joiner) -> Shown {
    Shown { token: token.into(), hash: hash(secret), key: hash(key), joiner }
}

fn master(host: u8) -> Joiner {
    Joiner::Master {
        peer: format!("h{host}:7401"),
        worker: format!("h{host}:7402"),
        api: format!("h{host}:7400"),
    }
}

fn worker(text: &str) -> Joiner {
    Joiner::Worker { name: name(text) }
}

fn apply(roster: &mut Roster, rows: Vec<RosterRow>) {
    rows.iter().for_each(|row| roster.apply(row));
}

/// One master, and open tokens `m` (secret 1, for n2) and `w` (secret 2).
fn with_tokens() -> Roster {
    let mut roster = formed(1);
    for asked in [master_token("m", 1, "n2"), worker_token("w", 2)] {
        let rows = create(&roster, asked, NOW).expect("made");
        apply(&mut roster, rows);
    }
    roster
}

fn code<T>(result: &Result<T, Problem>) -> &str {
    result.as_ref().map_or_else(|problem| problem.code.as_str(), |_| "ok")
}

#[test]
fn making_a_join_token() {
    let long = NewJoinToken { valid_for: Span(VALID_MAX.0 + 1), ..worker_token("x", 9) };
    let odd = worker_token("a b", 9);
    for (asked, expected) in [
        (master_token("x", 9, "n3"), "ok"),
        (worker_token("x", 9), "ok"),
        (master_token("m", 1, "n2"), "ok"),
        (master_token("m", 9, "n2"), "H3065"),
        (worker_token("m", 1), "H3065"),
        (master_token("x", 9, "n1"), "H3051"),
        (master_token("x", 9, "n2"), "H3051"),
        (long, "H3068"),
        (odd, "H3068"),
    ] {
        assert_eq!(code(&create(&with_tokens(), asked.clone(), NOW)), expected, "{asked:?}");
    }
    assert_eq!(code(&create(&formed(7), master_token("x", 9, "n8"), NOW)), "H3052");
    assert_eq!(code(&create(&formed(7), worker_token("x", 9), NOW)), "ok");
}

#[test]
fn showing_a_join_token() {
    let roster = with_tokens();
    let late = NOW.plus(HOUR);
    for (asked, now, expected) in [
        (shown("m", 1, 5, master(2)), NOW, "ok"),
        (shown("w", 2, 5, worker("w1")), NOW, "ok"),
        (shown("m", 2, 5, master(2)), NOW, "H3055"),
        (shown("nothing", 1, 5, master(2)), NOW, "H3055"),
        (shown("m", 1, 5, master(2)), late, "H3057"),
        (shown("m", 1, 5, worker("w1")), NOW, "H3058"),
        (shown("w", 2, 5, master(2)), NOW, "H3058"),
        (shown("m", 1, 5, master(1)), NOW, "H3066"),
    ] {
        assert_eq!(code(&redeem(&roster, &asked, now)), expected, "{asked:?}");
    }
}

#[test]
fn a_join_token_lets_one_node_in_which_may_ask_again() {
    let mut roster = with_tokens();
    let (by, rows) = redeem(&roster, &shown("m", 1, 5, master(2)), NOW).expect("let in");
    assert_eq!(by, JoinedAs::Master { id: 2 });
    apply(&mut roster, rows);
    assert_eq!(roster.masters[&2].state, MasterState::Joining);
    let again = redeem(&roster, &shown("m", 1, 5, master(2)), NOW.plus(Span(HOUR.0 * 2)));
    assert_eq!(again, Ok((by, Vec::new())), "the same node, even later");
    let other = redeem(&roster, &shown("m", 1, 6, master(3)), NOW);
    assert_eq!(code(&other), "H3056", "another node");
}

#[test]
fn an_id_is_never_used_again() {
    let mut roster = with_tokens();
    let (_, rows) = redeem(&roster, &shown("m", 1, 5, master(2)), NOW).expect("let in");
    apply(&mut roster, rows);
    let gone = MasterRow { state: MasterState::Removed, ..roster.masters[&2].clone() };
    roster.apply(&RosterRow::Master(gone));
    let rows = create(&roster, master_token("again", 3, "n2"), NOW).expect("the name is free");
    apply(&mut roster, rows);
    let (by, _) = redeem(&roster, &shown("again", 3, 7, master(2)), NOW).expect("the address is free");
    assert_eq!(by, JoinedAs::Master { id: 3 });
}

#[test]
fn the_eighth_master_is_refused_also_with_a_token() {
    let mut roster = formed(6);
    for (id, secret, text) in [("a", 1, "a"), ("b", 2, "b")] {
        let rows = create(&roster, master_token(id, secret, text), NOW).expect("made");
        apply(&mut roster, rows);
    }
    let (_, rows) = redeem(&roster, &shown("a", 1, 1, master(50)), NOW).expect("the seventh");
    apply(&mut roster, rows);
    assert_eq!(code(&redeem(&roster, &shown("b", 2, 2, master(51)), NOW)), "H3052");
}

#[test]
fn old_tokens_are_forgotten_when_one_is_made() {
    let mut roster = with_tokens();
    let later = NOW.plus(HOUR).plus(KEPT);
    let rows = create(&roster, worker_token("new", 9), later).expect("made");
    apply(&mut roster, rows);
    assert_eq!(roster.joins.keys().collect::<Vec<_>>(), ["new"]);
}
