//! Errors as RFC 9457 problem documents: what clients get instead of an answer.
//! Must not know which route failed.

use std::collections::BTreeMap;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use hortator_proto::api::{Problem, ProblemKind, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const CONTENT_TYPE: &str = "application/problem+json";
/// Seconds after which a refusal "for now" is worth another try.
const RETRY_AFTER_S: &str = "1";

/// Codes of the HTTP layer itself; `hortator help CODE` explains each.
pub mod code {
    pub const TOKEN: &str = "H1201";
    pub const TOKEN_ENDED: &str = "H1202";
    pub const ROLE: &str = "H1203";
    pub const NOT_CAUGHT_UP: &str = "H1108";
    pub const HOST: &str = "H1204";
    pub const NO_AUTHORITY: &str = "H1205";
    pub const JOIN_REQUEST: &str = "H1206";
    pub const JOINS_FULL: &str = "H1207";
    pub const RENEWAL: &str = "H1208";
    pub const NO_FAULTS: &str = "H1209";
    pub const FAULT: &str = "H1210";
    pub const NO_ROUTE: &str = "H1301";
    pub const BAD_REQUEST: &str = "H1302";
    pub const TOO_LARGE: &str = "H1303";
    pub const STREAMS_FULL: &str = "H1304";
    pub const NO_STATE: &str = "H1305";
    pub const DEFINITION: &str = "H2001";
    pub const NOT_STARTED: &str = "H3012";
    pub const NO_SUCH_ATTEMPT: &str = "H3013";
    pub const BACKUP_RUNS: &str = "H4205";
    pub const INTERNAL: &str = "H9001";
}

/// The document as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// `hortator:` and the code: names the kind of problem, leads nowhere.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// What is wrong in a definition, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Value>,
}

/// A route's refusal, on its way to becoming a document.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub problem: Box<Problem>,
    pub diagnostics: Vec<Value>,
}

impl Refusal {
    /// The request itself is not what the route takes.
    pub fn bad_request(detail: impl Into<String>) -> Refusal {
        let problem = Problem::new(ProblemKind::Invalid, code::BAD_REQUEST, detail);
        Refusal { status: StatusCode::BAD_REQUEST, ..problem.into() }
    }

    /// What came in place of the answer to `asked`: a refusal, or something that does not belong to the question.
    pub fn of(other: Response, asked: &str) -> Refusal {
        match other {
            Response::Problem(problem) => problem.into(),
            _ => Refusal::unexpected(asked),
        }
    }

    /// A master's answer does not fit the question; a fault of ours.
    pub fn unexpected(asked: &str) -> Refusal {
        let detail = format!("the answer to {asked} is not one that belongs to it");
        Problem::new(ProblemKind::Internal, code::INTERNAL, detail).into()
    }

    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            r#type: format!("hortator:{}", self.problem.code),
            title: title(self.problem.kind).into(),
            status: self.status.as_u16(),
            detail: self.problem.detail.clone(),
            code: self.problem.code.clone(),
            hint: self.problem.hint.clone(),
            params: self.problem.params.clone(),
            diagnostics: self.diagnostics.clone(),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal { status: status(problem.kind), problem: Box::new(problem), diagnostics: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status).json(self.document());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if matches!(self.problem.kind, ProblemKind::Busy | ProblemKind::Unavailable) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn status(kind: ProblemKind) -> StatusCode {
    match kind {
        ProblemKind::NotFound => StatusCode::NOT_FOUND,
        ProblemKind::Conflict => StatusCode::CONFLICT,
        ProblemKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ProblemKind::Forbidden => StatusCode::FORBIDDEN,
        ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::NotFound => "not found",
        ProblemKind::Conflict => "conflict",
        ProblemKind::Invalid => "invalid",
        ProblemKind::Busy => "busy",
        ProblemKind::Unavailable => "unavailable",
        ProblemKind::Forbidden => "forbidden",
        ProblemKind::Internal => "internal error",
    }
}
