//! What would become of a task that waits if something were different, as clients ask it of a master that does not dispatch
//! and of the one that does.

use std::time::Duration;

use hortator_core::dispatch::{Amounts, Change};
use hortator_core::id::{RunId, TaskKey};
use hortator_core::reason::Reason;
use hortator_proto::api::{Command, Query, Request, Response, WhatIfView, WorkerOrder};
use hortator_proto::frame::WorkerProfile;
use tokio::time::sleep;

use crate::world::{World, name, usual_profile, world};

/// Two slots where one is left, one worker that is cordoned, and one in another group.
const WAITS: &str = "tasks: [{ id: one, resources: { slots: 2 }, shell: { script: run 10 } }]";

async fn asked(world: &World, through: u64, run: RunId, imagined: &Change) -> String {
    let query = Query::WhatIf { run, task: TaskKey { task: 0, item: 0 }, imagined: imagined.clone() };
    let text = |reason: &Reason| format!("{} {}", reason.code(), reason.text());
    match world.ask(through, query).await {
        Ok(Response::WhatIf(WhatIfView::Starts { worker })) => format!("starts on {worker}"),
        Ok(Response::WhatIf(WhatIfView::Follows { behind })) => text(&behind),
        Ok(Response::WhatIf(WhatIfView::Waits { reasons })) => {
            reasons.iter().map(text).collect::<Vec<_>>().join("; ")
        }
        Ok(Response::WhatIf(WhatIfView::Elsewhere { worker, group, groups })) => {
            let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
            format!("{worker} is in {}, not {group}", groups.join(" "))
        }
        Ok(Response::WhatIf(WhatIfView::NotShown)) => "not shown".to_owned(),
        Ok(other) => panic!("{other:?} answers what if"),
        Err(problem) => format!("{} {}", problem.code, problem.detail),
    }
}

fn worker(world: &World, text: &str, slots: u32, group: &str) {
    let profile = WorkerProfile { slots, groups: vec![name(group)], ..usual_profile(text) };
    world.start_worker_as(text, true, profile);
}

#[test]
fn on_a_worker_by_its_name() {
    world(681, 3, 0, async |world| {
        worker(&world, "w1", 1, "default");
        worker(&world, "w2", 4, "default");
        worker(&world, "w3", 4, "gpu");
        sleep(Duration::from_secs(3)).await;
        let cordon = Command::OrderWorker { name: name("w2"), order: WorkerOrder::Cordon, by: "li".into() };
        world.request(1, Request::Command(cordon)).await.expect("cordoned");
        let (workflow, _) = world.apply(1, WAITS).await;
        let run = world.try_start(1, &workflow, "waits").await.expect("started");
        // Longer than an offer takes to be shown.
        sleep(Duration::from_secs(1)).await;
        let on = |text: &str| Change { worker: Some(name(text)), ..Change::default() };
        let small = "R301 no worker in group \"default\" has room: w1 has 1 of 1 slots free, 2 needed (0 task runs there)";
        let cases = [
            (on("w1"), small),
            (Change { requests: Some(vec![Amounts::slots(1)]), ..on("w1") }, "starts on w1"),
            (Change { uncordon: Some(name("w2")), ..on("w2") }, "starts on w2"),
            (on("w3"), "w3 is in gpu, not default"),
            (Change { group: Some(name("gpu")), ..on("w3") }, "starts on w3"),
            (on("w9"), "H3070 there is no worker w9"),
        ];
        for through in 1..=3 {
            for (imagined, expected) in &cases {
                assert_eq!(asked(&world, through, run, imagined).await, *expected, "{through}: {imagined:?}");
            }
            let withheld = asked(&world, through, run, &on("w2")).await;
            assert!(withheld.starts_with("R306 ") && withheld.contains("w2 cordoned since"), "{withheld}");
        }
        let uncordon = WorkerOrder::Uncordon;
        let uncordon = Command::OrderWorker { name: name("w2"), order: uncordon, by: "li".into() };
        world.request(1, Request::Command(uncordon)).await.expect("uncordoned");
        assert_eq!(world.finished(1, run).await, "succeeded", "asking changed nothing");
        assert_eq!(asked(&world, 1, run, &on("w2")).await, "not shown");
    });
}
