//! What judges Hortator: the evidence that a cluster under faults leaves behind, and the checkers of its promises.
//! The simulator and the real-process harness share them; nothing here runs in a server.

pub mod checkers;
pub mod evidence;
