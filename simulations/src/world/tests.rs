//! What is left of a world that is over.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_proto::frame::NodeId;

use super::*;

#[test]
fn nothing_is_left_of_a_world_that_is_over() {
    let story = |world: Rc<World>| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.crash_master(2, Crash::Lose, Parting::Silent);
        world.kill_agent(&name("w1"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.start_master(2).await;
        world.start_worker(&name("w1")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Something is always still to happen.
        world.net().cut(&NodeId::Master(1), &NodeId::Master(2));
        (Rc::downgrade(&world), Arc::downgrade(&world.agenda))
    };
    let (world, agenda) = tell_unasked(7, Shape::default(), story);
    // Wires, disks and clocks hold the agenda: it is the last to go.
    assert_eq!((world.strong_count(), agenda.strong_count()), (0, 0), "the world, its agenda");
}
