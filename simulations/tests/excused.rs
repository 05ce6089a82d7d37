//! A master whose own sync failed ends for a reason; one that finds its disk rotten, and nobody said that it may be, does
//! not (P6).

use std::rc::Rc;
use std::time::Duration;

use hortator_raft::memory::Crash;
use hortator_simulations::world::net::Parting;
use hortator_simulations::world::{Shape, World, tell};
use tokio::time::sleep;

const A_WHILE: Duration = Duration::from_secs(10);

/// A bit of each sector that begins with anything.
fn rot(world: &World, id: u64) {
    let disk = world.disk(id).expect("it was there");
    for file in disk.files().names() {
        let content = disk.files().content(&file).unwrap_or_default();
        let written = (0..content.len()).step_by(512).filter(|at| content[*at] != 0);
        written.for_each(|at| disk.files().flip_bit(&file, at as u64).expect("a byte of the file"));
    }
}

#[test]
fn a_failed_sync_excuses_its_own_master_alone() {
    let story = |world: Rc<World>| async move {
        sleep(A_WHILE).await;
        let before = world.master_life(1);
        world.disk(1).expect("it runs").files().fail_next_sync();
        // Whoever led takes votes to be replaced, and a vote is synced.
        for other in [2, 3] {
            world.crash_master(other, Crash::Keep, Parting::Told);
            sleep(A_WHILE).await;
            world.start_master(other).await;
        }
        sleep(A_WHILE).await;
        assert_ne!(world.master_life(1), before, "it ended, and was started again");
        assert_eq!(world.surprises(), []);
        world.crash_master(2, Crash::Keep, Parting::Told);
        rot(&world, 2);
        world.start_master(2).await;
        sleep(A_WHILE).await;
        world.surprises().into_iter().map(|surprise| surprise.who).collect::<Vec<_>>()
    };
    let (fallen, _) = tell(11, Shape::default(), None, story);
    assert!(!fallen.is_empty() && fallen.iter().all(|who| who == "n2"), "{fallen:?}");
}
