//! The messages of `schema/*.proto` as `protobuf-codegen` makes them. Must not leave this crate.
#![allow(unreachable_pub, missing_debug_implementations, unused, clippy::all, clippy::pedantic)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

include!(concat!(env!("OUT_DIR"), "/schema/mod.rs"));
