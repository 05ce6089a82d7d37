//! Everything comes back as it went in, damaged bytes are refused, and versions can read each other.

mod api;
mod api_requests;
mod damage;
mod evolution;
mod frame_strategies;
mod frames;
mod keys;
mod rows;
mod strategies;
