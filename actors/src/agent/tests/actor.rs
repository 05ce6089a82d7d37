//! The actor on a paused clock, between a launcher, a transport and a spool that are pretended.
