//! The Dispatcher's deciders from outside: its order, its resources, its routing, its words, and the laboratory.

mod laboratory;
mod model;
mod properties;
mod resources;
mod routing;
mod stories;
mod traces;
mod words;
mod world;
