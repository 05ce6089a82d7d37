//! How a world's masters come and go, as a client sees it. Must not know what a test checks.

use std::time::Duration;

use hortator_core::access::SecretHash;
use hortator_core::cluster::{JoinRole, JoinedAs, Joiner};
use hortator_core::time::Span;
use hortator_proto::api::{Command, Problem, Query, Request, Response};
use tokio::time::sleep;

use super::{World, name};

impl World {
    /// Lets a node in through one master, and starts it. Gives its id.
    pub(crate) async fn add_master(&self, through: u64, text: &str) -> u64 {
        let secret = SecretHash([self.below(200) as u8; 32]);
        let token = format!("token{text}");
        let create = Command::JoinTokenCreate {
            id: token.clone(),
            hash: secret,
            role: JoinRole::Master { name: name(text) },
            valid_for: Span::from_secs(60),
        };
        self.request(through, Request::Command(create)).await.expect("a join token");
        let joiner = Joiner::Master {
            peer: format!("{text}:1"),
            worker: format!("{text}:2"),
            api: format!("{text}:3"),
        };
        let redeem = Command::Redeem { token, hash: secret, key: secret, joiner };
        let id = match self.request(through, Request::Command(redeem)).await {
            Ok(Response::Redeemed(welcome)) => match welcome.node {
                JoinedAs::Master { id } => id,
                other => panic!("{other:?} was let in"),
            },
            other => panic!("{other:?} answers a join token"),
        };
        self.start_master(id).await;
        id
    }

    pub(crate) async fn remove_master(&self, through: u64, id: u64) -> Result<Response, Problem> {
        self.request(through, Request::Command(Command::MasterRemove { id })).await
    }

    /// The masters' states in one line.
    pub(crate) async fn members(&self, through: u64) -> String {
        match self.ask(through, Query::Masters).await {
            Ok(Response::Masters(masters)) => {
                let words: Vec<String> =
                    masters.iter().map(|master| format!("{} {}", master.id, master.state)).collect();
                words.join(", ")
            }
            other => format!("{other:?}"),
        }
    }

    /// Waits until the masters' states are these, at most twenty seconds of the world's time.
    pub(crate) async fn wait_members(&self, through: u64, expected: &str) {
        let mut found = String::new();
        for _ in 0..200 {
            found = self.members(through).await;
            if found == expected {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the masters are {found}, not {expected}")
    }

    /// The voters of a group as its replica on that master has them.
    pub(crate) async fn voters(&self, through: u64, group: u32) -> Vec<u64> {
        let Ok(Response::Status(status)) = self.ask(through, Query::Status).await else { return Vec::new() };
        status.groups.into_iter().find(|view| view.group == group).map_or(Vec::new(), |view| view.voters)
    }
}
