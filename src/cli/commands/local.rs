//! Commands that need no cluster: schema, completion, version, import.
//! Must not open a connection.

use std::io::Write;

use clap::CommandFactory;
use hortator_core::definition;

use crate::cli::args::{Cli, CompletionArgs, WfcommonsArgs};
use crate::cli::commands::workflow::plain;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::Output;
use crate::importers::wfcommons;

/// `hortator schema workflow`
pub fn schema(output: &Output) -> Result<Exit, Error> {
    output.document(&definition::schema())?;
    Ok(Exit::Success)
}

/// `hortator completion SHELL`
pub fn completion(args: &CompletionArgs, output: &Output) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hortator", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// `hortator version`
pub fn version(output: &Output) -> Result<Exit, Error> {
    let version = env!("CARGO_PKG_VERSION");
    let document = serde_json::json!({ "version": version, "definition": "v1", "api": "v1" });
    output.one(&document, version, || format!("hortator {version}\n"))?;
    Ok(Exit::Success)
}

/// `hortator import wfcommons`
pub fn import_wfcommons(args: &WfcommonsArgs, output: &Output) -> Result<Exit, Error> {
    let name = args.file.display();
    let bytes = std::fs::read(&args.file).map_err(|error| {
        let exit =
            if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Unexpected };
        Error::new(exit, code::FILE, format!("cannot read {name}: {}", plain(&error)))
    })?;
    let options = wfcommons::Options {
        time_scale: args.time_scale,
        bytes_max: args.max_bytes,
        name: args.name.as_deref().map(crate::cli::reference::name).transpose()?,
    };
    let yaml = wfcommons::import(&bytes, &options).map_err(|error| {
        Error::new(Exit::Invalid, code::TRACE, format!("{name} does not become a workflow: {error}"))
    })?;
    match &args.out {
        None => output.text(&yaml)?,
        Some(path) => {
            let written = std::fs::File::create(path).and_then(|mut file| file.write_all(yaml.as_bytes()));
            written.map_err(|error| {
                let detail = format!("cannot write {}: {}", path.display(), plain(&error));
                Error::new(Exit::Unexpected, code::FILE, detail)
            })?;
            output.hint(&format!("run it: hortator run {}", path.display()));
        }
    }
    Ok(Exit::Success)
}
