//! Whose a token is and what it allows, and which role each path asks for.
//! Must not know where tokens are kept.

use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator_actors::gateway::GatewayHandle;
use hortator_actors::seam::Clock;
use hortator_actors::tables;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::MasterState;
use hortator_core::time::Timestamp;

use crate::env::SystemClock;
use crate::pki::{Ca, NodeRole, hash};

/// The holder of a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub name: String,
    pub role: Role,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("the bearer token is not one of this cluster")]
    Unknown,
    #[error("the bearer token has expired")]
    Expired,
    #[error("the bearer token was revoked")]
    Revoked,
    #[error("this master has not heard from its cluster yet, so it knows no tokens")]
    NotYet,
}

/// Knows the tokens of the cluster by their hashes. Asked again and again while an answer is open, so it looks at
/// what is true now and is cheap.
pub trait TokenCheck: Send + Sync + 'static {
    fn bearer(&self, hash: &SecretHash) -> Result<Bearer, TokenRefusal>;
    /// Ends when there are other tokens than now; none where they never change.
    fn others(&self) -> Option<LocalBoxFuture<'static, ()>>;
}

/// Has the cluster's authority at hand, where there is one.
pub trait CaSource: Send + Sync + 'static {
    fn ca(&self) -> Option<Ca>;
    /// What this master knows of the node.
    fn standing(&self, role: &NodeRole) -> Standing;
    fn now(&self) -> Timestamp;
    /// Where the APIs of all masters are, for clients to remember.
    fn apis(&self) -> Vec<String>;
}

/// Whether a node belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Under these addresses, `HOST:PORT`; none where nobody calls it.
    Belongs { addresses: Vec<String> },
    /// And never will again.
    Removed,
    /// It may be new, and this master may not have heard of it yet.
    NotHeardOf,
}

/// Tokens and authority of a cluster, from this master's rows.
#[derive(Clone, Debug)]
pub struct ClusterAccess(pub GatewayHandle);

impl TokenCheck for ClusterAccess {
    fn bearer(&self, hash: &SecretHash) -> Result<Bearer, TokenRefusal> {
        let tables = self.0.tables();
        // A cluster has masters before it has tokens.
        if tables.masters().masters.is_empty() {
            return Err(TokenRefusal::NotYet);
        }
        let tokens = tables.tokens();
        let found = tokens.bearer(hash, SystemClock.wall());
        found.map(|(name, role)| Bearer { name: name.to_string(), role }).map_err(|refusal| match refusal {
            tables::TokenRefusal::Unknown => TokenRefusal::Unknown,
            tables::TokenRefusal::Expired => TokenRefusal::Expired,
            tables::TokenRefusal::Revoked => TokenRefusal::Revoked,
        })
    }

    fn others(&self) -> Option<LocalBoxFuture<'static, ()>> {
        let mut tokens = self.0.tables().tokens.clone();
        tokens.mark_unchanged();
        let others = async move {
            if tokens.changed().await.is_err() {
                // The node ends, and this answer with it.
                std::future::pending::<()>().await;
            }
        };
        Some(others.boxed_local())
    }
}

impl CaSource for ClusterAccess {
    fn ca(&self) -> Option<Ca> {
        let row = self.0.authority()?;
        Ca::from_pem(&row.certificate, &row.key).ok()
    }

    fn standing(&self, role: &NodeRole) -> Standing {
        let NodeRole::Master(id) = role else { return Standing::Belongs { addresses: Vec::new() } };
        match self.0.tables().masters().masters.get(id) {
            None => Standing::NotHeardOf,
            Some(row) if row.state == MasterState::Removed => Standing::Removed,
            Some(row) => {
                let all = [&row.peer, &row.worker, &row.api];
                let addresses = all.into_iter().filter(|address| !address.is_empty()).cloned().collect();
                Standing::Belongs { addresses }
            }
        }
    }

    fn apis(&self) -> Vec<String> {
        let masters = self.0.tables().masters();
        masters.present().map(|row| row.api.clone()).filter(|api| !api.is_empty()).collect()
    }

    fn now(&self) -> Timestamp {
        SystemClock.wall()
    }
}

/// One token that may everything: of a cluster in one process.
#[derive(Debug)]
pub struct SingleToken(SecretHash);

impl SingleToken {
    pub fn new(token: &str) -> SingleToken {
        assert!(!token.is_empty(), "an API without a token would be open to every user of this host");
        SingleToken(SecretHash(hash(token)))
    }
}

impl TokenCheck for SingleToken {
    fn bearer(&self, hash: &SecretHash) -> Result<Bearer, TokenRefusal> {
        match same(&hash.0, &self.0.0) {
            true => Ok(Bearer { name: "admin".into(), role: Role::Admin }),
            false => Err(TokenRefusal::Unknown),
        }
    }

