//! A decider that panics: its run goes into quarantine, its attempts are ended by their workers' words, others go on, and
//! a cancel ends it.

use std::time::Duration;

use hortator_actors::caught::{Decides, is_deciding, trip};
use hortator_core::id::RunId;
use hortator_core::reason::Reason;
use hortator_proto::api::{Command, Query, Request, Response, RunView};
use hortator_proto::frame::NodeId;
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{What, World, fold_equals_rows, rows_after, world};

const TWO: &str = "
tasks:
  - { id: hangs, shell: { script: hang } }
  - { id: short, shell: { script: run 2000 } }
  - { id: later, needs: [short], noop: {} }
";

/// From now on every decision that these are about fails; the test's thread is the node's.
pub(crate) fn break_decisions(fails: impl Fn(&Decides) -> bool + 'static) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_deciding() {
            report(panic);
        }
    }));
    trip::when(fails);
}

async fn quarantined(world: &World, through: u64, run: RunId) -> RunView {
    for _ in 0..400 {
        let view = world.view(through, run).await.expect("there");
        if view.state == "quarantined" {
            return view;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("never quarantined: {:?}", world.view(through, run).await)
}

async fn ends_by_a_cancel(world: &World, run: RunId) {
    assert_eq!(world.cancel(1, run).await, "cancelling");
    assert_eq!(world.finished(1, run).await, "cancelled");
}

/// Breaks what `fails` says of the run once both its processes run.
fn check(seed: u64, fails: impl Fn(RunId) -> Box<dyn Fn(&Decides) -> bool> + 'static) {
    world(seed, 1, 2, async |world| {
        let (workflow, definition) = world.apply(1, TWO).await;
        let run = world.try_start(1, &workflow, "one").await.expect("started");
        let other = world.try_start(1, &workflow, "two").await.expect("started");
        let started = || world.deeds().iter().filter(|deed| deed.what == What::Started).count();
        world.until("four processes run", || started() == 4).await;
        sleep(Duration::from_millis(100)).await;
        break_decisions(fails(run));
        let view = quarantined(&world, 1, run).await;
        let reason = view.reason.expect("a reason");
        assert!(
            reason.contains("H9010") && reason.contains("R130") && reason.contains("on purpose"),
            "{reason}"
        );
        let answer = world.ask(1, Query::Explain { run, task: None }).await;
        let Ok(Response::Explain(explained)) = answer else { panic!("{answer:?} answers explain") };
        let codes: Vec<&str> = explained.run_reasons.iter().map(Reason::code).collect();
        assert_eq!((explained.run_state.as_str(), &codes[..]), ("quarantined", &["R130"][..]));
        // Its attempts end by their worker's word; nothing new starts; the other run goes on.
        let killed = || world.deeds().iter().any(|deed| deed.what == What::Killed);
        world.until("what hangs is killed", killed).await;
        sleep(Duration::from_secs(5)).await;
        let others = world.tasks(1, other).await;
        let word = |id: &str| others.iter().find(|task| task.id.as_str() == id).expect("known").state.clone();
        assert_eq!(
            (word("short"), word("later"), word("hangs")),
            ("succeeded".into(), "succeeded".into(), "dispatched".into())
        );
        assert_eq!(started(), 4);
        assert_eq!(world.view(1, run).await.expect("there").state, "quarantined");
        // It stays so at the next leader, whose deciders may be mended.
        world.crash_master(1, Crash::Keep).await;
        trip::never();
        world.start_master(1).await;
        world.wait_leader(1, 1, &[]).await;
        assert_eq!(quarantined(&world, 1, run).await.id, run);
        ends_by_a_cancel(&world, run).await;
        assert_eq!(world.cancel(1, other).await, "cancelling");
        assert_eq!(world.finished(1, other).await, "cancelled");
        world.crash_master(1, Crash::Keep).await;
        world.net.leave(&NodeId::Master(1));
        let (rows, _group) = rows_after(&world.disk(1));
        fold_equals_rows(&rows, run, &definition);
    });
}

#[test]
fn a_run_whose_decider_panics_is_quarantined() {
    check(501, |run| Box::new(move |decides| *decides == Decides::Run(run)));
}

#[test]
fn a_run_with_a_task_run_whose_decider_panics_is_quarantined() {
    check(502, |run| Box::new(move |decides| matches!(decides, Decides::TaskRun(id) if id.run == run)));
}

fn cancel_while_deciders_panic(seed: u64) {
    world(seed, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, TWO).await;
        let run = world.try_start(1, &workflow, "one").await.expect("started");
        let started = || world.deeds().iter().filter(|deed| deed.what == What::Started).count();
        world.until("both run", || started() == 2).await;
        break_decisions(|decides| !matches!(decides, Decides::Workflow(_)));
        quarantined(&world, 1, run).await;
        ends_by_a_cancel(&world, run).await;
        trip::never();
        let command = Command::RetryFailed { run, by: "test".into() };
        let answer = world.request(1, Request::Command(command)).await;
        assert!(matches!(answer, Ok(Response::Accepted { .. })), "{answer:?}");
        world.until("it runs again", || started() >= 3).await;
        assert_eq!(world.view(1, run).await.expect("there").state, "running");
    });
}

/// With some seeds the last attempt ends before the cancel comes, with others after it.
#[test]
fn a_cancel_ends_it_while_deciders_still_panic() {
    (503..523).for_each(cancel_while_deciders_panic);
}

#[test]
fn a_workflow_whose_decider_panics_refuses_with_a_code() {
    world(504, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, TWO).await;
        break_decisions(|decides| matches!(decides, Decides::Workflow(_)));
        let refused = world.try_start(1, &workflow, "one").await.expect_err("no decision");
        assert_eq!(refused.code, "H9010");
        trip::never();
        world.try_start(1, &workflow, "one").await.expect("nothing was folded");
    });
}
