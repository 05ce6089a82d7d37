//! `hortator limit …`: how much of something named may be in use at a time, who holds it and who waits. Must not know who
//! decides that.

use std::fmt::Write as _;

use hortator_core::id::Name;
use hortator_proto::api::{LimitDetail, LimitUser, LimitView};

use crate::api::body::{ChangedBody, LimitBody, Page};
use crate::cli::args::limit::{LimitSetArgs, LimitVerb};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output, short};
use crate::cli::reference::name;
use crate::cli::session::Session;

pub async fn limit(session: &Session, verb: LimitVerb) -> Result<Exit, Error> {
    match verb {
        LimitVerb::List { all_namespaces } => list(session, all_namespaces).await,
        LimitVerb::Show(args) => {
            let path = path(&args.name, &session.namespace)?;
            let detail: LimitDetail = session.client.ask(Call::get(&path)).await?;
            session.output.one(&detail, &full(&detail.view), || sheet(&detail, &session.output))?;
            Ok(Exit::Success)
        }
        LimitVerb::Set(args) => set(session, args).await,
        LimitVerb::Delete(args) => {
            let path = path(&args.name, &session.namespace)?;
            let changed: ChangedBody = session.client.ask(Call::delete(path)).await?;
            let words = format!("limit {} is deleted; tasks that want it wait\n", changed.name);
            session.output.one(&changed, &changed.name, || words)?;
            Ok(Exit::Success)
        }
    }
}

/// `KEY` or `NAMESPACE/KEY`.
fn path(text: &str, namespace: &Name) -> Result<String, Error> {
    let (namespace, key) = match text.split_once('/') {
        Some((namespace, key)) => (name(namespace)?, name(key)?),
        None => (namespace.clone(), name(text)?),
    };
    Ok(format!("/limits/{namespace}/{key}"))
}

async fn list(session: &Session, all_namespaces: bool) -> Result<Exit, Error> {
    let namespace = (!all_namespaces).then(|| session.namespace.to_string());
    let (mut limits, mut cursor) = (Vec::new(), None);
    loop {
        let pairs = [("namespace", namespace.clone()), ("limit", Some("1000".into())), ("cursor", cursor)];
        let page: Page<LimitView> =
            session.client.ask(Call::get(format!("/limits{}", query(&pairs)))).await?;
        limits.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    session.output.list(&limits)?;
    if limits.is_empty() {
        session.output.hint("no limits; set one with: hortator limit set KEY N");
    }
    Ok(Exit::Success)
}

async fn set(session: &Session, args: LimitSetArgs) -> Result<Exit, Error> {
    let path = path(&args.name, &session.namespace)?;
    let call = Call::post_json(path, &LimitBody { max: args.max });
    let changed: ChangedBody = session.client.ask(call).await?;
    session.output.one(&changed, &changed.name, || format!("limit {} is {}\n", changed.name, args.max))?;
    Ok(Exit::Success)
}

fn full(view: &LimitView) -> String {
    format!("{}/{}", view.namespace, view.name)
}

fn sheet(detail: &LimitDetail, output: &Output) -> String {
    let view = &detail.view;
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<10} {value}");
    };
    line("limit", full(view));
    line("most", view.max.map_or("nobody has set it".to_owned(), |max| max.to_string()));
    line("in use", format!("{} by {}", view.used, view.holders));
    if let Some(by) = &view.by {
        line("set", format!("{} by {by}", output.time(view.set_at)));
    }
    for (place, holder) in detail.holders.iter().enumerate() {
        let since = holder.since.map_or(String::new(), |at| short(Output::time_now().since(at)));
        line(if place == 0 { "held by" } else { "" }, format!("{} for {since}", user(holder)));
    }
    more(&mut line, view.holders, detail.holders.len());
    for (place, waiter) in detail.waiters.iter().enumerate() {
        line(if place == 0 { "waiting" } else { "" }, user(waiter));
    }
    more(&mut line, view.waiters, detail.waiters.len());
    text
}

fn more(line: &mut impl FnMut(&str, String), all: u64, shown: usize) {
    let hidden = all.saturating_sub(shown as u64);
    if hidden > 0 {
        line("", format!("and {hidden} more"));
    }
}

fn user(user: &LimitUser) -> String {
    let workflow = user.workflow.as_ref().map_or(String::new(), |workflow| format!(" of {workflow}"));
    let task = user.task.as_ref().map_or_else(|| format!("#{}", user.key.task), Name::to_string);
    let item = if user.key.item > 0 { format!("[{}]", user.key.item) } else { String::new() };
    format!("{}/{task}{item}{workflow}, {}", user.run, user.weight)
}

impl Listed for LimitView {
    const HEADERS: &'static [&'static str] = &["NAMESPACE", "LIMIT", "USED", "MOST", "HOLDERS", "WAITING"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.namespace.to_string().into(),
            self.name.to_string().into(),
            self.used.to_string().into(),
            self.max.map_or(output.nothing(), |max| max.to_string()).into(),
            self.holders.to_string().into(),
            self.waiters.to_string().into(),
        ]
    }

    fn name(&self) -> String {
        full(self)
    }
}
