//! `hortator raft verify`: the rows of all masters compared after the same entries. Must not know how a sum is made.

use std::collections::BTreeMap;

use hortator_proto::api::{MasterDetail, SumsView};
use serde::Serialize;

use crate::api::body::{AuditBody, Page};
use crate::cli::client::{Call, Client};
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::session::Session;

/// A master's answers.
struct Heard {
    name: String,
    sums: SumsView,
    /// Of the groups that were read whole.
    audits: Vec<AuditBody>,
}

/// What is known of one group.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub group: u32,
    /// The newest entry for which more than one master keeps a sum.
    pub index: Option<u64>,
    /// The masters with each sum after it.
    pub sums: BTreeMap<String, Vec<String>>,
    /// What reading every row has shown, where something is wrong.
    pub wrong: Vec<String>,
    pub verdict: String,
}

/// Exit 1 when rows differ.
pub(super) async fn verify(session: &Session, group: Option<u32>, deep: bool) -> Result<Exit, Error> {
    let page: Page<MasterDetail> = session.client.ask(Call::get("/cluster/masters")).await?;
    let mut heard: Vec<Heard> = Vec::new();
    let first = hear(&session.client, group, deep).await?;
    let asked = first.sums.id;
    heard.push(first);
    for master in page.items.iter().filter(|master| master.id != asked && master.state != "removed") {
        let Ok(address) = master.api.parse() else {
            session.output.hint(&format!("{} is not compared: it has no API address", master.name));
            continue;
        };
        match hear(&session.client.only(address), group, deep).await {
            Ok(answer) => heard.push(answer),
            Err(error) => session.output.hint(&format!("{} is not compared: {}", master.name, error.detail)),
        }
    }
    let findings = findings(&heard);
    session.output.list(&findings)?;
    match findings.iter().any(|finding| finding.verdict == "DIFFERENT") {
        false => Ok(Exit::Success),
        true => {
            let detail = "rows differ between masters, or from what a master has written";
            Err(Error::new(Exit::Unexpected, "H9040", detail).hint("hortator help H9040"))
        }
    }
}

async fn hear(client: &Client, group: Option<u32>, deep: bool) -> Result<Heard, Error> {
    let mut sums: SumsView = client.ask(Call::get("/cluster/rows")).await?;
    sums.groups.retain(|view| group.is_none_or(|group| view.group == group));
    let mut audits = Vec::new();
    for view in sums.groups.iter().filter(|_| deep) {
        audits.push(client.ask(Call::get(format!("/cluster/rows/{}", view.group))).await?);
    }
    Ok(Heard { name: sums.master.clone(), sums, audits })
}

fn findings(heard: &[Heard]) -> Vec<Finding> {
    let groups = heard.first().map(|first| first.sums.groups.iter().map(|view| view.group).collect());
    let groups: Vec<u32> = groups.unwrap_or_default();
    groups.into_iter().map(|group| finding(group, heard)).collect()
}

fn finding(group: u32, heard: &[Heard]) -> Finding {
    // The masters with each sum, by the entry after which they have it.
    let mut entries: BTreeMap<u64, BTreeMap<u64, Vec<String>>> = BTreeMap::new();
    for one in heard {
        let views = one.sums.groups.iter().filter(|view| view.group == group);
        for sum in views.flat_map(|view| &view.sums) {
            entries.entry(sum.index).or_default().entry(sum.sum).or_default().push(one.name.clone());
        }
    }
    let most = |sums: &BTreeMap<u64, Vec<String>>| sums.values().map(Vec::len).sum::<usize>();
    let all = entries.iter().rev().find(|(_, sums)| most(sums) == heard.len());
    let newest = all.or_else(|| entries.iter().rev().find(|(_, sums)| most(sums) > 1));
    let differs = entries.values().any(|sums| sums.len() > 1);
    let wrong: Vec<String> = heard.iter().flat_map(|one| wrong(group, one)).collect();
    let verdict = match () {
        () if differs || !wrong.is_empty() => "DIFFERENT",
        () if heard.len() == 1 => "alone",
        () if newest.is_some_and(|(_, sums)| most(sums) == heard.len()) => "same",
        () => "apart",
    };
    let hex = |(sum, masters): (&u64, &Vec<String>)| (format!("{sum:016x}"), masters.clone());
    Finding {
        group,
        index: newest.map(|(index, _)| *index),
        sums: newest.map(|(_, sums)| sums.iter().map(hex).collect()).unwrap_or_default(),
        wrong,
        verdict: verdict.into(),
    }
}

