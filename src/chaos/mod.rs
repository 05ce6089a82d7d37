//! The real-process harness: a cluster of real masters and workers under a fault plan, clients that never let go, tasks
//! that write down that they live, and the checkers that judge what all of them say. Nothing of it runs in a server.

mod again;
mod changes;
mod cluster;
mod evidence;
mod faults;
pub mod ledger;
mod links;
pub mod plan;
mod processes;
pub mod recovery;
pub mod report;
mod workload;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::StatusView;
use hortator_simulations::checkers::{LIVENESS, SAFETY, UNDISTURBED, Violation, judge};
use hortator_simulations::evidence::{Evidence, Mark};

use crate::cli::client::Call;
use crate::cli::error::Error as CallError;
use crate::forming::FormingError;
use changes::{Changes, Look};
use cluster::{Cluster, Size};
use faults::{Injector, Record};
use ledger::LedgerError;
use links::Links;
use plan::{Allowed, Judge, Plan};
use recovery::{Loss, Quantiles, next_dispatches};
use report::Report;
use workload::Workload;

/// Runs must be seen to end before the first fault, or the faults would hit a cluster that never worked.
const WARM_UP_MAX: Duration = Duration::from_secs(60);
/// How long everything may take to end once the faults are over: a lost worker is declared after 13 s, and its tasks
/// run again.
const RECOVER_MAX: Duration = Duration::from_secs(90);
/// How long a process of an attempt may outlive its agent.
const OUTLIVE_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to do.
#[derive(Clone, Debug)]
pub struct ChaosConfig {
    /// The program whose nodes are hurt.
    pub program: PathBuf,
    pub plan: Plan,
    pub seed: u64,
    /// A deliberate mistake of the masters, to see that it is found.
    pub mutant: Option<String>,
    /// The plan ends then, if not before.
    pub most: Duration,
    /// Made when it does not exist.
    pub directory: PathBuf,
}

