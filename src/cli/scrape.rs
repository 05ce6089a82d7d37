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

    /// As if a node had said so.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Metrics {
        Metrics(text.to_owned())
    }

    /// The series of a metric, each by its labels as they stand there.
    pub fn series(&self, name: &str) -> Vec<(String, f64)> {
        let one = |line: &str| {
            let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            Some((labels.to_owned(), value.parse().ok()?))
        };
        self.0.lines().filter_map(one).collect()
    }

    /// Of all series of a metric.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).iter().map(|(_, value)| value).sum()
    }

    /// The bound under which that share of what a histogram counted lies, over all its series; none before the first.
    pub fn quantile(&self, name: &str, share: f64) -> Option<f64> {
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in self.series(&format!("{name}_bucket")) {
            let bound =
                labels.split("le=\"").nth(1)?.split('"').next()?.replace("+Inf", "inf").parse().ok()?;
            match steps.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, counted)) => *counted += count,
                None => steps.push((bound, count)),
            }
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = steps.last().map(|(_, count)| *count).filter(|all| *all > 0.0)?;
        let largest = steps.iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite());
        let step = steps.iter().find(|(_, count)| *count >= all * share)?;
        if step.0.is_finite() { Some(step.0) } else { largest }
    }
}
