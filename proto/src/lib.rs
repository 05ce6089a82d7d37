//! What crosses a wire or lies in a row: plain types, and their protobuf form behind `encode` and `decode`.
//! Only this crate knows the format; only `hortator-core` gives the words. It must not know who sends or stores.

pub mod api;
pub mod frame;
pub mod row;

mod codec;
mod convert;
mod error;
mod generated;
#[cfg(test)]
mod tests;

pub use error::DecodeError;
