//! Rows of worker groups and quotas, as messages and back.
//! Must not judge them.

use hortator_core::dispatch::{GroupConfig, Metric, Metrics, Policy, Resource};
use hortator_core::time::Span;

use super::{QuotaRow, WorkerGroupRow};
use crate::codec::Form;
use crate::convert::id;
use crate::error::Unreadable;
use crate::generated::row as wire;

impl Form for WorkerGroupRow {
    type Message = wire::WorkerGroupRow;
    const WHAT: &'static str = "row of a worker group";

    fn to_message(&self) -> wire::WorkerGroupRow {
        let GroupConfig { policy, ageing, thresholds, slow_start } = self.config;
        wire::WorkerGroupRow {
            name: self.name.to_string(),
            policy: policy.name().to_owned(),
            ageing: ageing.unwrap_or_default().0,
            slow_start: slow_start.0,
            thresholds: thresholds
                .limits()
                .map(|(metric, limit)| (metric.name().to_owned(), limit))
                .collect(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::WorkerGroupRow) -> Result<WorkerGroupRow, Unreadable> {
        let policy = Policy::ALL.into_iter().find(|policy| policy.name() == message.policy);
        let limits = Metric::ALL.into_iter().filter_map(|metric| {
            let limit = message.thresholds.get(metric.name())?;
            Some((metric, *limit))
        });
        let config = GroupConfig {
            policy: policy.unwrap_or_default(),
            ageing: Some(Span(message.ageing)).filter(|ageing| ageing.0 > 0),
            thresholds: limits.fold(Metrics::NO_LIMIT, |all, (metric, limit)| all.with(metric, limit)),
            slow_start: Span(message.slow_start),
        };
        Ok(WorkerGroupRow { name: id::name(message.name)?, config })
    }
}

impl Form for QuotaRow {
    type Message = wire::QuotaRow;
    const WHAT: &'static str = "row of a quota";

    fn to_message(&self) -> wire::QuotaRow {
        wire::QuotaRow {
            namespace: self.namespace.to_string(),
            most: self.most.iter().map(|(resource, most)| (resource.to_string(), *most)).collect(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::QuotaRow) -> Result<QuotaRow, Unreadable> {
        let most = message.most.into_iter().map(|(name, most)| Ok((name.parse::<Resource>()?, most)));
        let most = most.collect::<Result<_, Unreadable>>()?;
        Ok(QuotaRow { namespace: id::name(message.namespace)?, most })
    }
}
