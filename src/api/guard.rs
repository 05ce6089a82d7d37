//! What stands before every route: request id, Host check, bearer token and its role, access log.
//! Must not know what the routes do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use hortator_core::access::{Role, SecretHash};
use hortator_proto::api::{Problem, ProblemKind};
use slog::{Logger, debug};

use super::access::{Bearer, CaSource, Needs, TokenCheck, TokenRefusal, needs};
use super::hosts::Hosts;
use super::problem::{Refusal, code};
use super::requests::Requests;
use super::watched::Watched;
use crate::pki::{ApiToken, TokenError, hash};

static REQUEST_ID: HeaderName = HeaderName::from_static("hortator-request-id");
/// Where the APIs of all masters are, `HOST:PORT` with commas between: told to whoever has a good token, so that clients
/// outlive the masters that they were told of at first.
static MASTERS: HeaderName = HeaderName::from_static("hortator-masters");

/// How long an unknown token may still turn up. A follower hears of a commit with its leader's next word, 50 ms later at
/// most, and reads what it applies; the rest is for disks that are slow. Whoever guesses waits as long.
const UNKNOWN_MAX: Duration = Duration::from_millis(500);

/// What the guard knows.
pub(super) struct Gate {
    tokens: Arc<dyn TokenCheck>,
    cluster: Arc<dyn CaSource>,
    hosts: Hosts,
    port: u16,
    log: Logger,
    requests: AtomicU64,
    answered: web::Data<Requests>,
}

impl Gate {
    pub(super) fn new(
        tokens: Arc<dyn TokenCheck>,
        cluster: Arc<dyn CaSource>,
        hosts: Hosts,
        port: u16,
        answered: web::Data<Requests>,
        log: Logger,
    ) -> Gate {
        Gate { tokens, cluster, hosts, port, log, requests: AtomicU64::new(0), answered }
    }

    /// None in a cluster of one host, whose masters have no addresses for others.
    fn masters(&self) -> Option<HeaderValue> {
        let apis = self.cluster.apis();
        (!apis.is_empty()).then(|| HeaderValue::from_str(&apis.join(",")).ok()).flatten()
    }

    fn check_host(&self, request: &ServiceRequest) -> Result<(), Refusal> {
        let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        // HTTP/2 has it in the URI.
        let host = header.or_else(|| request.uri().authority().map(|name| name.as_str())).unwrap_or("");
        if self.hosts.own(host) {
            return Ok(());
        }
        let detail = format!("the Host header {host:?} does not name this server");
        Err(Problem::new(ProblemKind::Forbidden, code::HOST, detail).hint(self.hosts.hint()).into())
    }

    /// Whose request it is, and the hash of the token; none where nothing needs to be shown.
    async fn check_token(&self, request: &ServiceRequest) -> Result<Option<(Bearer, SecretHash)>, Refusal> {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let Needs::Role(role) = needs(reads, request.path()) else {
            return Ok(None);
        };
        let token = given_token(request)?;
        let hash = SecretHash(hash(token));
        let bearer = self.bearer(&hash, token).await.map_err(|refusal| refuse_token(refusal, token))?;
        if bearer.role < role {
            return Err(refuse_role(&bearer, role));
        }
        Ok(Some((bearer, hash)))
    }

    /// One that is not known may have been made at another master a moment ago.
    async fn bearer(&self, hash: &SecretHash, token: &str) -> Result<Bearer, TokenRefusal> {
        let found = self.tokens.bearer(hash);
        if found != Err(TokenRefusal::Unknown) || token.parse::<ApiToken>().is_err() {
            return found;
        }
        let until = tokio::time::Instant::now() + UNKNOWN_MAX;
        // Before each look: what comes after it is not missed.
        while let Some(others) = self.tokens.others() {
            match self.tokens.bearer(hash) {
                Err(TokenRefusal::Unknown) => {}
                known => return known,
            }
            if tokio::time::timeout_at(until, others).await.is_err() {
                break;
            }
        }
        found
    }
}

