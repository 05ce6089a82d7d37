//! Small definitions from a few words, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::{
    Backoff, Concurrency, Definition, Delivery, Foreach, Graph, OnFailure, Priority, Retry, RunIf, Task,
    TaskKind, WhenFull,
};
use hortator_core::event::{Event, Origin};
use hortator_core::id::{Name, RunId, TaskIndex, WorkflowName};
use hortator_core::limit::Want;
use hortator_core::run::RunHeader;
use hortator_core::time::{Span, Timestamp};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn retry(max: u32, delay: Span) -> Retry {
    Retry { max, delay, backoff: Backoff::Fixed, max_delay: Span::from_secs(600), jitter_percent: 0 }
}

pub(crate) fn task(id: &str) -> Task {
    Task {
        id: name(id),
        title: None,
        kind: TaskKind::Noop,
        group: name("default"),
        priority: Priority::Normal,
        slots: 1,
        resources: Vec::new(),
        place: Default::default(),
        limits: Vec::new(),
        retry: retry(0, Span::ZERO),
        timeout: None,
        run_if: RunIf::AllSuccess,
        delivery: Delivery::AtLeastOnce,
        when: None,
        env: BTreeMap::new(),
        outputs: BTreeMap::new(),
        foreach: None,
    }
}

pub(crate) fn foreach(items: usize, parallel: Option<u32>) -> Option<Foreach> {
    Some(Foreach { items: vec![serde_json::Value::Null; items], r#as: "item".into(), parallel })
}

pub(crate) fn definition(
    on_failure: OnFailure,
    tasks: Vec<Task>,
    needs: &[Vec<TaskIndex>],
) -> Arc<Definition> {
    Arc::new(Definition {
        name: WorkflowName { namespace: name("test"), name: name("flow") },
        title: None,
        description: None,
        labels: BTreeMap::new(),
        inputs: Vec::new(),
        priority: Priority::Normal,
        on_failure,
        schedules: Vec::new(),
        concurrency: Concurrency { runs: None, when_full: WhenFull::Queue },
        tasks,
        graph: Graph::new(needs),
    })
}

/// Tasks separated by `;`, each `id: parents | words`, where a word is a `run_if` rule, `when=true|false|error`,
/// `foreach=ITEMS` or `foreach=ITEMS/PARALLEL`, `retry=MAX` (delay 10 s), `limit=NAME`, `high`, `low` or a worker
/// group `@name`. A first entry `stop` is `on_failure: stop`.
pub(crate) fn parse(text: &str) -> Arc<Definition> {
    let mut entries: Vec<&str> = text.split(';').map(str::trim).collect();
    let on_failure = if entries[0] == "stop" {
        entries.remove(0);
        OnFailure::Stop
    } else {
        OnFailure::Continue
    };
    let id = |entry: &&str| entry.split([':', '|']).next().unwrap().trim().to_string();
    let ids: Vec<String> = entries.iter().map(id).collect();
    let (mut tasks, mut needs) = (Vec::new(), Vec::new());
    for entry in &entries {
        let (head, words) = entry.split_once('|').unwrap_or((entry, ""));
        let parents = head.split_once(':').map_or("", |(_, parents)| parents);
        let index =
            |parent: &str| ids.iter().position(|id| id == parent).expect("a known parent") as TaskIndex;
        needs.push(parents.split_whitespace().map(index).collect());
        let mut task = task(&id(entry));
        words.split_whitespace().for_each(|word| apply(&mut task, word));
        tasks.push(task);
    }
    definition(on_failure, tasks, &needs)
}

fn apply(task: &mut Task, word: &str) {
    match word.split_once('=') {
        Some(("when", condition)) => task.when = Some(condition.into()),
        Some(("foreach", items)) => {
            let (items, parallel) = items.split_once('/').map_or((items, None), |(a, b)| (a, Some(b)));
            task.foreach = foreach(items.parse().unwrap(), parallel.map(|text| text.parse().unwrap()));
        }
        Some(("retry", max)) => task.retry = retry(max.parse().unwrap(), Span::from_secs(10)),
        Some(("limit", limit)) => task.limits.push(Want { key: name(limit), weight: 1 }),
        None if word == "high" => task.priority = Priority::High,
        None if word == "low" => task.priority = Priority::Low,
        None if word.starts_with('@') => task.group = name(&word[1..]),
        None => task.run_if = serde_json::from_value(word.into()).expect("a rule"),
        Some(_) => panic!("unknown word {word}"),
    }
}

pub(crate) fn header() -> RunHeader {
    let created = Event::RunCreated {
        workflow: WorkflowName { namespace: name("test"), name: name("flow") },
        version: 1,
        inputs: BTreeMap::new(),
        priority: Priority::Normal,
        by: "ann".into(),
        key: None,
        origin: Origin::Asked,
    };
    RunHeader::created(RunId::new(1, 1, 1), &created, Timestamp(0)).unwrap()
}
