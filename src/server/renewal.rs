//! A node keeps its certificate good: it looks once a day, and asks a master for a new one when a third of its time is
//! left or when the cluster knows this node under other addresses. Must not know where masters are; it is told.

use std::path::PathBuf;
use std::time::Duration;

use hortator_actors::seam::Clock;
use hortator_core::time::Timestamp;
use hortator_raft::Entropy;
use slog::{Logger, debug, error, info, warn};
use tokio::time::sleep;

use crate::cli::client::Patience;
use crate::cli::error::Error as AskError;
use crate::cli::join::renew;
use crate::pki::{Certified, Identity, IdentityError, TlsError, TlsIdentity, bare_hosts};

/// Between two looks at a certificate that is good: a third of its time is a year.
const LOOK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause after a try that failed: longer than an election, and the masters may just be starting.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest: a certificate of a year's rest has thousands of tries, and no master notices them.
const RETRY_MAX: Duration = Duration::from_secs(60 * 60);
/// A master that renews is at hand, or another one is.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(1),
    request: Duration::from_secs(10),
    retry: Duration::from_secs(5),
};

/// What a node has of its identity while it runs.
#[derive(Debug)]
pub(super) struct Papers {
    pub(super) data: PathBuf,
    pub(super) identity: Identity,
    pub(super) tls: TlsIdentity,
}

/// What a node knows of its cluster.
pub(super) trait Surroundings {
    /// Where the APIs of masters are, `HOST:PORT`.
    fn apis(&self) -> Vec<String>;
    /// Under which addresses the cluster knows this node; none where nobody calls it, or where it is not known.
    fn own_addresses(&self) -> Vec<String>;
    /// Resolves when one of these may be another.
    async fn changed(&mut self);
}

/// Whether a certificate is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Due,
    /// Nothing but a new join token helps, unless the clock is wrong.
    Expired,
}

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Asked(#[from] AskError),
    #[error("the new certificate cannot be kept: {0}")]
    Kept(#[from] IdentityError),
    #[error("the new certificate cannot be used: {0}")]
    Used(#[from] TlsError),
    #[error("the master that signed it has not heard of this node's addresses yet")]
    Early,
}

/// Goes on for as long as the node lives.
pub(super) async fn keep(
    mut papers: Papers,
    mut surroundings: impl Surroundings,
    clock: impl Clock,
    mut entropy: impl Entropy,
    log: Logger,
) {
    let mut failures = 0;
    loop {
        let pause = match weigh(&papers.tls.certified(), &surroundings.own_addresses(), clock.wall()) {
            Verdict::Good => {
                failures = 0;
                LOOK_EVERY
            }
            verdict => match replace(&mut papers, &surroundings, &clock).await {
                Ok(()) => {
                    failures = 0;
                    let until = papers.tls.certified().valid_until;
                    info!(log, "this node has a new certificate"; "valid_until" => %until);
                    LOOK_EVERY
                }
                Err(error) => {
                    let pause = pause_after(failures);
                    failures += 1;
                    tell(&log, verdict, &error, pause, &papers.tls.certified());
                    pause
                }
            },
        };
        // The time is never awaited alone: what the node learns may make it due, or let the next try succeed.
        let pause = jittered(pause, entropy.next_u64("renewal"));
        tokio::select! {
            biased;
            () = surroundings.changed() => debug!(log, "the certificate is looked at again"),
            () = sleep(pause) => {}
        }
    }
}

fn weigh(certified: &Certified, own_addresses: &[String], now: Timestamp) -> Verdict {
    if certified.expired(now) {
        return Verdict::Expired;
    }
    let mut wanted = bare_hosts(own_addresses);
    let mut named = certified.addresses.clone();
    wanted.sort_unstable();
    named.sort_unstable();
    let moved = !wanted.is_empty() && wanted != named;
    if moved || certified.needs_renewal(now) { Verdict::Due } else { Verdict::Good }
}

async fn replace(
    papers: &mut Papers,
    surroundings: &impl Surroundings,
    clock: &impl Clock,
) -> Result<(), RenewalError> {
    let Papers { data, identity, tls } = papers;
    let renewed = renew(tls, &identity.key, &surroundings.apis(), PATIENCE).await?;
    // On the disk first: what is shown to others survives a restart.
    identity.replace_certificate(data, renewed.clone())?;
    tls.replace(&renewed)?;
    match weigh(&tls.certified(), &surroundings.own_addresses(), clock.wall()) {
        Verdict::Good => Ok(()),
        Verdict::Due | Verdict::Expired => Err(RenewalError::Early),
    }
}

fn tell(log: &Logger, verdict: Verdict, error: &RenewalError, pause: Duration, certified: &Certified) {
    let until = certified.valid_until;
    match verdict {
        Verdict::Expired => {
            error!(log, "the certificate of this node has expired, and nobody lets it in any more: \
            compare its clock with others, or let it join again with a new token";
            "code" => "H1018", "valid_until" => %until, "error" => %error, "again_in" => ?pause)
        }
        Verdict::Due | Verdict::Good => warn!(log, "the certificate of this node is not renewed yet";
            "code" => "H1017", "valid_until" => %until, "error" => %error, "again_in" => ?pause),
    }
}

fn pause_after(failures: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}

/// From half to all of it, so that nodes which started together do not ask together.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use hortator_core::time::Span;

    use super::*;
    use crate::pki::{Ca, NODE_DAYS, NodeKey, NodeRole};

    const DAY: i64 = 24 * 60 * 60 * 1_000_000;

    #[test]
    fn when_a_certificate_is_replaced() {
        let born = Timestamp(1_800_000_000_000_000);
        let ca = Ca::create([1; 16], born);
        let addresses = ["m1.example.org:8911".to_owned(), "10.0.0.1:8910".to_owned()];
        let csr = NodeKey::create().csr();
        let pem = ca.sign(&csr, &NodeRole::Master(1), &addresses, born).unwrap();
        let certified = Certified::from_pem(&pem).unwrap();
        let days = NODE_DAYS as i64;
        let other: &[&str] = &["10.0.0.2:8910", "m1.example.org:8911"];
        let same: &[&str] = &["10.0.0.1:1", "M1.example.org:2", "10.0.0.1:3"];
        for (after, own, expected) in [
            (0, same, Verdict::Good),
            (days / 2, same, Verdict::Good),
            (days * 2 / 3 + 1, same, Verdict::Due),
            (days * 2 / 3 + 1, &[], Verdict::Due),
            (0, other, Verdict::Due),
            (0, &[], Verdict::Good),
            (days, same, Verdict::Expired),
            (days + 400, other, Verdict::Expired),
        ] {
            let own: Vec<String> = own.iter().map(|text| (*text).to_owned()).collect();
            let now = Timestamp(born.0 + after * DAY);
            assert_eq!(weigh(&certified, &own, now), expected, "after {after} days at {own:?}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        assert_eq!(pause_after(0), RETRY_MIN);
        assert_eq!(pause_after(1), RETRY_MIN * 2);
        assert_eq!((pause_after(20), pause_after(u32::MAX)), (RETRY_MAX, RETRY_MAX));
        let hour = Span::from_secs(3600).as_duration();
        assert_eq!((jittered(hour, 0), jittered(hour, u64::MAX)), (hour / 2, hour));
    }
}
