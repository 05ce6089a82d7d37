//! A process of which a part has panicked is of no use to anybody: it would hold its leases and leaderships and do
//! nothing. Its supervisor starts it again, and everything it promised is in its files. Only a decider may panic: it is
//! pure, and its run is quarantined.

use hortator_actors::caught::is_deciding;

/// From now on a panic in any thread ends the process, after its message.
pub fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if is_deciding() {
            return;
        }
        eprintln!(
            "a part of this process has failed, so it ends; if it is a node, its supervisor may start it again"
        );
        std::process::abort();
    }));
}
