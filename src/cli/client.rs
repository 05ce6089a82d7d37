//! The HTTP client: finds a master, asks, repeats after a broken connection with the same idempotency key.
//! Must not know what is asked; it turns answers that are problems into errors with their exit codes.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use awc::error::{PayloadError, SendRequestError};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, LocalBoxStream, StreamExt};
use rand::seq::SliceRandom;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::Address;
use super::context::Memory;
use super::error::{Error, Exit, code};
use super::scrape::Metrics;
use crate::api::problem::ProblemDocument;
use crate::pki::{client_of_authority, client_of_fingerprint, explain, from_hex};

/// Largest answer that is read whole: a definition of 16 MiB as JSON text.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// As long as no master ever answered this command, it gives up sooner: probably none runs.
const FIRST_CONTACT: Duration = Duration::from_secs(1);
/// A master that has not answered by now may be cut off or stopped, so the next one is asked as well where that does no
/// harm. Answers take a few milliseconds, and an election is over by then or soon after.
const SLOW: Duration = Duration::from_millis(500);
/// In which masters say where all of them are.
const MASTERS: &str = "hortator-masters";
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where to ask, as whom.
#[derive(Clone, Debug)]
pub struct Target {
    pub addresses: Vec<Address>,
    pub token: String,
    pub way: Way,
    /// Where the addresses came from, for messages: `context "dev"`.
    pub source: String,
}

/// What is between this command and a master.
#[derive(Clone, Default)]
pub enum Way {
    #[default]
    /// Plain HTTP, to this host only: the token goes along.
    Plain,
    /// HTTPS; the configuration knows the cluster's authority.
    Tls(Arc<ClientConfig>),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Way::Plain => "Plain",
            Way::Tls(_) => "Tls",
        })
    }
}

impl Way {
    /// As a context names the authority: the file of its certificate, or `sha256:` and its fingerprint.
    pub fn of_authority(ca: &str) -> Result<Way, Error> {
        let failed = |detail: String| {
            Error::new(Exit::Invalid, code::CERTIFICATE, detail)
                .hint("copy ca.pem from the data directory of a master, or use sha256:FINGERPRINT")
        };
        if let Some(digits) = ca.strip_prefix("sha256:") {
            let fingerprint = from_hex(digits)
                .ok_or_else(|| failed(format!("{ca:?} is not sha256: and 64 hexadecimal digits")))?;
            return Ok(Way::Tls(Arc::new(client_of_fingerprint(fingerprint))));
        }
        let pem = std::fs::read_to_string(Path::new(ca))
            .map_err(|error| failed(format!("cannot read the authority's certificate in {ca}: {error}")))?;
        let config = client_of_authority(&pem).map_err(|error| failed(format!("{ca}: {error}")))?;
        Ok(Way::Tls(Arc::new(config)))
    }

    /// A client whose connections go this way.
    pub fn http(&self, connect: Duration) -> awc::Client {
        // A master that is stopped still takes connections, and then says nothing.
        let connector = awc::Connector::new().timeout(connect).handshake_timeout(connect);
        let connector = match self {
            Way::Plain => connector,
            Way::Tls(config) => connector.rustls_0_23(config.clone()),
        };
        awc::ClientBuilder::new().connector(connector).disable_timeout().disable_redirects().finish()
    }

    pub fn scheme(&self) -> &'static str {
        match self {
            Way::Plain => "http",
            Way::Tls(_) => "https",
        }
    }

    /// A token must not travel in the clear.
    pub fn check(&self, addresses: &[Address]) -> Result<(), Error> {
        let outside = addresses.iter().find(|address| !address.is_loopback());
        match (self, outside) {
            (Way::Plain, Some(address)) => {
                let detail = format!(
                    "{address} is on another host, and no authority is known to check its certificate with: the \
                     token would travel in the clear"
                );
                Err(Error::new(Exit::Invalid, code::CERTIFICATE, detail)
                    .hint("name the cluster's authority: `ca = \"FILE\"` in the context, or HORTATOR_CA"))
            }
            (Way::Plain | Way::Tls(_), _) => Ok(()),
        }
    }
}

/// How long to wait and to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub connect: Duration,
    pub request: Duration,
    pub retry: Duration,
}

/// A body as it arrives.
pub type Pieces = LocalBoxStream<'static, Result<Bytes, PayloadError>>;

pub struct Client {
    http: awc::Client,
    target: Target,
    patience: Patience,
    verbose: bool,
    /// Which address is asked next; stays with one that answers.
    turn: Cell<usize>,
    reached: Cell<bool>,
    /// Where it is kept what masters say of each other; taken once.
    memory: Cell<Option<Memory>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("addresses", &self.target.addresses).finish_non_exhaustive()
    }
}

/// One request. All of them may be repeated: reads, and commands that carry a key or ask for a state.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// Added to the usual time for an answer: what the master was asked to wait.
    extra: Duration,
}

