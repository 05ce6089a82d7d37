//! What may come next on a line: commands and flags as clap knows them, and names that live in the cluster now.
//! Must not ask the cluster; the names are brought to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Command;
use reedline::{Completer, CompletionResult, Span, Suggestion};

/// Words of the shell itself, that clap does not know.
const OWN: [&str; 8] = ["at", "exit", "now", "step", "time", "use", "watch", "write"];
/// Suggestions of one line.
const SUGGESTIONS_MAX: usize = 100;

/// Names of things, as they were when last asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) masters: Vec<String>,
    pub(super) workers: Vec<String>,
    pub(super) workflows: Vec<String>,
    /// Newest first.
    pub(super) runs: Vec<String>,
    /// The busiest.
    pub(super) actors: Vec<String>,
    /// Groups that each master leads.
    pub(super) leads: BTreeMap<String, usize>,
}

/// Shared by the prompt, which completes, and the shell, which refreshes.
pub(super) type SharedNames = Arc<Mutex<Names>>;

pub(super) struct Words {
    tree: Command,
    names: SharedNames,
}

impl Words {
    pub(super) fn new(tree: Command, names: SharedNames) -> Words {
        Words { tree, names }
    }
}

impl Completer for Words {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let before = line.get(..position).unwrap_or(line);
        let start = before.rfind([' ', ';', '|']).map_or(0, |place| place + 1);
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let span = Span::new(start, position);
        let suggest = |value| Suggestion { value, span, append_whitespace: true, ..Suggestion::default() };
        let found: Vec<Suggestion> = complete(&self.tree, &names, before).into_iter().map(suggest).collect();
        CompletionResult::fresh(found)
    }
}

/// Words that may stand at the end of the line in place of the one that was begun.
pub(super) fn complete(tree: &Command, names: &Names, before: &str) -> Vec<String> {
    let command = before.rsplit(';').next().unwrap_or("");
    let begun = command.rsplit([' ', '|']).next().unwrap_or("");
    let fits = |word: &String| word.starts_with(begun);
    if let Some((_, filter)) = command.rsplit_once('|') {
        let first = filter.split_whitespace().count() <= usize::from(!begun.is_empty());
        let filters = ["grep", "json"].into_iter().filter(|_| first);
        return filters.map(str::to_owned).filter(fits).collect();
    }
    let mut given: Vec<&str> = command.split_whitespace().collect();
    if !begun.is_empty() {
        given.pop();
    }
    if given == ["use"] {
        return names.masters.iter().cloned().chain(["any".to_owned()]).filter(fits).collect();
    }
    // What is watched or timed is a command of its own.
    if matches!(given.first(), Some(&("watch" | "time"))) {
        given.remove(0);
    }
    let (mut at, mut path) = (tree, Vec::new());
    for word in &given {
        match at.find_subcommand(word) {
            Some(below) => {
                at = below;
                path.push(*word);
            }
            None => break,
        }
    }
    let mut words: Vec<String> = Vec::new();
    if path.len() == given.len() {
        words.extend(at.get_subcommands().map(|below| below.get_name().to_owned()));
        if path.is_empty() {
            words.extend(OWN.map(str::to_owned));
        }
    }
    if begun.starts_with('-') {
        words.extend(at.get_arguments().filter_map(|flag| Some(format!("--{}", flag.get_long()?))));
    } else if !path.is_empty() && !at.has_subcommands() {
        words.extend(live(names, &path, given.last().copied().unwrap_or("")));
    }
    words.retain(fits);
    words.sort_unstable();
    words.dedup();
    words.truncate(SUGGESTIONS_MAX);
    words
}

/// Names that make sense after these commands.
fn live(names: &Names, path: &[&str], last: &str) -> Vec<String> {
    let runs = || {
        let latest = names.workflows.iter().map(|workflow| format!("{workflow}@latest"));
        latest.chain(names.runs.iter().cloned()).collect()
    };
    match path {
        ["raft", ..] if ["--to", "--lose"].contains(&last) => names.masters.clone(),
        ["raft", ..] => Vec::new(),
        ["actor", ..] | ["mailbox", "peek"] | ["debug", "actor" | "messages" | "restart"] => {
            names.actors.clone()
        }
        ["cluster", "remove"] => names.masters.clone(),
        ["worker", ..] => names.workers.clone(),
        ["workflow", ..] | ["start" | "ps" | "runs"] | ["run", "start"] => names.workflows.clone(),
        ["diff"] if last != "--object" => Vec::new(),
        ["run", ..] | ["diff" | "explain" | "logs" | "cancel" | "retry"] => runs(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_flags_and_names() {
        let tree = super::super::tree();
        let text = |text: &str| text.to_owned();
        let names = Names {
            masters: vec![text("n1"), text("n2")],
            workers: vec![text("w1")],
            workflows: vec![text("etl"), text("hello")],
            runs: vec![text("01ABC")],
            actors: vec![text("Shard:shard-1"), text("Gateway")],
            leads: BTreeMap::new(),
        };
        for (line, expected) in [
            ("stat", &["status"][..]),
            ("worker d", &["drain"]),
            ("worker drain ", &["w1"]),
            ("status; worker show w", &["w1"]),
            ("raft t", &["transfer"]),
            ("raft transfer 1 --to ", &["n1", "n2"]),
            ("raft transfer 1 --t", &["--to"]),
            ("explain ", &["01ABC", "etl@latest", "hello@latest"]),
            ("run show h", &["hello@latest"]),
            ("start e", &["etl"]),
            ("watch work", &["worker", "workers", "workflow"]),
            ("runs | g", &["grep"]),
            ("runs | grep a", &[]),
            ("mailb", &["mailbox", "mailboxes"]),
            ("actor restart S", &["Shard:shard-1"]),
            ("mailbox peek ", &["Gateway", "Shard:shard-1"]),
            ("use n", &["n1", "n2"]),
            ("time stat", &["status"]),
            ("doc", &["doctor"]),
            ("diff 1:2 1:9 ", &[]),
            ("diff 1:2 1:9 --object e", &["etl@latest"]),
            ("rebalance --d", &["--dry-run"]),
            ("nothing ", &[]),
        ] {
            assert_eq!(complete(&tree, &names, line), expected, "{line:?}");
        }
    }
}
