//! The pure part of Hortator: definitions, deciders, placement, reasons and time arithmetic.
//! Nothing here does I/O, waits, reads a clock, draws randomness or iterates in hash order, so nothing here can
//! fail for outside reasons and everything repeats. Actors call in with data and get data back.

pub mod access;
pub mod balance;
pub mod cluster;
pub mod definition;
pub mod dispatch;
pub mod event;
pub mod expression;
pub mod id;
pub mod lease;
pub mod limit;
pub mod reason;
pub mod replay;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod task_run;
pub mod time;
pub mod wfformat;
pub mod workflow;
