//! A forecast in figures: for each worker group how busy it is and how long task runs wait, for each workflow how long its
//! runs take, and which come late. Must not know how the forecast came about.

use std::collections::BTreeMap;

use hortator_core::time::{Span, Timestamp};
use serde::Serialize;

use crate::forecast::{Forecast, RunStory};
use crate::forecast_chaos::ChaosSums;
use crate::forecast_durations::Sources;

/// See the module. Spans are in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Sums {
    pub began: Timestamp,
    /// What is created from then on is not of the plan.
    pub ends: Timestamp,
    pub days: f64,
    /// Where durations come from.
    pub durations: Sources,
    pub runs: usize,
    pub failed: usize,
    /// Not over a day after the plan's end.
    pub open: usize,
    pub task_runs: usize,
    pub late: Vec<Late>,
    /// From the beginning to the end of the last run.
    pub makespan_s: f64,
    pub groups: Vec<GroupSums>,
    pub workflows: Vec<WorkflowSums>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chaos: Option<ChaosSums>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Late {
    pub workflow: String,
    pub at: Timestamp,
    /// None: it did not start at all.
    pub by_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct GroupSums {
    pub group: String,
    pub workers: u64,
    pub slots: u64,
    pub processes: usize,
    /// Of all slots over the planned time, at most 1.
    pub utilisation: f64,
    pub busy_most: u64,
    pub wait_p50_s: f64,
    pub wait_p99_s: f64,
    pub wait_most_s: f64,
    pub waiting_most: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct WorkflowSums {
    pub workflow: String,
    pub runs: usize,
    pub failed: usize,
    pub late: usize,
    pub took_p50_s: f64,
    pub took_most_s: f64,
}

/// How many slots of a group are busy and how many task runs wait for one, from each moment on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Curve(pub Vec<(Timestamp, u64, u64)>);

impl Sums {
    pub fn of(forecast: &Forecast) -> Sums {
        let end = forecast.began.plus(forecast.lasts);
        let last = forecast.runs.iter().filter_map(|run| run.view.finished_at).max().unwrap_or(end);
        let state = |word: &str| forecast.runs.iter().filter(|run| run.view.state == word).count();
        Sums {
            began: forecast.began,
            ends: end,
            durations: forecast.sources.clone(),
            days: forecast.lasts.0 as f64 / 86_400e6,
            runs: forecast.runs.len(),
            failed: state("failed"),
            open: forecast.runs.iter().filter(|run| run.view.finished_at.is_none()).count(),
            task_runs: forecast.runs.iter().map(|run| run.tasks.len()).sum(),
            late: forecast.runs.iter().filter_map(|run| late(run, forecast.late)).collect(),
            makespan_s: seconds(last.since(forecast.began)),
            groups: forecast.bands.iter().map(|band| group(forecast, band.group.as_str())).collect(),
            workflows: workflows(forecast),
            chaos: forecast.chaos.clone(),
        }
    }
}

fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

fn late(run: &RunStory, after: Span) -> Option<Late> {
    let view = &run.view;
    let late = |by_s| {
        Some(Late { workflow: format!("{}/{}", view.namespace, view.workflow), at: view.created_at, by_s })
    };
    match run.first_start() {
        Some(start) if start.since(view.created_at) > after => {
            late(Some(seconds(start.since(view.created_at))))
        }
        Some(_) => None,
        // Whatever needs no process is never late.
        None if view.finished_at.is_none() => late(None),
        None => None,
    }
}

/// The waiting of a group's task runs: from ready to started.
fn waits<'a>(forecast: &'a Forecast, group: &'a str) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
    forecast.runs.iter().flat_map(move |run| {
        let of = move |task: &hortator_proto::api::TaskRunView| {
            let (_, known) = run.definition.task(task.id.as_str())?;
            (known.group.as_str() == group).then_some((task.ready_at?, task.started_at?))
        };
        run.tasks.iter().filter_map(of)
    })
}

fn group(forecast: &Forecast, name: &str) -> GroupSums {
    let bands = forecast.bands.iter().filter(|band| band.group.as_str() == name);
    let (workers, slots) = bands.fold((0, 0), |(workers, slots), band| {
        (workers + band.workers, slots + band.workers * u64::from(band.slots))
    });
    let own: Vec<_> = processes(forecast, name).collect();
    let end = forecast.began.plus(forecast.lasts);
    let within = |start: &Timestamp, stop: &Timestamp| (*stop).min(end).since((*start).max(forecast.began)).0;
    let busy: u64 = own.iter().map(|(start, stop)| within(start, stop)).sum();
    let mut waited: Vec<u64> = waits(forecast, name).map(|(ready, start)| start.since(ready).0).collect();
    waited.sort_unstable();
    let at = |hundredths: usize| match waited.len() {
        0 => 0.0,
        many => waited[(many - 1) * hundredths / 100] as f64 / 1e6,
    };
    let curve = Curve::of(forecast, name);
    GroupSums {
        group: name.to_owned(),
        workers,
        slots,
        processes: own.len(),
        utilisation: busy as f64 / (slots * forecast.lasts.0).max(1) as f64,
        busy_most: curve.0.iter().map(|(_, busy, _)| *busy).max().unwrap_or(0),
        wait_p50_s: at(50),
        wait_p99_s: at(99),
        wait_most_s: at(100),
        waiting_most: curve.0.iter().map(|(_, _, waiting)| *waiting).max().unwrap_or(0),
    }
}

fn processes<'a>(
    forecast: &'a Forecast,
    group: &'a str,
) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
    let of = move |worker: &str| worker.rsplit_once('-').is_some_and(|(own, _)| own == group);
    forecast
        .processes()
        .into_iter()
        .filter(move |(worker, _, _)| of(worker))
        .map(|(_, start, stop)| (start, stop))
}

