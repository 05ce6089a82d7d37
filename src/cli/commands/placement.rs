//! `hortator group`, `hortator quota` and `hortator worker why`: how workers are chosen, how much a namespace may hold, and
//! why a worker gets what it gets. Must not know how that is decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hortator_core::dispatch::{Amounts, Metric, Resource, Verdict};
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::api::{ChoiceView, QuotaChange, QuotaView, WorkerGroupView, WorkerWhyView};

use crate::api::body::{ChangedBody, GroupBody, Page};
use crate::cli::args::placement::{GroupSetArgs, GroupVerb, QuotaSetArgs, QuotaVerb};
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output, short};
use crate::cli::session::Session;

pub async fn group(session: &Session, verb: GroupVerb) -> Result<Exit, Error> {
    match verb {
        GroupVerb::List => {
            let page: Page<WorkerGroupView> = session.client.ask(Call::get("/groups")).await?;
            session.output.list(&page.items)?;
            Ok(Exit::Success)
        }
        GroupVerb::Set(args) => set_group(session, args).await,
        GroupVerb::Delete(args) => {
            let call = Call::delete(format!("/groups/{}", args.name));
            let changed: ChangedBody = session.client.ask(call).await?;
            let words = format!("worker group {} is deleted; tasks that want it wait\n", changed.name);
            session.output.one(&changed, &changed.name, || words)?;
            Ok(Exit::Success)
        }
    }
}

async fn set_group(session: &Session, args: GroupSetArgs) -> Result<Exit, Error> {
    let mut thresholds = BTreeMap::new();
    for text in &args.threshold {
        let (metric, limit) = threshold(text)?;
        thresholds.insert(metric, limit);
    }
    let body = GroupBody {
        policy: args.policy,
        ageing: args.ageing.map(|span| span.to_string()),
        slow_start: args.slow_start.map(|span| span.to_string()),
        thresholds,
    };
    let call = Call::post_json(format!("/groups/{}", args.name), &body);
    let changed: ChangedBody = session.client.ask(call).await?;
    session.output.one(&changed, args.name.as_str(), || match changed.changed {
        true => format!("worker group {} is set; it counts from the next placement on\n", args.name),
        false => format!("worker group {} was so already\n", args.name),
    })?;
    Ok(Exit::Success)
}

fn threshold(text: &str) -> Result<(Metric, f64), Error> {
    let parts = text.split_once('=');
    let metric = |word: &str| Metric::ALL.into_iter().find(|metric| metric.name() == word);
    let read = parts.and_then(|(word, limit)| Some((metric(word)?, limit.parse::<f64>().ok()?)));
    read.ok_or_else(|| {
        let words: Vec<&str> = Metric::ALL.into_iter().map(Metric::name).collect();
        let words = words.join(", ");
        Error::usage(format!(
            "{text:?} is no threshold; write METRIC=PERCENT with one of {words}; 0 means none"
        ))
    })
}

pub async fn quota(session: &Session, verb: QuotaVerb) -> Result<Exit, Error> {
    match verb {
        QuotaVerb::List => {
            let page: Page<QuotaView> = session.client.ask(Call::get("/quotas")).await?;
            session.output.list(&page.items)?;
            Ok(Exit::Success)
        }
        QuotaVerb::Set(args) => set_quota(session, args).await,
    }
}

async fn set_quota(session: &Session, args: QuotaSetArgs) -> Result<Exit, Error> {
    let mut change = QuotaChange::new();
    for text in &args.most {
        let (resource, most) = most(text)?;
        change.insert(resource, most);
    }
    let call = Call::post_json(format!("/quotas/{}", args.whose), &change);
    let changed: ChangedBody = session.client.ask(call).await?;
    session.output.one(&changed, args.whose.as_str(), || match changed.changed {
        true => format!("the quota of {} is set; see: hortator quota list\n", args.whose),
        false => format!("the quota of {} was so already\n", args.whose),
    })?;
    Ok(Exit::Success)
}

/// `gpu=2`, `cpu=1.5`, `memory=64GiB`, `slots=none`.
fn most(text: &str) -> Result<(String, Option<u64>), Error> {
    let wrong = || {
        Error::usage(format!(
            "{text:?} is no part of a quota; write for example gpu=2, cpu=16, memory=64GiB or slots=none"
        ))
    };
    let (name, amount) = text.split_once('=').ok_or_else(wrong)?;
    let resource: Resource = name.parse().map_err(|_| wrong())?;
    let most = match amount {
        "none" => None,
        amount => Some(resource.parse_amount(amount).ok_or_else(wrong)?),
    };
    Ok((resource.to_string(), most))
}

