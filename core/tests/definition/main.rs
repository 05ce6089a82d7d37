//! Definitions from outside: what is accepted, how every fault is shown, and that the bounds hold.

mod bounds;
mod faults;
mod good;
mod inputs;
mod properties;
mod schema;
