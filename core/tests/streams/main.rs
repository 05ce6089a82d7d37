//! Placement from outside: books of several shards, one Dispatcher, and a network between them that may misbehave.
//! Must not know anything that is private to either side.

mod ageing;
mod devices;
mod properties;
mod stories;
mod world;
