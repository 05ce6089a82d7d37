//! Whether each Raft group has a leader, enough voters behind it, and replicas that keep up.

use std::collections::{BTreeMap, BTreeSet};

use hortator_proto::api::RaftGroupView;

use super::Finding;
use super::evidence::{Answer, Evidence};

/// A follower in touch lacks a few entries.
const LAG_MAX: u64 = 10_000;

/// Of each group, what its leader says; nothing where nobody that was asked leads it.
fn leaders(evidence: &Evidence) -> BTreeMap<u32, Option<&RaftGroupView>> {
    let mut found: BTreeMap<u32, Option<&RaftGroupView>> = BTreeMap::new();
    for group in evidence.told().flat_map(|(_, inside)| &inside.raft.groups) {
        let known = found.entry(group.group).or_default();
        if group.role == "leader" && known.is_none_or(|known| known.term < group.term) {
            *known = Some(group);
        }
    }
    found
}

pub(super) fn quorum(evidence: &Evidence) -> Vec<Finding> {
    let leaders = leaders(evidence);
    let mut found = Vec::new();
    let mut spare = BTreeSet::new();
    for (group, leader) in &leaders {
        match leader {
            Some(leader) => {
                let live = 1 + leader.peers.iter().filter(|peer| peer.voter && peer.live).count();
                let (voters, needed) = (leader.voters.len(), leader.voters.len() / 2 + 1);
                if live < needed {
                    let what = format!(
                        "group {group}: its leader hears {live} of {voters} voters, {needed} are needed"
                    );
                    found.push(Finding::problem("quorum", what, RESTORE));
                } else if live == needed && voters > live {
                    let silent: Vec<String> = leader
                        .peers
                        .iter()
                        .filter(|peer| peer.voter && !peer.live)
                        .map(|peer| evidence.name(peer.master))
                        .collect();
                    let what = format!(
                        "group {group}: {live} of {voters} voters are live without {}, so none more may be lost",
                        silent.join(", ")
                    );
                    found.push(Finding::problem("quorum", what, RESTORE));
                } else {
                    spare.insert(live - needed);
                }
            }
            None => found.extend(unled(evidence, *group)),
        }
    }
    if found.is_empty() {
        let masters = match spare.first() {
            Some(0) => "none of their masters may be lost".to_owned(),
            Some(1) => "1 master may be lost".to_owned(),
            Some(count) => format!("{count} masters may be lost"),
            None => "their leaders were not asked".to_owned(),
        };
        found.push(Finding::ok(
            "quorum",
            format!("{} groups have a leader and a quorum; {masters}", leaders.len()),
        ));
    }
    found
}

const RESTORE: &str = "start the masters that are down, or replace them one by one: hortator cluster remove, then \
                       hortator cluster add master";

/// Nobody that answered leads it: it may be led by one that could not be asked.
fn unled(evidence: &Evidence, group: u32) -> Option<Finding> {
    let views =
        || evidence.told().flat_map(|(_, inside)| &inside.raft.groups).filter(|view| view.group == group);
    let follows = |id: u64| {
        let master = evidence.masters.iter().find(|master| master.id == id);
        master.is_some_and(|master| matches!(master.answer, Answer::NoAddress))
    };
    if views().any(|view| view.leader.is_some_and(follows)) {
        return None;
    }
    let voters = views().map(|view| view.voters.len()).max().unwrap_or(0);
    let answer = views().count();
    let what = format!(
        "group {group} has no leader: {answer} of its {voters} voters answer, {} are needed",
        voters / 2 + 1
    );
    Some(Finding::problem("quorum", what, RESTORE))
}

/// Replicas that have stopped, or that lack much.
pub(super) fn replicas(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for (master, inside) in evidence.told() {
        for group in &inside.raft.groups {
            if let Some(why) = &group.stopped {
                let what =
                    format!("the replica of group {} on {} has stopped: {why}", group.group, master.name);
                let advice = format!(
                    "see its log; a disk that is gone means a new master in place of {}",
                    master.name
                );
                found.push(Finding::problem("replicas", what, advice));
            }
        }
    }
    let mut most = 0;
    for (group, leader) in leaders(evidence) {
        for peer in leader.iter().flat_map(|leader| &leader.peers).filter(|peer| peer.live) {
            let name = evidence.name(peer.master);
            most = most.max(peer.lag);
            if peer.snapshot {
                let what = format!("{name} gets a snapshot of group {group}; it lacks {} entries", peer.lag);
                found.push(Finding::note("replicas", what, "nothing; it votes meanwhile"));
            } else if peer.lag > LAG_MAX {
                let what = format!("{name} lacks {} entries of group {group} (limit {LAG_MAX})", peer.lag);
                let advice = format!("is its disk or its network slow? hortator shell -c 'use {name}; slow'");
                found.push(Finding::problem("replicas", what, advice));
            }
        }
    }
    if found.is_empty() {
        found.push(Finding::ok("replicas", format!("no follower lacks more than {most} entries")));
    }
    found
}
