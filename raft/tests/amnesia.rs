//! Directories that were emptied or restored: refused by every peer, without a leader.

mod harness;

use harness::World;
use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::{Amnesia, ConfChange, Hello, Notice, Role, StepError};

/// First byte of what one replica says of another.
const INTRODUCTION: u8 = 8;

fn world_of_three(seed: u64) -> (World, u64) {
    let mut world = World::new(seed, 3);
    let leader = world.elect();
    for n in 0..5 {
        world.put(&format!("k{n}"), "v");
    }
    world.converge();
    let victim = world.ids().into_iter().find(|id| *id != leader).expect("another");
    (world, victim)
}

/// Starts the victim on another directory, and expects that all peers refuse it.
fn refused(world: &mut World, victim: u64, directory: MemoryBackend) -> String {
    world.crash(victim, Crash::Keep);
    world.node(victim).backend = directory;
    world.node(victim).notices.clear();
    world.start(victim);
    world.ticks(30);
    let node = world.node(victim);
    let reasons: Vec<String> = node
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::RefusedByPeer { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect();
    assert!(reasons.len() >= 2, "both peers refuse it: {:?}", node.notices);
    // its votes and acknowledgements count for nothing: one more loss stops the group
    let leader = world.elect();
    let other = world.ids().into_iter().find(|id| *id != leader && *id != victim).expect("a third");
    world.crash(other, Crash::Keep);
    world.ticks(60);
    assert!(world.leader().is_none(), "an amnesiac's vote was counted");
    world.start(other);
    world.elect();
    reasons[0].clone()
}

#[test]
fn an_emptied_directory_is_refused() {
    let (mut world, victim) = world_of_three(120);
    let reason = refused(&mut world, victim, MemoryBackend::new());
    assert!(reason.contains("empty directory"), "{reason}");
}

#[test]
fn a_restored_directory_is_refused() {
    let (mut world, victim) = world_of_three(121);
    let backup = world.node(victim).backend.backup();
    for _ in 0..2 {
        world.crash(victim, Crash::Lose);
        world.start(victim);
        world.converge();
    }
    let reason = refused(&mut world, victim, backup);
    assert!(reason.contains("was restored"), "{reason}");
}

/// Boots are counted in the directory itself: after enough starts that nobody hears an old one has counted as far as the one
/// that it took the place of.
#[test]
fn a_restored_directory_is_refused_however_often_it_was_started() {
    for unheard in [1, 2, 3] {
        let (mut world, victim) = world_of_three(129);
        let backup = world.node(victim).backend.backup();
        let restart = |world: &mut World| {
            world.crash(victim, Crash::Keep);
            world.start(victim);
        };
        for _ in 0..2 {
            restart(&mut world);
            world.converge();
        }
        let last = world.node(victim).group().hello();
        world.crash(victim, Crash::Keep);
        world.node(victim).backend = backup;
        world.start(victim);
        (1..unheard).for_each(|_| restart(&mut world));
        let old = world.node(victim).group().hello();
        assert_eq!((old.boot >> 16) + 2, (last.boot >> 16) + unheard, "it counts on from its own boots");
        assert_ne!(old.boot, last.boot);
        let backup = world.node(victim).backend.clone();
        let reason = refused(&mut world, victim, backup);
        assert!(reason.contains("was restored"), "{unheard}: {reason}");
    }
}

#[test]
fn what_is_remembered_survives_a_restart_of_the_peers() {
    let (mut world, victim) = world_of_three(122);
    world.crash(victim, Crash::Keep);
    for id in world.ids() {
        if id != victim {
            world.crash(id, Crash::Lose);
            world.start(id);
        }
    }
    world.node(victim).backend = MemoryBackend::new();
    world.start(victim);
    world.ticks(30);
    assert!(world.node(victim).count(|notice| matches!(notice, Notice::RefusedByPeer { .. })) >= 2);
}

#[test]
fn truthful_restarts_are_admitted_whatever_was_not_synced() {
    let (mut world, victim) = world_of_three(123);
    for round in 0..8 {
        world.propose_somewhere(round);
        world.crash(victim, Crash::Mix(round));
        world.start(victim);
        world.converge();
        assert_eq!(world.node(victim).count(|notice| matches!(notice, Notice::RefusedByPeer { .. })), 0);
    }
}

#[test]
fn messages_of_an_unknown_or_earlier_boot_do_not_count() {
    let (mut world, victim) = world_of_three(124);
    let leader = world.elect();
    world.node(leader).group().tick();
    world.node(leader).group().tick();
    world.turn(leader);
    let (_, _, old) =
        world.wire.iter().find(|(_, to, payload)| *to == victim && payload[0] == 0).cloned().expect("one");
    world.crash(leader, Crash::Keep);
    let early = world.node(victim).group().step(leader, &old);
    assert!(early.is_ok(), "its boot is the last known one");
    world.start(leader);
    world.converge();
    let late = world.node(victim).group().step(leader, &old);
    assert!(matches!(late, Err(StepError::EarlierBoot { .. })), "{late:?}");
    // It may come from an emptied directory, whose boots begin anywhere.
    assert_ne!(question(&mut world, victim, leader), 0);
    let strange = world.node(victim).group().step(77, &old);
    assert!(matches!(strange, Err(StepError::NotIntroduced(77))), "{strange:?}");
}

/// What a replica sends to say who it is, in answer to that question; 0 when nobody asked.
fn greeting(hello: &Hello, answers: u64) -> Vec<u8> {
    let mut payload = vec![4];
    payload.extend_from_slice(&answers.to_le_bytes());
    hello.encode(&mut payload);
    payload
}

/// The question that a replica has just asked another.
fn question(world: &mut World, from: u64, to: u64) -> u64 {
    world.turn(from);
    let asks = |sent: &&(u64, u64, bytes::Bytes)| (sent.0, sent.1, sent.2[0]) == (from, to, 5);
    let (_, _, payload) = world.wire.iter().find(asks).expect("it asks");
    u64::from_le_bytes(payload[1..].try_into().expect("a number"))
}

fn amnesia(stepped: Result<(), StepError>) -> Option<Amnesia> {
    match stepped {
        Ok(()) => None,
        Err(StepError::Amnesia(amnesia)) => Some(amnesia),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_foreign_hello_is_refused() {
    let (mut world, victim) = world_of_three(125);
    let hello: Hello = world.node(victim).group().hello();
    let leader = world.elect();
    let group = world.node(leader).group();
    let mut say = |from: u64, hello: Hello| amnesia(group.step(from, &greeting(&hello, 0)));
    assert_eq!(say(victim, hello), None);
    assert_eq!(say(victim, Hello { cluster_id: [0; 16], ..hello }), Some(Amnesia::OtherCluster(victim)));
    assert_eq!(say(leader + 10, hello), Some(Amnesia::OtherReplica(leader + 10)));
}

#[test]
fn words_that_do_not_fit_refuse_a_peer_only_when_they_answer_a_question() {
    let (mut world, victim) = world_of_three(128);
    let hello: Hello = world.node(victim).group().hello();
    let leader = world.elect();
    let misfits = [
        Hello { origin: hello.origin + 1, ..hello },
        Hello { boot: hello.boot - 1, ..hello },
        Hello { boot: hello.boot - (1 << 16), ..hello },
        Hello { term: hello.term - 1, ..hello },
        Hello { commit: hello.commit - 1, ..hello },
    ];
    for misfit in misfits {
        let say = |world: &mut World, answers: u64, hello: &Hello| {
            amnesia(world.node(leader).group().step(victim, &greeting(hello, answers)))
        };
        assert_eq!(say(&mut world, 0, &misfit), None, "{misfit:?}");
        let asked = question(&mut world, leader, victim);
        assert_eq!(say(&mut world, asked ^ 2, &misfit), None, "{misfit:?}: not that question");
        // Meanwhile a later word came: what answers now may have been said before it.
        assert_eq!(say(&mut world, 0, &hello), None);
        assert_eq!(say(&mut world, asked, &misfit), None, "{misfit:?}: older than what is remembered");
        world.tick();
        assert_eq!(say(&mut world, 0, &misfit), None, "{misfit:?}");
        let asked = question(&mut world, leader, victim);
        assert!(say(&mut world, asked, &misfit).is_some(), "{misfit:?}");
        world.wire.clear();
        // The next of them begins without a question.
        assert_eq!(say(&mut world, 0, &hello), None);
        world.tick();
    }
}

#[test]
fn words_that_were_overtaken_refuse_nobody() {
    let (mut world, victim) = world_of_three(129);
    let before = world.node(victim).group().hello();
    for round in 0..3 {
        world.crash(victim, Crash::Keep);
        world.start(victim);
        world.put(&format!("round {round}"), "v");
        world.converge();
        // A frozen peer reads the connection of the earlier process after that of the present one.
        for peer in world.ids().into_iter().filter(|id| *id != victim) {
            assert_eq!(amnesia(world.node(peer).group().step(victim, &greeting(&before, 0))), None);
        }
        world.ticks(5);
        world.converge();
        assert_eq!(world.node(victim).count(|notice| matches!(notice, Notice::RefusedByPeer { .. })), 0);
    }
    let leader = world.elect();
    let other = world.ids().into_iter().find(|id| *id != leader && *id != victim).unwrap_or(victim);
    world.crash(other, Crash::Keep);
    world.put("with the victim's vote", "v");
}

#[test]
fn a_log_that_lost_its_tail_within_a_boot_is_named_amnesia() {
    use protobuf2::Message as _;
    use raft::eraftpb::{Message, MessageType};
    let (mut world, victim) = world_of_three(126);
    let leader = world.elect();
    let (boot, term) = {
        let status = world.node(leader).group().status();
        (status.boot, status.term)
    };
    let mut heartbeat = Message { from: leader, to: victim, term, commit: 1_000_000, ..Message::default() };
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    let mut payload = vec![0];
    payload.extend_from_slice(&boot.to_le_bytes());
    payload.extend_from_slice(&heartbeat.write_to_bytes().expect("encodes"));
    let stepped = world.node(victim).group().step(leader, &payload);
    assert!(matches!(stepped, Err(StepError::Amnesia(Amnesia::Forgotten { .. }))), "{stepped:?}");
    world.settle();
    assert_eq!(world.node(victim).group().status().role, Role::Stopped);
    world.ticks(40);
    world.put("without", "v");
}

#[test]
fn a_member_that_only_its_leader_met_becomes_known_to_all() {
    let mut world = World::new(126, 3);
    world.put("a", "1");
    let leader = world.elect();
    world.add(4, Vec::new(), |_| {});
    for follower in (1..=3).filter(|id| *id != leader) {
        world.cut.insert((4, follower));
        world.cut.insert((follower, 4));
    }
    for change in [ConfChange::AddLearner(4), ConfChange::Promote(4)] {
        world.ticks(30);
        world.node(leader).group().propose_conf_change(change).expect("asked");
        world.converge();
    }
    assert_eq!(world.leader(), Some(leader));
    world.heal();
    world.ticks(30);
    world.crash(4, Crash::Keep);
    world.node(4).backend = MemoryBackend::new();
    world.node(4).notices.clear();
    world.start(4);
    world.ticks(30);
    // It has stopped at the first word of the leader: the new directory knows nobody, and whoever is greeted by it asks.
    for id in 1..=3 {
        let hello = world.node(4).group().hello();
        world.tick();
        assert_eq!(amnesia(world.node(id).group().step(4, &greeting(&hello, 0))), None, "replica {id}");
        let asked = question(&mut world, id, 4);
        let answered = amnesia(world.node(id).group().step(4, &greeting(&hello, asked)));
        assert_eq!(answered, Some(Amnesia::Emptied(4)), "replica {id}");
    }
}

#[test]
fn an_empty_voter_is_refused_by_one_that_never_met_it() {
    let mut world = World::new(130, 3);
    world.put("a", "1");
    let leader = world.elect();
    world.add(4, Vec::new(), |_| {});
    for change in [ConfChange::AddLearner(4), ConfChange::Promote(4)] {
        world.ticks(30);
        world.node(leader).group().propose_conf_change(change).expect("asked");
        world.converge();
    }
    world.crash(4, Crash::Keep);
    world.add(5, Vec::new(), |_| {});
    for change in [ConfChange::AddLearner(5), ConfChange::Promote(5)] {
        world.ticks(30);
        world.node(leader).group().propose_conf_change(change).expect("asked");
        world.ticks(10);
    }
    // Only the newcomer is left to tell the emptied one anything.
    for id in 1..=3 {
        world.cut.extend([(4, id), (id, 4)]);
    }
    world.node(4).backend = MemoryBackend::new();
    world.start(4);
    world.node(4).notices.clear();
    world.node(leader).group().transfer_leader(5).expect("it may lead");
    world.ticks(60);
    assert_eq!(world.leader(), Some(5));
    let refused = |notice: &Notice| matches!(notice, Notice::RefusedByPeer { peer: 5, .. });
    assert_ne!(world.node(4).count(refused), 0);
    assert_eq!(world.node(4).group().status().applied, 0, "it was fed");
}

#[test]
fn a_learner_that_was_empty_when_it_was_asked_is_no_empty_voter() {
    let mut world = World::new(131, 3);
    world.put("a", "1");
    let leader = world.elect();
    let follower = world.ids().into_iter().find(|id| *id != leader).expect("another");
    world.add(4, Vec::new(), |_| {});
    let blank = world.node(4).group().hello();
    world.lost_kinds.insert(INTRODUCTION);
    world.cut.extend([(4, follower), (follower, 4)]);
    world.node(leader).group().propose_conf_change(ConfChange::AddLearner(4)).expect("asked");
    world.ticks(30);
    // It asks the stranger; the answer is long on its way.
    let sent = (0..30).find_map(|_| {
        world.node(follower).group().tick();
        world.turn(follower);
        let asks = |sent: &&(u64, u64, bytes::Bytes)| (sent.0, sent.1, sent.2[0]) == (follower, 4, 5);
        let asked = world.wire.iter().find(asks).map(|(.., payload)| payload.clone());
        world.settle();
        asked
    });
    let asked = u64::from_le_bytes(sent.expect("it asks")[1..].try_into().expect("a number"));
    world.node(leader).group().propose_conf_change(ConfChange::Promote(4)).expect("asked");
    world.ticks(30);
    assert!(world.node(follower).group().status().voters.contains(&4));
    assert_eq!(amnesia(world.node(follower).group().step(4, &greeting(&blank, asked))), None);
    world.heal();
    world.ticks(30);
    assert_eq!(world.node(4).count(|notice| matches!(notice, Notice::RefusedByPeer { .. })), 0);
}

#[test]
fn no_boot_of_an_emptied_directory_is_taken_for_one_of_the_old() {
    let (mut world, victim) = world_of_three(127);
    let before = world.node(victim).group().hello();
    world.crash(victim, Crash::Keep);
    world.node(victim).backend = MemoryBackend::new();
    world.start(victim);
    let after = world.node(victim).group().hello();
    assert!(before.boot.abs_diff(after.boot) > 1_000, "{before:?}, {after:?}");
}
