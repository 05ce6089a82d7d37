//! An answer that stays open ends when the token that opened it does. Must not know what is in it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use hortator_core::access::SecretHash;
use tokio::time::{Interval, interval_at};

use super::access::{TokenCheck, TokenRefusal};

/// Between two looks at the token: a revoked one ends its streams within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

pub(super) struct Watched {
    body: BoxBody,
    tokens: Arc<dyn TokenCheck>,
    hash: SecretHash,
    looks: Interval,
}

impl Watched {
    /// What is already whole needs no watching.
    pub(super) fn around(body: BoxBody, tokens: &Arc<dyn TokenCheck>, hash: SecretHash) -> BoxBody {
        match body.size() {
            BodySize::Stream => {
                let looks = interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
                BoxBody::new(Watched { body, tokens: tokens.clone(), hash, looks })
            }
            BodySize::None | BodySize::Sized(_) => body,
        }
    }
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        while self.looks.poll_tick(context).is_ready() {
            let refusal: Option<TokenRefusal> = self.tokens.bearer(&self.hash).err();
            if let Some(refusal) = refusal {
                return Poll::Ready(Some(Err(refusal.into())));
            }
        }
        Pin::new(&mut self.body).poll_next(context)
    }
}
