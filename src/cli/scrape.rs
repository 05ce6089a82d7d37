//! What one node's `/metrics` says, for those who measure nodes of their own: the bench and the chaos runs.

use std::time::Duration;

use super::address::Address;
use super::client::Way;
use super::error::{Error, Exit};

/// How long a node may take to answer: it is on this host, and busy at most.
const METRICS_MAX: Duration = Duration::from_secs(5);

/// One node's answer, in the text format of Prometheus.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// # Errors
    /// H9032: the node does not answer within five seconds, or not with success.
    pub async fn ask(address: &Address, token: &str, way: &Way) -> Result<Metrics, Error> {
        let url = format!("{}://{address}/metrics", way.scheme());
        let failed = |why: String| Error::new(Exit::Unexpected, "H9032", format!("{url}: {why}"));
        let request = way.http(METRICS_MAX).get(&url);
        let sent = request.insert_header(("Authorization", format!("Bearer {token}"))).send().await;
        let mut answer = sent.map_err(|error| failed(error.to_string()))?;
        let body = answer.body().await.map_err(|error| failed(error.to_string()))?;
        match answer.status().is_success() {
            true => Ok(Metrics(String::from_utf8_lossy(&body).into_owned())),
            false => Err(failed(answer.status().to_string())),
        }
    }

    /// Of all series of a metric; 0 when the node has none of this name, as a worker has no entries.
    pub fn value(&self, name: &str) -> u64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<u64>().ok())?
        });
        values.sum()
    }
}