fn workflows(forecast: &Forecast) -> Vec<WorkflowSums> {
    let mut by_name: BTreeMap<String, Vec<&RunStory>> = BTreeMap::new();
    for run in &forecast.runs {
        by_name.entry(run.definition.name.to_string()).or_default().push(run);
    }
    let sums = by_name.into_iter().map(|(workflow, runs)| {
        let mut took: Vec<u64> =
            runs.iter().filter_map(|run| Some(run.view.finished_at?.since(run.view.created_at).0)).collect();
        took.sort_unstable();
        WorkflowSums {
            workflow,
            runs: runs.len(),
            failed: runs.iter().filter(|run| run.view.state == "failed").count(),
            late: runs.iter().filter(|run| late(run, forecast.late).is_some()).count(),
            took_p50_s: took.get(took.len() / 2).map_or(0.0, |micros| *micros as f64 / 1e6),
            took_most_s: took.last().map_or(0.0, |micros| *micros as f64 / 1e6),
        }
    });
    sums.collect()
}

impl Curve {
    pub fn of(forecast: &Forecast, group: &str) -> Curve {
        let mut steps: Vec<(Timestamp, i64, i64)> = Vec::new();
        for (start, stop) in processes(forecast, group) {
            steps.extend([(start, 1, 0), (stop, -1, 0)]);
        }
        for (ready, start) in waits(forecast, group).filter(|(ready, start)| start > ready) {
            steps.extend([(ready, 0, 1), (start, 0, -1)]);
        }
        // At one moment what ends makes room for what begins.
        steps.sort_unstable();
        let (mut busy, mut waiting) = (0, 0);
        let mut curve: Vec<(Timestamp, u64, u64)> = Vec::new();
        for (at, more_busy, more_waiting) in steps {
            busy += more_busy;
            waiting += more_waiting;
            let point = (at, busy.max(0) as u64, waiting.max(0) as u64);
            match curve.last_mut().filter(|last| last.0 == at) {
                Some(last) => *last = point,
                None => curve.push(point),
            }
        }
        Curve(curve)
    }

    /// The most in each of so many equal parts of the time.
    pub fn most(&self, began: Timestamp, lasts: Span, parts: usize) -> Vec<(u64, u64)> {
        let mut most = vec![(0, 0); parts];
        let (mut now, mut part) = ((0, 0), 0);
        let place =
            |at: Timestamp| (at.since(began).0 as u128 * parts as u128 / lasts.0.max(1) as u128) as usize;
        for (at, busy, waiting) in &self.0 {
            // What was there before goes on until now, in this part too unless it just begins.
            let until = place(Timestamp(at.0 - 1)).min(parts - 1);
            for until_then in &mut most[part..=until.max(part)] {
                *until_then = (until_then.0.max(now.0), until_then.1.max(now.1));
            }
            let here = place(*at);
            if here >= parts {
                return most;
            }
            now = (*busy, *waiting);
            part = here;
            most[here] = (most[here].0.max(now.0), most[here].1.max(now.1));
        }
        for rest in most.iter_mut().skip(part) {
            *rest = (rest.0.max(now.0), rest.1.max(now.1));
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_each_part() {
        let at = |seconds| Timestamp(0).plus(Span::from_secs(seconds));
        let curve = Curve(vec![(at(1), 2, 0), (at(3), 1, 4), (at(9), 0, 0)]);
        let most = curve.most(at(0), Span::from_secs(10), 5);
        assert_eq!(most, [(2, 0), (2, 4), (1, 4), (1, 4), (1, 4)]);
    }
}
