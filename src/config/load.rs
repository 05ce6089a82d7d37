//! Reads files and variables over the defaults and remembers where each value came from.
//! Must not know what the values are for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hortator_core::reason::nearest;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::keys::Key;
use super::role::Role;

const PREFIX: &str = "HORTATOR_";
/// Variables that are no configuration keys: a secret, a language, and what tests and build scripts set.
const OTHER_VARIABLES: [&str; 4] =
    ["HORTATOR_TOKEN", "HORTATOR_JOIN_TOKEN", "HORTATOR_LANG", "HORTATOR_TEST_DATA"];
/// Largest configuration file; a few KB are usual.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read configuration file {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("configuration file {} has over {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{origin}: {message}")]
    Syntax { origin: String, message: String },
    #[error("{origin}: there is no key {key:?}{}", suggestion(.nearest))]
    UnknownKey { origin: String, key: String, nearest: Option<String> },
    #[error("{origin}: {key:?} is a key in the configuration of {}, not of this", role.article())]
    Elsewhere { origin: String, key: String, role: Role },
    #[error("{key} from {origin}: {message}")]
    Value { key: String, origin: String, message: String },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|key| format!("; did you mean {key:?}?")).unwrap_or_default()
}

/// Where to look. Tests bring their own.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Lowest first; those that do not exist are passed over.
    pub files: Vec<PathBuf>,
    /// `--config`: replaces `files`, and must exist.
    pub only: Option<PathBuf>,
    pub variables: Vec<(OsString, OsString)>,
}

impl Sources {
    /// The places of this system, and this process's environment.
    pub fn system(only: Option<PathBuf>, config_home: Option<&Path>) -> Sources {
        let mut files = vec![PathBuf::from("/etc/hortator/hortator.toml")];
        let mut parts: Vec<PathBuf> = std::fs::read_dir("/etc/hortator/conf.d")
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        parts.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        parts.sort();
        files.extend(parts);
        files.extend(config_home.map(|home| home.join("config.toml")));
        Sources { files, only, variables: std::env::vars_os().collect() }
    }
}

/// The configuration, where each value came from, and what was odd.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    pub config: T,
    /// By key, as TOML.
    pub values: BTreeMap<&'static str, String>,
    pub origins: BTreeMap<&'static str, String>,
    pub warnings: Vec<String>,
}

impl<T> Loaded<T> {
    /// Without the typed values.
    pub fn plain(self) -> Loaded<()> {
        let Loaded { values, origins, warnings, .. } = self;
        Loaded { config: (), values, origins, warnings }
    }
}

/// `T` has a field for each key of the role.
pub fn load<T: DeserializeOwned>(role: Role, sources: &Sources) -> Result<Loaded<T>, Error> {
    let mut merged = Merged::defaults(role);
    match &sources.only {
        Some(path) => merged.read_file(path, true)?,
        None => sources.files.iter().try_for_each(|path| merged.read_file(path, false))?,
    }
    merged.read_variables(&sources.variables)?;
    merged.finish()
}

struct Merged {
    role: Role,
    values: BTreeMap<&'static str, Value>,
    origins: BTreeMap<&'static str, String>,
    warnings: Vec<String>,
}

impl Merged {
    fn defaults(role: Role) -> Merged {
        let table = default_table(role);
        let mut merged =
            Merged { role, values: BTreeMap::new(), origins: BTreeMap::new(), warnings: Vec::new() };
        for key in role.keys() {
            let (section, name) = key.path.split_once('.').expect("every key has a section");
            merged.set(key.path, table[section][name].clone(), "default".into());
        }
        merged
    }

    fn set(&mut self, key: &'static str, value: Value, origin: String) {
        self.values.insert(key, value);
        self.origins.insert(key, origin);
    }