impl Call {
    /// `path` begins after `/api/v1`.
    pub fn get(path: impl Into<String>) -> Call {
        Call::new(Method::GET, path.into(), Bytes::new())
    }

    pub fn post(path: impl Into<String>, body: Bytes) -> Call {
        Call::new(Method::POST, path.into(), body)
    }

    pub fn delete(path: impl Into<String>) -> Call {
        Call::new(Method::DELETE, path.into(), Bytes::new())
    }

    pub fn post_json(path: impl Into<String>, body: &impl Serialize) -> Call {
        let body = serde_json::to_vec(body).expect("bodies are maps with text keys");
        Call::post(path, body.into()).header("Content-Type", "application/json")
    }

    fn new(method: Method, path: String, body: Bytes) -> Call {
        Call { method, path, headers: Vec::new(), body, extra: Duration::ZERO }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// Whether two masters may be asked at the same time: a question, or a command with a key of its own. Other
    /// commands may be repeated too, but the second answer would say that nothing changed.
    fn may_be_doubled(&self) -> bool {
        self.method == Method::GET || self.headers.iter().any(|(name, _)| *name == "Idempotency-Key")
    }

    #[must_use]
    pub fn extra(mut self, extra: Duration) -> Call {
        self.extra = extra;
        self
    }
}

/// One attempt's failure: whether another may help.
enum Failed {
    Passing(Error),
    Final(Error),
}

impl Client {
    /// Asks the addresses in an order of its own, so that not all commands press on the first master of a list.
    pub fn new(mut target: Target, patience: Patience, verbose: bool) -> Client {
        target.addresses.shuffle(&mut rand::rng());
        let http = target.way.http(patience.connect);
        Client {
            http,
            target,
            patience,
            verbose,
            turn: Cell::new(0),
            reached: Cell::new(false),
            memory: Cell::new(None),
        }
    }

    /// A client of one master of the same cluster.
    #[must_use]
    pub fn only(&self, address: Address) -> Client {
        let source = format!("the cluster's list of masters, {address}");
        let target = Target { addresses: vec![address], source, ..self.target.clone() };
        Client::new(target, self.patience, self.verbose)
    }

    /// The same for a master that may well be dead: it is called once.
    #[must_use]
    pub fn once(&self, address: Address) -> Client {
        let client = self.only(address);
        Client { patience: Patience { retry: Duration::ZERO, ..self.patience }, ..client }
    }

    /// What the master counts that answered last.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        let Target { addresses, token, way, .. } = &self.target;
        Metrics::ask(&addresses[self.turn.get() % addresses.len()], token, way).await
    }

    /// Keeps where the masters are, as the first that answers says.
    #[must_use]
    pub fn remembering(self, memory: Option<Memory>) -> Client {
        self.memory.set(memory);
        self
    }

