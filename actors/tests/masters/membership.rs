//! The membership group's desk: commands and questions from any master reach its leader, and are answered from what is
//! committed.

use hortator_core::access::{Role, SecretHash};
use hortator_proto::api::{Command, Query, Request, Response};
use hortator_raft::memory::Crash;

use crate::world::{World, name, world};

fn token(text: &str, secret: u8) -> Request {
    let hash = SecretHash([secret; 32]);
    Request::Command(Command::TokenCreate { name: name(text), hash, role: Role::Admin, valid_for: None })
}

async fn tokens(world: &World, through: u64) -> Vec<String> {
    match world.ask(through, Query::Tokens).await {
        Ok(Response::Tokens(tokens)) => {
            tokens.iter().map(|token| format!("{} {}", token.name, token.state)).collect()
        }
        other => panic!("{other:?} answers a question for tokens"),
    }
}

#[test]
fn commands_of_any_master_reach_the_leader_and_outlive_it() {
    for seed in 41..45 {
        world(seed, 3, 0, async |world| {
            for id in 1..=3 {
                let text = format!("t{id}");
                let made = world.request(id, token(&text, id as u8)).await.expect("made");
                assert_eq!(made, Response::Changed { name: text.clone(), changed: true });
                let again = world.request(1, token(&text, id as u8)).await.expect("the same");
                assert_eq!(again, Response::Changed { name: text, changed: false });
            }
            let taken = world.request(2, token("t1", 9)).await.expect_err("another secret");
            assert_eq!(taken.code, "H3061");
            let leader = world.wait_leader(1, 0, &[]).await;
            world.crash_master(leader, Crash::Lose).await;
            let other = 1 + leader % 3;
            let revoke = Command::TokenRevoke { name: name("t2") };
            world.request(other, Request::Command(revoke)).await.expect("revoked by the next leader");
            assert_eq!(tokens(&world, other).await, ["t1 valid", "t2 revoked", "t3 valid"]);
        });
    }
}