    fn read_file(&mut self, path: &Path, needed: bool) -> Result<(), Error> {
        let failed = |source| Error::Read { path: path.into(), source };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !needed => return Ok(()),
            Err(error) => return Err(failed(error)),
            Ok(facts) if facts.len() > FILE_BYTES_MAX => return Err(Error::TooLarge { path: path.into() }),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let message = error.message().to_owned();
            Error::Syntax { origin: format!("{}:{line}", path.display()), message }
        })?;
        for (section, content) in table {
            let Value::Table(content) = content else {
                let origin = format!("{}:{}", path.display(), line_of(&text, "", &section));
                return Err(self.unknown(&section, &origin));
            };
            for (name, value) in content {
                let origin = format!("{}:{}", path.display(), line_of(&text, &section, &name));
                self.take(&format!("{section}.{name}"), value, origin)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, full: &str, value: Value, origin: String) -> Result<(), Error> {
        match self.role.keys().iter().find(|key| key.path == full) {
            Some(key) => self.set(key.path, value, origin),
            // One file of a host may be read by commands and by nodes.
            None if self.role == Role::Client && Role::EVERY.iter().any(|role| role.has(full)) => {}
            None => return Err(self.unknown(full, &origin)),
        }
        Ok(())
    }

    fn read_variables(&mut self, variables: &[(OsString, OsString)]) -> Result<(), Error> {
        let names: Vec<(String, &'static str)> = self.role.keys().iter().flat_map(variable_names).collect();
        let others: Vec<(String, &'static str)> =
            Role::EVERY.iter().flat_map(|role| role.keys()).flat_map(variable_names).collect();
        for (name, value) in variables {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                continue;
            };
            if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name) {
                continue;
            }
            match names.iter().find(|(known, _)| known == name) {
                Some((_, key)) => {
                    let value = parse_variable(key, &self.values[key], value)?;
                    self.set(key, value, format!("variable {name}"));
                }
                None if others.iter().any(|(known, _)| known == name) => {}
                None => {
                    let near = nearest(name, names.iter().map(|(known, _)| known.as_str()));
                    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    self.warnings.push(format!("the variable {name} means nothing to Hortator{near}"));
                }
            }
        }
        Ok(())
    }

    fn finish<T: DeserializeOwned>(self) -> Result<Loaded<T>, Error> {
        let mut root = Table::new();
        for (path, value) in &self.values {
            let (section, name) = path.split_once('.').expect("every key has a section");
            let section = root.entry(section).or_insert_with(|| Value::Table(Table::new()));
            section.as_table_mut().expect("made above").insert(name.into(), value.clone());
        }
        let config = match root.clone().try_into() {
            Ok(config) => config,
            Err(error) => return Err(self.blame::<T>(&root, &error)),
        };
        let values = self.values.iter().map(|(key, value)| (*key, value.to_string())).collect();
        Ok(Loaded { config, values, origins: self.origins, warnings: self.warnings })
    }

    /// Finds the value that does not fit: the one whose default would.
    fn blame<T: DeserializeOwned>(&self, root: &Table, error: &toml::de::Error) -> Error {
        let defaults = default_table(self.role);
        for key in self.role.keys() {
            let (section, name) = key.path.split_once('.').expect("every key has a section");
            let mut one = defaults.clone();
            one[section][name] = root[section][name].clone();
            if let Err(error) = one.try_into::<T>() {
                let message = error.message().to_owned();
                return Error::Value {
                    key: key.path.into(),
                    origin: self.origins[key.path].clone(),
                    message,
                };
            }
        }
        Error::Syntax { origin: "configuration".into(), message: error.message().to_owned() }
    }

    fn unknown(&self, key: &str, origin: &str) -> Error {
        let nearest = nearest(key, self.role.keys().iter().map(|key| key.path)).map(str::to_owned);
        let elsewhere = Role::EVERY.into_iter().find(|role| role.has(key));
        match elsewhere {
            Some(role) => Error::Elsewhere { origin: origin.into(), key: key.into(), role },
            None => Error::UnknownKey { origin: origin.into(), key: key.into(), nearest },
        }
    }
}

