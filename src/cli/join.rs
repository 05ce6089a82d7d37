//! The node's side of joining: with a join token to a certificate, and with a certificate to the next one.
//! Must not know where the identity is kept.

use std::sync::Arc;

use hortator_core::cluster::{JoinedAs, Joiner};
use hortator_proto::api::MasterDetail;

use super::address::Address;
use super::client::{Call, Client, Patience, Target, Way};
use super::error::{Error, Exit, code};
use crate::api::join::{JoinBody, JoinedBody, RenewBody, RenewedBody};
use crate::pki::{
    ClusterFacts, Identity, JoinToken, NodeKey, NodeRole, TlsIdentity, client_of_fingerprint, fingerprint,
    hex,
};

/// What a node has after it was let in.
#[derive(Debug)]
pub struct Joined {
    pub identity: Identity,
    /// Who there is, with addresses.
    pub masters: Vec<MasterDetail>,
}

/// Asks the token's masters to let this node in. The key stays here; a request that is repeated, also by a node that
/// died before it heard the answer, is about the same key, so it uses up the token once.
pub async fn join(
    token: &JoinToken,
    joiner: Joiner,
    key: NodeKey,
    patience: Patience,
) -> Result<Joined, Error> {
    let way = Way::Tls(Arc::new(client_of_fingerprint(token.ca_fingerprint)));
    let client = client(&token.seeds, way, "the join token", patience)?;
    let body = JoinBody {
        cluster: hex(&token.cluster),
        token: token.id.clone(),
        secret: hex(&token.secret),
        csr: key.csr(),
        joiner,
    };
    let joined: JoinedBody = client.ask(Call::post_json("/cluster/join", &body)).await?;
    if fingerprint(&joined.authority).ok() != Some(token.ca_fingerprint)
        || joined.welcome.cluster != body.cluster
    {
        return Err(odd("the answer is of another cluster than the token".into()));
    }
    let identity = Identity {
        facts: ClusterFacts {
            cluster: token.cluster,
            name: joined.cluster_name,
            generation: joined.welcome.generation,
            shards: joined.welcome.shards,
        },
        role: match joined.welcome.node {
            JoinedAs::Master { id } => NodeRole::Master(id),
            JoinedAs::Worker { name } => NodeRole::Worker(name),
        },
        authority_pem: joined.authority,
        certificate_pem: joined.certificate,
        key,
    };
    // Its parts must belong together before anybody relies on them.
    TlsIdentity::new(&identity).map_err(|error| odd(error.to_string()))?;
    Ok(Joined { identity, masters: joined.welcome.masters })
}

/// Asks masters for a new certificate; the old one is the proof, and the key stays. For `Identity::replace_certificate`
/// and `TlsIdentity::replace`, when `Certified::needs_renewal` says that it is time.
pub async fn renew(
    identity: &TlsIdentity,
    key: &NodeKey,
    masters: &[String],
    patience: Patience,
) -> Result<String, Error> {
    let way = Way::Tls(Arc::new(identity.api_dialler()));
    let client = client(masters, way, "the list of masters", patience)?;
    let body = RenewBody { csr: key.csr() };
    let renewed: RenewedBody = client.ask(Call::post_json("/cluster/renew", &body)).await?;
    Ok(renewed.certificate)
}

fn client(addresses: &[String], way: Way, source: &str, patience: Patience) -> Result<Client, Error> {
    let parsed: Result<Vec<Address>, _> = addresses.iter().map(|address| address.parse()).collect();
    let invalid = |detail: String| Error::new(Exit::Invalid, code::NO_CONTEXT, detail);
    let addresses = parsed.map_err(|error| invalid(format!("in {source}: {error}")))?;
    if addresses.is_empty() {
        return Err(invalid(format!("{source} names no master to ask")));
    }
    let target = Target { addresses, token: String::new(), way, source: source.into() };
    Ok(Client::new(target, patience, false))
}

fn odd(detail: String) -> Error {
    Error::new(Exit::Unexpected, code::BAD_ANSWER, detail)
}
