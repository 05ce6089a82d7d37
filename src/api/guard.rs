//! What stands before every route: request id, Host check, bearer token, access log.
//! Must not know what the routes do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use hortator_proto::api::{Problem, ProblemKind};
use slog::{Logger, debug};

use super::problem::{Refusal, code};

static REQUEST_ID: HeaderName = HeaderName::from_static("hortator-request-id");
/// The only path that needs no token: whether the process answers is no secret.
const OPEN_PATH: &str = "/livez";

/// What the guard knows.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) token: String,
    pub(super) port: u16,
    pub(super) log: Logger,
    requests: AtomicU64,
}

impl Gate {
    pub(super) fn new(token: String, port: u16, log: Logger) -> Gate {
        Gate { token, port, log, requests: AtomicU64::new(0) }
    }

    /// A page that a browser shows from elsewhere may reach the loopback address under a name of its own (DNS
    /// rebinding), so only names that mean this host are served.
    fn check_host(&self, request: &ServiceRequest) -> Result<(), Refusal> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        if is_own_host(host, self.port) {
            return Ok(());
        }
        let detail = format!("the Host header {host:?} does not name this server");
        let hint = format!("use http://127.0.0.1:{} or http://localhost:{}", self.port, self.port);
        Err(Problem::new(ProblemKind::Forbidden, code::HOST, detail).hint(hint).into())
    }

    fn check_token(&self, request: &ServiceRequest) -> Result<(), Refusal> {
        if request.path() == OPEN_PATH {
            return Ok(());
        }
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let detail = match given.map(|value| value.split_once(' ').unwrap_or((value, ""))) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                if same_secret(token.trim().as_bytes(), self.token.as_bytes()) {
                    return Ok(());
                }
                "the bearer token is not one of this cluster"
            }
            Some(_) => "the Authorization header is not of the form `Bearer TOKEN`",
            None => "the request carries no token",
        };
        let problem = Problem::new(ProblemKind::Forbidden, code::TOKEN, detail)
            .hint("set HORTATOR_TOKEN, or use the context that `hortator dev` wrote");
        Err(Refusal { status: StatusCode::UNAUTHORIZED, ..problem.into() })
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
    let checked = gate.check_host(&request).and_then(|()| gate.check_token(&request));
    let mut response = match checked {
        Err(refusal) => request.into_response(refusal.error_response()),
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
    };
    response.headers_mut().insert(REQUEST_ID.clone(), id.clone());
    debug!(gate.log, "request answered";
        "method" => %method, "path" => %path, "status" => response.status().as_u16(),
        "request" => id.to_str().unwrap_or(""), "time_us" => begun.elapsed().as_micros() as u64);
    Ok(response)
}

/// The client's own id when it sent a short plain one, else a number of this server's.
fn request_id(request: &ServiceRequest, port: u16, number: u64) -> HeaderValue {
    const BYTES_MAX: usize = 64;
    let given = request.headers().get(&REQUEST_ID).filter(|id| id.len() <= BYTES_MAX && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&format!("{port:x}-{number:x}")).expect("hexadecimal digits make a header")
    })
}

fn is_own_host(host: &str, port: u16) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, given)) if !given.ends_with(']') => {
            if given != port.to_string() {
                return false;
            }
            name
        }
        _ if port == 80 => host,
        _ => return false,
    };
    name == "127.0.0.1" || name == "[::1]" || name.eq_ignore_ascii_case("localhost")
}

/// Takes the same time wherever the two differ.
fn same_secret(given: &[u8], secret: &[u8]) -> bool {
    let differing = given.iter().zip(secret).fold(0u8, |seen, (a, b)| seen | (a ^ b));
    given.len() == secret.len() && differing == 0 && !secret.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_pass() {
        for good in ["127.0.0.1:8910", "localhost:8910", "LOCALHOST:8910", "[::1]:8910"] {
            assert!(is_own_host(good, 8910), "{good}");
        }
        for bad in
            ["", "evil.example:8910", "127.0.0.1", "127.0.0.1:80", "localhost", "[::1]", "a.localhost:8910"]
        {
            assert!(!is_own_host(bad, 8910), "{bad}");
        }
        assert!(is_own_host("localhost", 80) && is_own_host("[::1]", 80));
    }

    #[test]
    fn an_empty_secret_opens_nothing() {
        assert!(same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"abd", b"abc") && !same_secret(b"ab", b"abc") && !same_secret(b"", b""));
    }
}