fn default_table(role: Role) -> Table {
    role.default_text().parse().expect("the defaults are TOML")
}

fn variable_names(key: &Key) -> Vec<(String, &'static str)> {
    let long = format!("{PREFIX}{}", key.path.replace('.', "__").to_uppercase());
    let short = key.variable.map(|name| (name.to_owned(), key.path));
    short.into_iter().chain([(long, key.path)]).collect()
}

/// A variable is text; the default says which type it stands for.
fn parse_variable(key: &str, default: &Value, text: &str) -> Result<Value, Error> {
    let malformed = |message: &str| Error::Value {
        key: key.into(),
        origin: "the environment".into(),
        message: format!("{text:?} {message}"),
    };
    match default {
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(|part| Value::String(part.into())).collect()))
        }
        // What lists and tables hold is written as in a file.
        Value::Table(_) => {
            let table: Table =
                format!("value = {text}").parse().map_err(|_| malformed("is not a TOML table"))?;
            Ok(table["value"].clone())
        }
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| malformed("is not a whole number")),
        Value::Boolean(_) => {
            text.parse().map(Value::Boolean).map_err(|_| malformed("is neither true nor false"))
        }
        _ => Ok(Value::String(text.into())),
    }
}

/// The line on which a key of a section stands; 1 when it is written in a form that is not looked for.
fn line_of(text: &str, section: &str, name: &str) -> usize {
    let mut inside = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next().unwrap_or("").trim().to_owned();
            if section.is_empty() && inside == name {
                return index + 1;
            }
        } else if inside == section && line.split('=').next().is_some_and(|key| key.trim() == name) {
            return index + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded<Config>, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hortator.toml");
        std::fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load(Role::Client, &Sources { files: vec![path], only: None, variables })
    }

    #[test]
    fn later_sources_win_and_say_so() {
        let loaded = with(
            "# mine\n[dev]\nmasters = 1\n\n[client]\nretry_for = \"3s\"\n",
            &[("HORTATOR_DEV__WORKERS", "5"), ("HORTATOR_ADDR", "127.0.0.1:1, 127.0.0.1:2")],
        )
        .unwrap();
        assert_eq!((loaded.config.dev.masters, loaded.config.dev.workers), (1, 5));
        assert_eq!(loaded.config.client.addresses.len(), 2);
        assert_eq!(loaded.config.client.retry_for, hortator_core::time::Span::from_secs(3));
        assert!(loaded.origins["dev.masters"].ends_with("hortator.toml:3"), "{:?}", loaded.origins);
        assert!(loaded.origins["client.retry_for"].ends_with(":6"));
        assert_eq!(loaded.origins["dev.workers"], "variable HORTATOR_DEV__WORKERS");
        assert_eq!(loaded.origins["dev.port"], "default");
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |text: &str| with(text, &[]).unwrap_err().to_string();
        assert!(message("[dev]\nmaster = 1\n").contains("did you mean \"dev.masters\""));
        assert!(message("[dev]\nmasters = \"x\"\n").contains("dev.masters from "));
        assert!(message("[client]\nretry_for = \"30\"\n").contains("has no unit"));
        assert!(message("[dev\n").contains("hortator.toml:1: "));
        assert!(message("dev = 3\n").contains("there is no key"));
        let loaded = with("", &[("HORTATOR_NAMESPCE", "x"), ("HORTATOR_TOKEN", "y"), ("HOME", "z")]).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
        assert!(loaded.warnings[0].contains("did you mean HORTATOR_NAMESPACE?"));
    }

    #[test]
    fn the_default_file_is_what_is_used_without_one() {
        let plain = load::<Config>(Role::Client, &Sources::default()).unwrap();
        let written = with(&Role::Client.default_text(), &[]).unwrap();
        assert_eq!(plain.values, written.values);
    }
}