/// `hortator worker why NAME`
pub async fn why(session: &Session, name: &Name) -> Result<Exit, Error> {
    let view: WorkerWhyView = session.client.ask(Call::get(format!("/workers/{name}/why"))).await?;
    let output = &session.output;
    output.one(&view, name.as_str(), || sheet(&view, output))?;
    Ok(Exit::Success)
}

fn sheet(view: &WorkerWhyView, output: &Output) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<10} {value}");
    };
    line("worker", view.name.to_string());
    line("has", amounts(&view.total));
    line(
        "reserved",
        format!("{} by {} attempts and {} grants", amounts(&view.reserved), view.attempts, view.grants),
    );
    line("free", amounts(&view.free));
    line("speed", format!("attempts take {:.2} times as long as usual", view.slowness));
    if view.choices.is_empty() {
        line("choices", "none yet, under this membership leader".to_owned());
    }
    for choice in &view.choices {
        line("", format!("{}  {}", output.time(Some(choice.at)), said(choice)));
    }
    text
}

fn said(ChoiceView { run, task, verdict, .. }: &ChoiceView) -> String {
    let what = format!("{run} task #{}", task.task);
    match verdict {
        Verdict::Chosen { score, next_best, candidates } => {
            let next = next_best.map_or("no other".to_owned(), |next| format!("next best {next:.3}"));
            format!("chosen for {what}: score {score:.3}, {next}, of {candidates}")
        }
        Verdict::Outscored { score, best } => format!("not for {what}: score {score:.3}, best {best:.3}"),
        Verdict::Refused(reason) => {
            format!("not for {what}: {} {}: {}", reason.code(), reason.name(), reason.text())
        }
    }
}

fn amounts(amounts: &Amounts) -> String {
    let parts: Vec<String> =
        amounts.iter().map(|(resource, amount)| amount_text(&resource, amount)).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn amount_text(resource: &Resource, amount: u64) -> String {
    match resource {
        Resource::Cpu => format!("cpu {}", amount as f64 / 1000.0),
        Resource::Memory | Resource::Disk if amount >= 1024 => {
            format!("{resource} {:.1}GiB", amount as f64 / 1024.0)
        }
        Resource::Memory | Resource::Disk => format!("{resource} {amount}MiB"),
        _ => format!("{resource} {amount}"),
    }
}

/// With the resource that asks for them, unless that is slots as usual.
fn wanted_for(workers: u64, view: &WorkerGroupView) -> String {
    match view.wanted_by.as_deref() {
        Some(by) if by != "slots" => format!("{workers} ({by})"),
        _ => workers.to_string(),
    }
}

impl Listed for WorkerGroupView {
    const HEADERS: &'static [&'static str] = &[
        "GROUP",
        "POLICY",
        "WORKERS",
        "WANTED",
        "SLOTS",
        "WAITING",
        "OLDEST",
        "REASONS",
        "AGEING",
        "THRESHOLDS",
    ];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let since = |at: Timestamp| short(Output::time_now().since(at));
        let reasons: Vec<String> =
            self.blocked.iter().map(|one| format!("{}:{}", one.code, one.count)).collect();
        let limits = self.thresholds.iter().map(|(metric, limit)| format!("{}={limit}", metric.name()));
        vec![
            self.name.to_string().into(),
            self.policy.name().to_owned().into(),
            self.workers.to_string().into(),
            self.wanted_workers.map_or(output.nothing(), |wanted| wanted_for(wanted, self)).into(),
            format!("{}/{}", self.slots_used, self.slots).into(),
            self.waiting.to_string().into(),
            self.oldest.map_or(output.nothing(), since).into(),
            reasons.join(",").into(),
            self.ageing.map_or(output.nothing(), |span| span.to_string()).into(),
            limits.collect::<Vec<_>>().join(",").into(),
        ]
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

impl Listed for QuotaView {
    const HEADERS: &'static [&'static str] = &["NAMESPACE", "RESOURCE", "USED", "MOST"];

    fn cells(&self, _: &Output) -> Vec<Field> {
        let parsed = |name: &String| name.parse::<Resource>().ok();
        let used = self.most.keys().filter_map(parsed).map(|resource| self.used.get(&resource).to_string());
        let most = self.most.values().map(u64::to_string);
        let names: Vec<&str> = self.most.keys().map(String::as_str).collect();
        vec![
            self.namespace.to_string().into(),
            names.join("\n").into(),
            used.collect::<Vec<_>>().join("\n").into(),
            most.collect::<Vec<_>>().join("\n").into(),
        ]
    }

    fn name(&self) -> String {
        self.namespace.to_string()
    }
}