fn wrong(group: u32, heard: &Heard) -> Vec<String> {
    let of = |audit: &AuditBody| match audit {
        audit if audit.broken > 0 => Some(format!("{} has {} broken rows", heard.name, audit.broken)),
        audit if audit.kept != audit.counted => {
            Some(format!("the rows of {} are not those that it wrote", heard.name))
        }
        _ => None,
    };
    heard.audits.iter().filter(|audit| audit.group == group).filter_map(of).collect()
}

impl Listed for Finding {
    const HEADERS: &'static [&'static str] = &["GROUP", "VERDICT", "AFTER ENTRY", "SUMS", "WRONG"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let sums = self.sums.iter().map(|(sum, masters)| format!("{sum} {}", masters.join(",")));
        vec![
            self.group.to_string().into(),
            self.verdict.clone().into(),
            self.index.map_or_else(|| output.nothing(), |index| index.to_string()).into(),
            sums.collect::<Vec<_>>().join("; ").into(),
            if self.wrong.is_empty() { output.nothing() } else { self.wrong.join("; ") }.into(),
        ]
    }

    fn name(&self) -> String {
        self.group.to_string()
    }
}

#[cfg(test)]
mod tests {
    use hortator_proto::api::{GroupSumsView, SumView};

    use super::*;

    fn heard(name: &str, sums: &[(u64, u64)], audit: (u64, u64, u64)) -> Heard {
        let sums: Vec<SumView> =
            sums.iter().map(|(index, sum)| SumView { index: *index, sum: *sum }).collect();
        let (broken, kept, counted) = audit;
        let groups = vec![GroupSumsView { group: 1, applied: 0, sums }];
        let audits = vec![AuditBody { group: 1, index: 1, rows: 1, bytes: 1, broken, kept, counted }];
        Heard { name: name.into(), sums: SumsView { master: name.into(), id: 1, groups }, audits }
    }

    #[test]
    fn masters_are_compared_where_they_can_be() {
        let good = (0, 5, 5);
        let one = |name: &str, sums: &[(u64, u64)]| heard(name, sums, good);
        for (heard, verdict, index, wrong) in [
            (vec![one("n1", &[(64, 7)])], "alone", Some(64), 0),
            (vec![one("n1", &[(64, 7), (70, 8)]), one("n2", &[(64, 7)])], "same", Some(64), 0),
            (vec![one("n1", &[(64, 7), (70, 8)]), one("n2", &[(70, 8)])], "same", Some(70), 0),
            (vec![one("n1", &[(64, 7)]), one("n2", &[(128, 8)])], "apart", None, 0),
            (vec![one("n1", &[(64, 7)]), one("n2", &[(64, 9)])], "DIFFERENT", Some(64), 0),
            (vec![one("n1", &[(64, 7), (70, 8)]), one("n2", &[(64, 9), (70, 8)])], "DIFFERENT", Some(70), 0),
            (vec![heard("n1", &[], (1, 5, 5))], "DIFFERENT", None, 1),
            (vec![heard("n1", &[], (0, 5, 6))], "DIFFERENT", None, 1),
        ] {
            let found = &findings(&heard)[0];
            let shape = (found.verdict.as_str(), found.index, found.wrong.len());
            assert_eq!(shape, (verdict, index, wrong), "{found:?}");
        }
    }
}
