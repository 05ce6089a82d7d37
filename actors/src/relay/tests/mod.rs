//! Paths as nodes choose them under cuts, and which frames a relay passes on.

mod frames;
mod mesh;
