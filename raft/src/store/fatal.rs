//! Verdicts: states after which a replica must not go on.
//! A verdict is a panic; production builds abort on it, tests catch it.

/// Ends the replica: a failed sync, a failed checksum, or a state that raft's proof rules out.
/// Going on could forget what was acknowledged, so nothing here is repaired by guessing.
pub(crate) fn fatal(reason: std::fmt::Arguments<'_>) -> ! {
    crate::sometimes!("store: a replica stopped for good");
    panic!("raft group stopped for good: {reason}")
}