    fn others(&self) -> Option<LocalBoxFuture<'static, ()>> {
        None
    }
}

/// A cluster without certificates: nobody joins it.
#[derive(Debug)]
pub struct NoCa;

impl CaSource for NoCa {
    fn ca(&self) -> Option<Ca> {
        None
    }

    fn standing(&self, _: &NodeRole) -> Standing {
        Standing::NotHeardOf
    }

    fn apis(&self) -> Vec<String> {
        Vec::new()
    }

    fn now(&self) -> Timestamp {
        SystemClock.wall()
    }
}

/// Takes the same time wherever the two differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0u8, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    differing == 0
}

/// What a request must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// The path checks by itself who asks, or tells nothing.
    Nothing,
    Role(Role),
}

/// What only admins read: who may come in, and the inside of masters.
const SECRET: [&str; 11] = [
    "cluster/tokens",
    "cluster/join-tokens",
    "cluster/actor",
    "balance",
    "cluster/dead-letters",
    "cluster/faults",
    "cluster/raft",
    "cluster/rows",
    "cluster/slow",
    "cluster/warnings",
    "backup",
];

/// By method and path. What is not listed here is for admins.
pub(super) fn needs(reads: bool, path: &str) -> Needs {
    let path = decoded(path);
    match path.strip_prefix("/api/v1/") {
        None => match path.as_str() {
            "/livez" | "/healthz" => Needs::Nothing,
            _ => Needs::Role(Role::Viewer),
        },
        // Their proof is a join token, and a certificate.
        Some("cluster/join" | "cluster/renew") => Needs::Nothing,
        Some(rest) => {
            let first = rest.split('/').next().unwrap_or("");
            let secret = SECRET.iter().any(|path| rest.starts_with(path));
            match (reads, first) {
                (true, _) if !secret => Needs::Role(Role::Viewer),
                (false, "workflows" | "runs" | "schedules") => Needs::Role(Role::Operator),
                (true | false, _) => Needs::Role(Role::Admin),
            }
        }
    }
}

/// The router takes `%74okens` for `tokens`, so the rules do too.
fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let digits = path.get(place + 1..place + 3).filter(|_| bytes[place] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                place += 3;
            }
            None => {
                plain.push(bytes[place]);
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_opens_and_no_other() {
        let tokens = SingleToken::new("abc");
        assert_eq!(tokens.bearer(&SecretHash(hash("abc"))).map(|bearer| bearer.role), Ok(Role::Admin));
        for wrong in ["", "ab", "abd", "abcd", "ABC"] {
            assert_eq!(tokens.bearer(&SecretHash(hash(wrong))), Err(TokenRefusal::Unknown), "{wrong:?}");
        }
    }

    #[test]
    fn paths_ask_for_roles() {
        let (nothing, role) = (Needs::Nothing, Needs::Role);
        for (reads, path, needed) in [
            (true, "/livez", nothing),
            (true, "/readyz", role(Role::Viewer)),
            (true, "/metrics", role(Role::Viewer)),
            (true, "/api/v1/runs", role(Role::Viewer)),
            (true, "/api/v1/status", role(Role::Viewer)),
            (true, "/api/v1/cluster/masters", role(Role::Viewer)),
            (false, "/api/v1/runs", role(Role::Operator)),
            (false, "/api/v1/runs/01X/cancel", role(Role::Operator)),
            (false, "/api/v1/workflows", role(Role::Operator)),
            (false, "/api/v1/schedules/a/b/c/trigger", role(Role::Operator)),
            (false, "/api/v1/workers/w1/drain", role(Role::Admin)),
            (false, "/api/v1/settings", role(Role::Admin)),
            (false, "/api/v1/cluster/masters", role(Role::Admin)),
            (false, "/api/v1/runsx", role(Role::Admin)),
            (false, "/api/v1/", role(Role::Admin)),
            (true, "/api/v1/cluster/tokens", role(Role::Admin)),
            (true, "/api/v1/cluster/actors", role(Role::Admin)),
            (true, "/api/v1/cluster/faults", role(Role::Admin)),
            (false, "/api/v1/cluster/faults/1", role(Role::Admin)),
            (true, "/api/v1/cluster/raft/1/log", role(Role::Admin)),
            (true, "/api/v1/cluster/%74okens", role(Role::Admin)),
            (true, "/api/v1/backup", role(Role::Admin)),
            (true, "/api/v1/%63luster/%6Aoin-tokens", role(Role::Admin)),
            (false, "/api/v1/cluster/join", nothing),
            (false, "/api/v1/cluster/renew", nothing),
            (false, "/api/v1/cluster/join/", role(Role::Admin)),
            (true, "/api/v1/runs/%", role(Role::Viewer)),
            (true, "/api/v1/runs/%zz%é", role(Role::Viewer)),
        ] {
            assert_eq!(needs(reads, path), needed, "{path}");
        }
    }
}
