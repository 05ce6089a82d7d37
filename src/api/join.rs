//! How nodes come to their certificates: a join token buys the first one, the certificate itself the next.
//! Whether a token lets a node in, the membership group decides; here its request is read and signed.

use std::sync::Mutex;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hortator_core::access::SecretHash;
use hortator_core::cluster::{JoinRole, JoinedAs, Joiner};
use hortator_core::time::Span;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response, Welcome};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Backend;
use super::access::{CaSource, Standing};
use super::cluster::{all_masters, changed, json, span};
use super::problem::{Refusal, code};
use super::routes::Admin;
use crate::pki::{
    Ca, Certified, JoinToken, NodeRole, SignError, check_addresses, from_hex, hex, random_bytes, request_key,
};

/// How long a join token lasts when nobody says: a day's work on new machines.
const VALID_FOR: Span = Span::from_secs(24 * 60 * 60);
/// Join and renewal requests that one master takes a minute. A thousand workers are in within some minutes, and whoever
/// guesses tokens of 256 bits does not fill the log meanwhile.
const JOINS_PER_MINUTE: u32 = 3_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The body of `POST /cluster/join-tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenBody {
    /// `"worker"`, or `{"master": {"name": "n4"}}`.
    pub role: JoinRole,
    /// As `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<String>,
}

/// Its answer: the only time that the token is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinTokenMade {
    pub id: String,
    pub token: String,
}

/// The body of `POST /cluster/join`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// 32 hexadecimal digits, from the token.
    pub cluster: String,
    /// The token's id.
    pub token: String,
    /// 64 hexadecimal digits, from the token.
    pub secret: String,
    /// The certificate request, as PEM.
    pub csr: String,
    pub joiner: Joiner,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinedBody {
    /// As PEM, like the authority's.
    pub certificate: String,
    pub authority: String,
    pub cluster_name: String,
    pub welcome: Welcome,
}

/// The body of `POST /cluster/renew`, and with a certificate in it the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewBody {
    pub csr: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenewedBody {
    pub certificate: String,
}

/// Counts join requests of the current minute.
#[derive(Debug, Default)]
pub(super) struct Joins(Mutex<Option<(Instant, u32)>>);

impl Joins {
    fn enter(&self, now: Instant) -> Result<(), Refusal> {
        let mut minute = self.0.lock().expect("nothing panics while it counts");
        let (begun, count) = minute.filter(|(begun, _)| now - *begun < MINUTE).unwrap_or((now, 0));
        *minute = Some((begun, count + 1));
        if count < JOINS_PER_MINUTE {
            return Ok(());
        }
        let detail = format!("{JOINS_PER_MINUTE} nodes have asked this master to join within a minute");
        let problem = Problem::new(ProblemKind::Busy, code::JOINS_FULL, detail);
        Err(problem
            .hint("the token stays good; try again in a minute")
            .param("limit", JOINS_PER_MINUTE)
            .into())
    }
}

/// `POST /cluster/join-tokens`
pub(super) async fn create_token(
    backend: web::Data<dyn Backend>,
    source: web::Data<dyn CaSource>,
    _: Admin,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let body: JoinTokenBody = json(payload).await?;
    let ca = authority(&**source)?;
    let masters = all_masters(&**backend).await?;
    let seeds = masters.into_iter().filter(|master| master.state != "removed" && !master.api.is_empty());
    let token = JoinToken {
        cluster: ca.cluster(),
        ca_fingerprint: ca.fingerprint_bytes(),
        id: hex(&random_bytes::<8>()),
        secret: random_bytes(),
        seeds: seeds.map(|master| master.api).collect(),
    };
    let command = Command::JoinTokenCreate {
        id: token.id.clone(),
        hash: SecretHash(token.secret_hash()),
        role: body.role,
        valid_for: body.valid_for.as_deref().map_or(Ok(VALID_FOR), span)?,
    };
    changed(&**backend, command).await?;
    Ok(HttpResponse::Created().json(JoinTokenMade { id: token.id.clone(), token: token.to_string() }))
}

/// `POST /cluster/join`: the token is the proof, so no bearer token is asked for.
pub(super) async fn join(
    backend: web::Data<dyn Backend>,
    source: web::Data<dyn CaSource>,
    joins: web::Data<Joins>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    joins.enter(Instant::now())?;
    let body: JoinBody = json(payload).await?;
    let ca = authority(&**source)?;
    // All that can be wrong with the request comes before the token is used up.
    let command = redeem(&body, &ca)?;
    let addresses = addresses(&body.joiner);
    check_addresses(&addresses).map_err(|error| refuse_request(&error))?;
    let welcome = match backend.request(Request::Command(command)).await {
        Response::Redeemed(welcome) => *welcome,
        other => return Err(Refusal::of(other, "Redeem")),
    };
    let role = match &welcome.node {
        JoinedAs::Master { id } => NodeRole::Master(*id),
        JoinedAs::Worker { name } => NodeRole::Worker(name.clone()),
    };
    let signed = ca.sign(&body.csr, &role, &addresses, source.now());
    let certificate = signed.map_err(|error| refuse_request(&error))?;
    let cluster_name = cluster_name(&**backend).await?;
    let authority = ca.certificate_pem().to_owned();
    Ok(HttpResponse::Created().json(JoinedBody { certificate, authority, cluster_name, welcome }))
}

