//! A way into a master for whoever asks it something. It may outlive the master's process and be the last that holds what was
//! open there; a crash runs no destructors, so it lets go of that as whoever buries the process does. Must not know what
//! is asked.

use std::ops::Deref;

use hortator_actors::gateway::GatewayHandle;

use super::stage::bury;

/// See the module.
#[derive(Debug)]
pub struct Door(Option<GatewayHandle>);

impl Door {
    pub(super) fn to(gateway: &GatewayHandle) -> Door {
        Door(Some(gateway.clone()))
    }
}

impl Deref for Door {
    type Target = GatewayHandle;

    fn deref(&self) -> &GatewayHandle {
        self.0.as_ref().expect("only its end takes it out")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let gateway = self.0.take();
        bury(|| drop(gateway));
    }
}
