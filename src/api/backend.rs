//! What the HTTP layer needs of a master, so that its routes can be tested without one.
//! Must not know HTTP.

use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator_actors::gateway::{GatewayHandle, LogSelector};
use hortator_proto::api::{Look, Problem, Request, Response, Sight};
use hortator_proto::frame::LogChunk;
use hortator_raft::RowsView;

use crate::live_faults::LiveFaults;

/// A check of `/readyz`: its name, and what is wrong.
pub type Check = (String, Result<(), String>);

/// A master as its clients see it. Calls may come from several threads.
pub trait Backend: Send + Sync + 'static {
    /// Routes a request to its leader and brings the answer.
    fn request(&self, request: Request) -> LocalBoxFuture<'_, Response>;
    /// Whole lines of an attempt's log, at most `bytes_max`.
    fn read_log(
        &self,
        log: LogSelector,
        offset: u64,
        bytes_max: u32,
    ) -> LocalBoxFuture<'_, Result<LogChunk, Problem>>;
    /// Resolves when this master's replica of the group has applied more than `index`.
    fn applied_past(&self, group: u32, index: u64) -> LocalBoxFuture<'_, u64>;
    fn readiness(&self) -> LocalBoxFuture<'_, Vec<Check>>;
    /// A look into the master itself.
    fn look(&self, look: Look) -> LocalBoxFuture<'_, Result<Sight, Problem>>;
    /// How many shards the cluster has.
    fn shards(&self) -> u32;
    /// A view of a group's rows with everything that was acknowledged so far.
    fn cut(&self, group: u32) -> LocalBoxFuture<'_, Result<RowsView, Problem>>;
    /// Whether faults may be injected here.
    fn faults(&self) -> LiveFaults {
        LiveFaults::Off
    }
    /// OpenMetrics text.
    fn metrics(&self) -> LocalBoxFuture<'_, String>;
}

impl Backend for GatewayHandle {
    fn request(&self, request: Request) -> LocalBoxFuture<'_, Response> {
        GatewayHandle::request(self, request).boxed_local()
    }

    fn read_log(
        &self,
        log: LogSelector,
        offset: u64,
        bytes_max: u32,
    ) -> LocalBoxFuture<'_, Result<LogChunk, Problem>> {
        GatewayHandle::read_log(self, log, offset, bytes_max).boxed_local()
    }

    fn applied_past(&self, group: u32, index: u64) -> LocalBoxFuture<'_, u64> {
        GatewayHandle::applied_past(self, group, index).boxed_local()
    }

    fn readiness(&self) -> LocalBoxFuture<'_, Vec<Check>> {
        GatewayHandle::readiness(self).boxed_local()
    }

    fn look(&self, look: Look) -> LocalBoxFuture<'_, Result<Sight, Problem>> {
        GatewayHandle::look(self, look).boxed_local()
    }

    fn shards(&self) -> u32 {
        GatewayHandle::shards(self)
    }

    fn cut(&self, group: u32) -> LocalBoxFuture<'_, Result<RowsView, Problem>> {
        GatewayHandle::cut(self, group).boxed_local()
    }

    fn metrics(&self) -> LocalBoxFuture<'_, String> {
        GatewayHandle::metrics(self).boxed_local()
    }
}
