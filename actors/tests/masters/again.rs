//! A failed run is retried before its leader can read how it ended.

use std::time::Duration;

use futures_util::future::join;
use hortator_proto::api::{Command, Request, Response};
use tokio::time::sleep;

use crate::world::{What, world};

const FAILS: &str = "
tasks:
  - { id: bad, shell: { script: fail 300 } }
";

#[test]
fn its_attempts_are_numbered_on_though_the_rows_of_the_last_round_come_late() {
    for seed in 551..557 {
        world(seed, 3, 1, async |world| {
            let started = || -> Vec<u16> {
                let starts = world.deeds().into_iter().filter(|deed| deed.what == What::Started);
                starts.map(|deed| deed.attempt.attempt).collect()
            };
            sleep(Duration::from_secs(1)).await;
            let (run, _) = world.begin(1, FAILS).await;
            world.until("it runs", || started() == [1]).await;
            // The other two commit; this one's own disk, and with it its rows, are behind.
            let leader = world.wait_leader(1, run.shard(), &[]).await;
            world.stall_disk(leader, true);
            assert_eq!(world.finished(leader, run).await, "failed");
            let command = Command::RetryFailed { run, by: "test".into() };
            let mend = async {
                sleep(Duration::from_millis(200)).await;
                world.stall_disk(leader, false);
            };
            let (answer, ()) = join(world.request(leader, Request::Command(command)), mend).await;
            assert!(matches!(answer, Ok(Response::Accepted { .. })), "{answer:?}");
            world.until("it runs again", || started() == [1, 2]).await;
            assert_eq!(world.finished(leader, run).await, "failed");
        });
    }
}
