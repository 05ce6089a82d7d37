//! `hortator config`: effective values with their origins, the defaults, and whether a file is right.
//! Must not open a connection or start anything.

use std::path::PathBuf;

use crate::cli::args::{ConfigVerb, Global, Which};
use crate::cli::context::config_home;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Form, Output};
use crate::config::{self, AllFile, Config, Loaded, MasterFile, Role, Sources, WorkerFile};

/// What does not depend on the role: values and origins.
type Plain = Loaded<()>;

/// `hortator config …`
pub fn config(verb: &ConfigVerb, global: &Global, output: &Output) -> Result<Exit, Error> {
    match verb {
        ConfigVerb::Default { role } => output.text(&role.default_text())?,
        ConfigVerb::Show { default: true, which, .. } => {
            output.text(&which.role.unwrap_or(Role::Client).default_text())?;
        }
        ConfigVerb::Check { which } => {
            let (role, loaded) = load(which, global)?;
            warn(&loaded, global);
            if !loaded.warnings.is_empty() {
                return Ok(Exit::Invalid);
            }
            output.hint(&format!("right, as the configuration of {}", role.article()));
        }
        ConfigVerb::Show { origin, which, .. } => {
            let (role, loaded) = load(which, global)?;
            warn(&loaded, global);
            show(role, &loaded, *origin, output)?;
        }
    }
    Ok(Exit::Success)
}

fn warn(loaded: &Plain, global: &Global) {
    if !global.quiet {
        loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
}

/// Without a role the file is for the one that knows most of its keys.
fn load(which: &Which, global: &Global) -> Result<(Role, Plain), Error> {
    let file = which.file.clone().or_else(|| global.config.clone());
    let role = match (which.role, &file) {
        (Some(role), _) => role,
        (None, None) => Role::Client,
        // A file that cannot be read is told by whoever loads it.
        (None, Some(path)) => Role::of_text(&std::fs::read_to_string(path).unwrap_or_default()),
    };
    Ok((role, load_as(role, sources(role, file)).map_err(invalid)?))
}

fn sources(role: Role, file: Option<PathBuf>) -> Sources {
    let home = config_home().filter(|_| role == Role::Client);
    Sources::system(file, home.as_deref())
}

fn load_as(role: Role, sources: Sources) -> Result<Plain, config::Error> {
    match role {
        Role::Client => config::load::<Config>(role, &sources).map(Loaded::plain),
        Role::Master => config::load::<MasterFile>(role, &sources).map(Loaded::plain),
        Role::Worker => config::load::<WorkerFile>(role, &sources).map(Loaded::plain),
        Role::All => config::load::<AllFile>(role, &sources).map(Loaded::plain),
    }
}

pub(super) fn invalid(error: config::Error) -> Error {
    Error::new(Exit::Invalid, code::CONFIG, error.to_string())
}

fn show(role: Role, loaded: &Plain, origin: bool, output: &Output) -> Result<(), Error> {
    let keys = role.keys();
    if output.is_json() {
        let keys = keys.iter().map(|key| {
            let entry =
                serde_json::json!({ "value": loaded.values[key.path], "origin": loaded.origins[key.path] });
            (key.path.to_owned(), entry)
        });
        return output.document(&serde_json::Value::Object(keys.collect()));
    }
    if output.form == Form::Name {
        return output.text(&keys.iter().map(|key| format!("{}\n", key.path)).collect::<String>());
    }
    let row = |key: &config::Key| {
        let mut row: Vec<Field> = vec![key.path.to_owned().into(), loaded.values[key.path].clone().into()];
        if origin {
            row.push(loaded.origins[key.path].clone().into());
        }
        row
    };
    let headers = if origin { vec!["KEY", "VALUE", "ORIGIN"] } else { vec!["KEY", "VALUE"] };
    output.table(&headers, keys.iter().map(row).collect())
}