    /// Asks and reads the answer.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.repeat(&call, async |address: &Address| self.whole(address, &call).await).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let detail = format!("the answer to {} {} is not understood: {error}", call.method, call.path);
            Error::new(Exit::Unexpected, code::BAD_ANSWER, detail)
                .hint("client and cluster may differ in version: hortator version, hortator status")
        })
    }

    /// Asks and hands over the body as it arrives.
    pub async fn open(&self, call: Call) -> Result<Pieces, Error> {
        self.repeat(&call, async |address: &Address| {
            let (status, pieces) = self.head(address, &call).await?;
            match status.is_success() {
                true => Ok(pieces),
                false => Err(refused(status, &gather(pieces).await.map_err(|_| self.lost(address))?)),
            }
        })
        .await
    }

    /// Repeats rounds until one succeeds, is refused for good, or the time is over.
    async fn repeat<T>(
        &self,
        call: &Call,
        attempt: impl AsyncFn(&Address) -> Result<T, Failed>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.round(call, &attempt).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Passing(error)) => error,
            };
            let bound =
                if self.reached.get() { self.patience.retry } else { self.patience.retry.min(FIRST_CONTACT) };
            if begun.elapsed() + pause > bound {
                return Err(error);
            }
            if self.verbose {
                eprintln!("{error}; trying again in {pause:?}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks each address once, beginning with the one that answered last: the next when one has failed, or when it is
    /// slow and asking twice does no harm. The first answer counts, and the others are given up.
    async fn round<T>(
        &self,
        call: &Call,
        attempt: &impl AsyncFn(&Address) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let count = self.target.addresses.len();
        let mut turns = (0..count).map(|step| (self.turn.get() + step) % count);
        let ask = async |turn: usize| (turn, attempt(&self.target.addresses[turn]).await);
        let mut asked = FuturesUnordered::new();
        let mut last = None;
        asked.extend(turns.next().map(&ask));
        while !asked.is_empty() {
            tokio::select! {
                biased;
                Some((turn, result)) = asked.next() => match result {
                    Err(Failed::Passing(error)) => {
                        let next = turns.next();
                        if self.verbose && next.is_some() {
                            eprintln!("{error}; trying the next address");
                        }
                        asked.extend(next.map(&ask));
                        last = Some(error);
                    }
                    answer => {
                        self.turn.set(turn);
                        return answer;
                    }
                },
                () = tokio::time::sleep(SLOW + call.extra), if call.may_be_doubled() && turns.len() > 0 => {
                    asked.extend(turns.next().map(&ask));
                }
            }
        }
        Err(Failed::Passing(last.expect("there is an address, and what was asked there has failed")))
    }

    async fn whole(&self, address: &Address, call: &Call) -> Result<Bytes, Failed> {
        let limit = self.patience.request + call.extra;
        let answer = async {
            let (status, pieces) = self.head(address, call).await?;
            let body = gather(pieces).await.map_err(|_| self.lost(address))?;
            if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(result) => result,
            Err(_) => Err(Failed::Passing(self.no_answer(address, limit))),
        }
    }

    async fn head(&self, address: &Address, call: &Call) -> Result<(StatusCode, Pieces), Failed> {
        let url = format!("{}://{address}/api/v1{}", self.target.way.scheme(), call.path);
        let mut request = self.http.request(call.method.clone(), url).bearer_auth(&self.target.token);
        for (name, value) in &call.headers {
            request = request.insert_header((*name, value.as_str()));
        }
        let limit = self.patience.request + call.extra;
        match tokio::time::timeout(limit, request.send_body(call.body.clone())).await {
            Ok(Ok(response)) => {
                self.reached.set(true);
                self.learn(response.headers());
                Ok((response.status(), response.boxed_local()))
            }
            Ok(Err(error)) => Err(self.unreachable(address, &error)),
            Err(_) => Err(Failed::Passing(self.no_answer(address, limit))),
        }
    }

    /// Once in a command is enough; and a file that cannot be written is no reason to fail.
    fn learn(&self, headers: &HeaderMap) {
        let said = headers.get(MASTERS).and_then(|value| value.to_str().ok());
        let Some((memory, said)) = said.and_then(|said| Some((self.memory.take()?, said))) else { return };
        if let Err(error) = memory.learn(said)
            && self.verbose
        {
            eprintln!("{error}; where the masters are is not kept");
        }
    }

    fn unreachable(&self, address: &Address, error: &SendRequestError) -> Failed {
        let count = self.target.addresses.len();
        let addresses = if count == 1 { "1 address".into() } else { format!("{count} addresses") };
        let source = &self.target.source;
        let why = reason(error);
        if let SendRequestError::Connect(awc::error::ConnectError::Io(error)) = error
            && error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        {
            let detail =
                format!("the master at {address}, from {source}, is not believed: {}", explain(error));
            let hint = "the authority in the context must be that of the cluster: hortator help H1005";
            return Failed::Passing(Error::new(Exit::Unavailable, code::CERTIFICATE, detail).hint(hint));
        }
        let detail = format!("cannot reach a master at {address} ({why}); tried {addresses} from {source}");
        let hint = "check that a node runs there, or start one: hortator dev";
        Failed::Passing(Error::new(Exit::Unavailable, code::NO_CONNECTION, detail).hint(hint))
    }

    fn lost(&self, address: &Address) -> Failed {
        let detail = format!("the connection to {address} broke before the answer was complete");
        Failed::Passing(Error::new(Exit::Unavailable, code::NO_CONNECTION, detail))
    }

    fn no_answer(&self, address: &Address, limit: Duration) -> Error {
        let detail = format!("the master at {address} did not answer within {limit:?}");
        Error::new(Exit::Unavailable, code::NO_ANSWER, detail).hint("hortator status")
    }
}

/// Reads a body to its end.
async fn gather(mut pieces: Pieces) -> Result<Bytes, PayloadError> {
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(PayloadError::Overflow);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn refused(status: StatusCode, body: &[u8]) -> Failed {
    let error = match serde_json::from_slice::<ProblemDocument>(body) {
        Ok(document) => Error::from_document(document),
        Err(_) => {
            let detail = format!("the answer is {status}, and not from a Hortator master");
            Error::new(Exit::Unexpected, code::BAD_ANSWER, detail)
        }
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Failed::Passing(error),
        _ => Failed::Final(error),
    }
}

/// The operating system's word without its number.
fn reason(error: &SendRequestError) -> String {
    let text = match error {
        SendRequestError::Connect(awc::error::ConnectError::Io(error)) => error.to_string(),
        other => other.to_string(),
    };
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// `?a=b&c=d` of what is set, percent-encoded; empty when nothing is.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            text.push(if text.is_empty() { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(&encode(value));
        }
    }
    text
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let pairs = [("a", Some("x y/é".into())), ("b", None), ("c", Some("etl@-1".into()))];
        assert_eq!(query(&pairs), "?a=x%20y%2F%C3%A9&c=etl%40-1");
        assert_eq!(query(&[("b", None)]), "");
    }
}