/// `POST /cluster/renew`: the certificate that the connection was opened with is the proof.
pub(super) async fn renew(
    source: web::Data<dyn CaSource>,
    joins: web::Data<Joins>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    joins.enter(Instant::now())?;
    let Some(old) = request.conn_data::<Certified>() else {
        let detail = "the connection was not opened with a node's certificate";
        let problem = Problem::new(ProblemKind::Forbidden, code::RENEWAL, detail);
        return Err(Refusal { status: StatusCode::UNAUTHORIZED, ..problem.into() });
    };
    let refuse = |detail: String| Problem::new(ProblemKind::Forbidden, code::RENEWAL, detail).into();
    // It was valid when the connection was opened, which may stay open for long.
    if old.expired(source.now()) {
        return Err(refuse(format!("the certificate of {} has expired meanwhile", old.name.role)));
    }
    let addresses = match source.standing(&old.name.role) {
        Standing::Belongs { addresses } => addresses,
        Standing::Removed => {
            return Err(refuse(format!("{} does not belong to the cluster any more", old.name.role)));
        }
        Standing::NotHeardOf => {
            let detail = format!("this master has not heard of {} yet", old.name.role);
            let problem = Problem::new(ProblemKind::Unavailable, code::NOT_CAUGHT_UP, detail);
            return Err(problem.hint("ask another master, or try again in a moment").into());
        }
    };
    let body: RenewBody = json(payload).await?;
    let renewed = authority(&**source)?.renew(old, &body.csr, &addresses, source.now());
    let certificate = renewed.map_err(|error| match error {
        SignError::OtherKey => refuse(error.to_string()),
        other => refuse_request(&other),
    })?;
    Ok(HttpResponse::Ok().json(RenewedBody { certificate }))
}

fn redeem(body: &JoinBody, ca: &Ca) -> Result<Command, Refusal> {
    if body.cluster != hex(&ca.cluster()) {
        let detail = "the join token is of another cluster than the one of this master";
        let problem = Problem::new(ProblemKind::Forbidden, code::JOIN_REQUEST, detail);
        return Err(problem.hint("make one here: hortator cluster add, or hortator worker token").into());
    }
    let secret: [u8; 32] = from_hex(&body.secret)
        .ok_or_else(|| Refusal::bad_request("in the body: secret is not 64 hexadecimal digits"))?;
    let key = request_key(&body.csr).map_err(|error| refuse_request(&error))?;
    let secret_hash = JoinToken {
        cluster: ca.cluster(),
        ca_fingerprint: ca.fingerprint_bytes(),
        id: body.token.clone(),
        secret,
        seeds: Vec::new(),
    }
    .secret_hash();
    Ok(Command::Redeem {
        token: body.token.clone(),
        hash: SecretHash(secret_hash),
        key: SecretHash(key),
        joiner: body.joiner.clone(),
    })
}

/// What stands in the certificate: a worker is called by nobody.
fn addresses(joiner: &Joiner) -> Vec<String> {
    match joiner {
        Joiner::Master { peer, worker, api } => vec![peer.clone(), worker.clone(), api.clone()],
        Joiner::Worker { .. } => Vec::new(),
    }
}

fn authority(source: &dyn CaSource) -> Result<Ca, Refusal> {
    source.ca().ok_or_else(|| {
        let detail = "this master has no authority for certificates";
        let problem = Problem::new(ProblemKind::Unavailable, code::NO_AUTHORITY, detail);
        problem.hint("nodes join clusters that `hortator cluster init` has formed").into()
    })
}

async fn cluster_name(backend: &dyn Backend) -> Result<String, Refusal> {
    match backend.request(Request::Query(Query::Status)).await {
        Response::Status(status) => Ok(status.cluster),
        other => Err(Refusal::of(other, "Status")),
    }
}

fn refuse_request(error: &SignError) -> Refusal {
    Problem::new(ProblemKind::Invalid, code::JOIN_REQUEST, error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_takes_so_many_joins() {
        let joins = Joins::default();
        let begin = Instant::now();
        assert!((0..JOINS_PER_MINUTE).all(|_| joins.enter(begin).is_ok()));
        let refusal = joins.enter(begin + MINUTE - Duration::from_millis(1)).unwrap_err();
        assert_eq!(refusal.problem.code, code::JOINS_FULL);
        assert!(joins.enter(begin + MINUTE).is_ok());
    }
}
