//! Whom a leader asks whether it still leads, before a read.

mod harness;

use harness::World;
use hortator_raft::ReplicaId;

#[test]
fn a_read_asks_as_few_as_make_a_quorum_and_all_when_they_are_silent() {
    let mut world = World::new(90, 3);
    let leader = world.elect();
    world.ticks(20);
    let followers: Vec<ReplicaId> = world.ids().into_iter().filter(|id| *id != leader).collect();
    let mut asked = Vec::new();
    for _ in 0..4 {
        let read = world.node(leader).group().read_index().expect("asked");
        world.turn(leader);
        asked.extend(world.wire.iter().map(|(_, to, _)| *to));
        world.settle();
        assert!(world.node(leader).reads.contains_key(&read.0), "one answer is enough");
    }
    assert_eq!((asked.len(), asked[0] == asked[2], asked[0] == asked[1]), (4, true, false), "in turn");
    for gone in followers {
        world.part(&[gone]);
        let reads: Vec<u64> =
            (0..2).map(|_| world.node(leader).group().read_index().expect("asked").0).collect();
        world.settle();
        let answered = |world: &mut World| {
            reads.iter().filter(|read| world.node(leader).reads.contains_key(read)).count()
        };
        assert!(answered(&mut world) >= 1);
        world.tick();
        assert_eq!(answered(&mut world), 2, "all are asked with the next tick");
        world.heal();
        world.ticks(5);
    }
}
