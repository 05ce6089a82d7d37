//! Puts the answers of several shards to one request together. Any problem among them is the answer: a list with a
//! shard missing would be a wrong list.

use hortator_proto::api::{Problem, ProblemKind, Query, Request, Response};

pub(crate) fn merge(request: &Request, parts: Vec<Response>) -> Response {
    let limit = match request {
        Request::Query(Query::Runs { limit, .. } | Query::Workflows { limit, .. }) => *limit as usize,
        Request::Query(_) | Request::Command(_) => usize::MAX,
    };
    let (mut runs, mut workflows) = (Vec::new(), Vec::new());
    let mut lists_workflows = false;
    for part in parts {
        match part {
            Response::Runs(views) => runs.extend(views),
            Response::Workflows(views) => {
                lists_workflows = true;
                workflows.extend(views);
            }
            Response::Problem(problem) => return Response::Problem(problem),
            other => {
                let detail = format!("a shard gave {other:?} to a list");
                return Response::Problem(Problem::new(ProblemKind::Internal, "H9001", detail));
            }
        }
    }
    if lists_workflows {
        workflows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        workflows.truncate(limit);
        return Response::Workflows(workflows);
    }
    runs.sort_by_key(|view| std::cmp::Reverse(view.id));
    runs.truncate(limit);
    Response::Runs(runs)
}
