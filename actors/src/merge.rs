//! Puts the answers of several shards to one request together. Any problem among them is the answer: a list with a
//! shard missing would be a wrong list.

use hortator_proto::api::{LimitView, Problem, ProblemKind, Query, Request, Response, ScheduleView};

pub(crate) fn merge(request: &Request, parts: Vec<Response>) -> Response {
    let limit = match request {
        Request::Query(
            Query::Runs { limit, .. }
            | Query::Workflows { limit, .. }
            | Query::Schedules { limit, .. }
            | Query::Limits { limit, .. },
        ) => *limit as usize,
        Request::Query(_) | Request::Command(_) => usize::MAX,
    };
    let (mut runs, mut workflows, mut schedules) = (Vec::new(), Vec::new(), Vec::new());
    let mut limits: Option<Vec<LimitView>> = None;
    let (mut lists_workflows, mut lists_schedules) = (false, false);
    for part in parts {
        match part {
            Response::Runs(views) => runs.extend(views),
            Response::Workflows(views) => {
                lists_workflows = true;
                workflows.extend(views);
            }
            Response::Schedules(views) => {
                lists_schedules = true;
                schedules.extend(views);
            }
            Response::Limits(views) => limits.get_or_insert_default().extend(views),
            Response::Problem(problem) => return Response::Problem(problem),
            other => {
                let detail = format!("a shard gave {other:?} to a list");
                return Response::Problem(Problem::new(ProblemKind::Internal, "H9001", detail));
            }
        }
    }
    if let Some(mut limits) = limits {
        limits.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        limits.truncate(limit);
        return Response::Limits(limits);
    }
    if lists_workflows {
        workflows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        workflows.truncate(limit);
        return Response::Workflows(workflows);
    }
    if lists_schedules {
        let key = |view: &ScheduleView| (view.namespace.clone(), view.workflow.clone(), view.id.clone());
        schedules.sort_by_cached_key(key);
        schedules.truncate(limit);
        return Response::Schedules(schedules);
    }
    runs.sort_by_key(|view| std::cmp::Reverse(view.id));
    runs.truncate(limit);
    Response::Runs(runs)
}