/// The middleware around all routes.
pub(super) async fn guard(
    gate: web::Data<Gate>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let number = gate.requests.fetch_add(1, Ordering::Relaxed);
    let id = request_id(&request, gate.port, number);
    let (method, path) = (request.method().clone(), request.path().to_owned());
    request.extensions_mut().insert(number);
    let checked = match gate.check_host(&request) {
        Ok(()) => gate.check_token(&request).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match checked {
        Err(refusal) => request.into_response(refusal.error_response()),
        Ok(None) => next.call(request).await?.map_into_boxed_body(),
        Ok(Some((bearer, hash))) => {
            request.extensions_mut().insert(bearer);
            let mut response = next.call(request).await?.map_into_boxed_body();
            gate.masters().into_iter().for_each(|masters| {
                response.headers_mut().insert(MASTERS.clone(), masters);
            });
            response.map_body(|_, body| Watched::around(body, &gate.tokens, hash))
        }
    };
    response.headers_mut().insert(REQUEST_ID.clone(), id.clone());
    let route = response.request().match_pattern();
    gate.answered.answered(route, response.status().as_u16(), begun.elapsed());
    debug!(gate.log, "request answered";
        "method" => %method, "path" => %path, "status" => response.status().as_u16(),
        "request" => id.to_str().unwrap_or(""), "time_us" => begun.elapsed().as_micros() as u64);
    Ok(response)
}

fn given_token(request: &ServiceRequest) -> Result<&str, Refusal> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let detail = match given.map(|value| value.split_once(' ').unwrap_or((value, ""))) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => return Ok(token.trim()),
        Some(_) => "the Authorization header is not of the form `Bearer TOKEN`",
        None => "the request carries no token",
    };
    let problem = Problem::new(ProblemKind::Forbidden, code::TOKEN, detail)
        .hint("set HORTATOR_TOKEN, or use the context that `hortator dev` wrote");
    Err(Refusal { status: StatusCode::UNAUTHORIZED, ..problem.into() })
}

fn refuse_token(refusal: TokenRefusal, token: &str) -> Refusal {
    let problem = match (refusal, token.parse::<ApiToken>()) {
        (TokenRefusal::Unknown, Err(error @ TokenError::Damaged)) => {
            Problem::new(ProblemKind::Forbidden, code::TOKEN, error.to_string())
        }
        (TokenRefusal::Unknown, _) => Problem::new(ProblemKind::Forbidden, code::TOKEN, refusal.to_string())
            .hint("set HORTATOR_TOKEN, or use the context that `hortator dev` wrote"),
        (TokenRefusal::Expired | TokenRefusal::Revoked, _) => {
            Problem::new(ProblemKind::Forbidden, code::TOKEN_ENDED, refusal.to_string())
                .hint("ask an admin for another one")
        }
        (TokenRefusal::NotYet, _) => {
            let problem = Problem::new(ProblemKind::Unavailable, code::NOT_CAUGHT_UP, refusal.to_string());
            return problem.hint("ask another master, or try again in a moment").into();
        }
    };
    Refusal { status: StatusCode::UNAUTHORIZED, ..problem.into() }
}

fn refuse_role(bearer: &Bearer, role: Role) -> Refusal {
    let (has, wants) = (word(bearer.role), word(role));
    let detail = format!("token {:?} has the role {has}, and this needs the role {wants}", bearer.name);
    let problem = Problem::new(ProblemKind::Forbidden, code::ROLE, detail);
    problem.hint(format!("ask an admin for a token with the role {wants}")).param("role", wants).into()
}

pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// The client's own id when it sent a short plain one, else a number of this server's.
fn request_id(request: &ServiceRequest, port: u16, number: u64) -> HeaderValue {
    const BYTES_MAX: usize = 64;
    let given = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= BYTES_MAX && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&format!("{port:x}-{number:x}")).expect("hexadecimal digits make a header")
    })
}