/// It could not be done; nothing is known of the promises.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the cluster cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Forming(#[from] FormingError),
    #[error("the cluster did not work before the first fault: {0}")]
    WarmUp(String),
    #[error("the cluster cannot be asked: {0}")]
    Call(#[from] CallError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The present time of this host.
fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Runs the plan to its end. Call it inside a system with local tasks.
pub async fn run(config: ChaosConfig) -> Result<Report, Error> {
    let begun = Instant::now();
    std::fs::create_dir_all(&config.directory)?;
    let (masters, workers) = (config.plan.masters, config.plan.workers);
    let size = Size { masters, workers, mutant: config.mutant.clone() };
    let links = Links::new(config.seed, relay_runtime()?);
    let cluster = Rc::new(Cluster::form(&config.program, &config.directory, &size, links).await?);
    let supervisor = tokio::task::spawn_local(cluster.clone().supervise());
    let status: StatusView = cluster.client.ask(Call::get("/status")).await?;
    let shards = status.groups.iter().map(|group| group.group).max().unwrap_or(1).max(1);
    let workload = Workload::start(&cluster, config.plan.tasks, shards).await?;
    let workload = Rc::new(workload);
    warm_up(&cluster).await?;
    if config.plan.promises_losses() {
        cluster.until_leases_count().await?;
    }
    let status = match config.plan.elections {
        Allowed::None => cluster.settled().await?,
        // No reason to wait until leaders are spread: terms may rise.
        Allowed::Counted => cluster.client.ask(Call::get("/status")).await?,
    };
    let before = Look { status, handed_over: cluster.handed_over().await };

    let record = inject(&config, &cluster, &workload).await;
    cluster.heal();
    let all_ended = workload.finish(RECOVER_MAX).await;
    let found = evidence::gather(&cluster, &workload, config.plan.tasks, shards).await;
    let after = cluster.client.ask::<StatusView>(Call::get("/status")).await;
    let handed_over = cluster.handed_over().await;
    supervisor.abort();
    let mut violations = Vec::new();
    if !all_ended {
        violations.push(harness(format!("some clients' runs did not end within {RECOVER_MAX:?}")));
    }
    violations.extend(cluster.surprises().into_iter().map(exited));
    cluster.kill_all();
    violations.extend(outliving(&cluster).await);
    let found = found?;
    let changes = Changes::between(&before, &Look { status: after?, handed_over });
    violations.extend(changes.violations(&config.plan));
    violations.extend(verdict(&config.plan, &found, &record, &workload));
    violations.extend(again::violations(&record.done, &found.ledger));
    let took = begun.elapsed();
    Ok(summary(&config, (&found, &record, changes), &workload, violations, took))
}

/// The relays work on a thread of their own, so that a busy harness is no slow network.
fn relay_runtime() -> io::Result<tokio::runtime::Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("links".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

async fn warm_up(cluster: &Cluster) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let lines = cluster.ledger.read()?;
        if lines.iter().any(|line| line.key.task == "last" && line.mark == Mark::End) {
            return Ok(());
        }
        if begun.elapsed() > WARM_UP_MAX {
            return Err(Error::WarmUp(format!("no run ended within {WARM_UP_MAX:?}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn inject(config: &ChaosConfig, cluster: &Rc<Cluster>, workload: &Rc<Workload>) -> Record {
    let record = Rc::<RefCell<Record>>::default();
    let injectors: Vec<_> = config
        .plan
        .fault
        .iter()
        .zip(config.seed..)
        .map(|(line, seed)| {
            let parts = (cluster.clone(), workload.clone());
            tokio::task::spawn_local(Injector::new(line.clone(), parts, record.clone(), seed).run())
        })
        .collect();
    let aborts: Vec<_> = injectors.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    let all = futures_util::future::join_all(injectors);
    // Lines without a count go on until the time is over.
    let _ = tokio::time::timeout(config.most, all).await;
    aborts.iter().for_each(tokio::task::AbortHandle::abort);
    let mut record = record.borrow_mut();
    std::mem::take(&mut *record)
}

/// L6: with its agent a worker's processes end.
async fn outliving(cluster: &Cluster) -> Option<Violation> {
    let begun = Instant::now();
    while cluster.ledger.processes() > 0 {
        if begun.elapsed() > OUTLIVE_MAX {
            let left = cluster.ledger.processes();
            return Some(Violation {
                checker: "L6",
                promise: "no process of an attempt outlives its agent by 2 s",
                detail: format!("{left} are left"),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn verdict(plan: &Plan, evidence: &Evidence, record: &Record, workload: &Workload) -> Vec<Violation> {
    let mut violations = judge(SAFETY.iter().chain(LIVENESS), evidence);
    if plan.judge == Judge::Undisturbed {
        violations.extend(UNDISTURBED.judge(evidence));
    }
    violations.extend(record.violations.iter().cloned().map(exited));
    let failed = &workload.told().failed;
    violations.extend(failed.iter().map(|(run, state)| Violation {
        checker: "L2",
        promise: "a run whose tasks all exit with 0 succeeds",
        detail: format!("run {run} is {state}"),
    }));
    for count in report::count(&record.done) {
        if count.hit == 0 {
            violations.push(harness(format!("no {} came while work was under way", count.fault)));
        }
    }
    if record.done.is_empty() {
        violations.push(harness("no fault was injected".to_owned()));
    }
    violations
}

fn exited(detail: String) -> Violation {
    Violation { checker: "P6", promise: "a node never exits by itself, and ends well when asked", detail }
}

fn harness(detail: String) -> Violation {
    Violation { checker: "harness", promise: "a run that proves nothing is no pass", detail }
}

fn summary(
    config: &ChaosConfig,
    (evidence, record, changes): (&Evidence, &Record, Changes),
    workload: &Workload,
    violations: Vec<Violation>,
    took: Duration,
) -> Report {
    let told = workload.told();
    let span = |duration: &Duration| Span(duration.as_micros() as u64);
    let recovery =
        |from: fn(&Loss) -> Timestamp| Quantiles::of(next_dispatches(&record.losses, &evidence.ledger, from));
    Report {
        plan: config.plan.name.clone(),
        seed: config.seed,
        masters: config.plan.masters,
        workers: config.plan.workers,
        minutes: took.as_secs_f64() / 60.0,
        violations,
        faults: report::count(&record.done),
        injected: record.done.len() as u64,
        runs_acknowledged: told.starts.values().filter_map(workload::acknowledged_at).count(),
        attempts_started: evidence.ledger.iter().filter(|line| line.mark == Mark::Start).count(),
        recovery: recovery(|loss| loss.at),
        recovery_with_majority: recovery(|loss| loss.majority),
        again: again::times(&record.done, &evidence.ledger),
        elections: changes.terms,
        workers_lost: changes.lives,
        cuts_relayed: record.relayed,
        calls: Quantiles::of(told.latencies.iter().map(span)),
        calls_failed: told.errors,
        directory: config.directory.display().to_string(),
    }
}
