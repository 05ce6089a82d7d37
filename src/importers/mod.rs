//! Workflows of other systems, turned into Hortator's definitions.
//! Each importer is a pure function from bytes to YAML; reading and writing files is the command line's.

pub mod wfcommons;
