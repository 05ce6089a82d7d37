//! Contexts: which cluster the commands talk to, and with which token. `dev` writes one, so they just work.
//! One file, `$XDG_CONFIG_HOME/hortator/contexts.toml`, readable by its owner only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::error::{Error, Exit, code};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contexts {
    /// The one that is used when none is named.
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    pub addresses: Vec<Address>,
    pub token: String,
    /// The cluster's authority: the file of its certificate, or `sha256:` and its fingerprint. Without it the cluster
    /// is on this host, and asked in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// `$XDG_CONFIG_HOME/hortator`, or `~/.config/hortator`.
pub fn config_home() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("hortator"))
}

fn file(home: &Path) -> PathBuf {
    home.join("contexts.toml")
}

impl Contexts {
    /// Reads the file; an absent one holds no contexts.
    pub fn read(home: &Path) -> Result<Contexts, Error> {
        let path = file(home);
        let failed = |why: String| {
            Error::new(
                Exit::Invalid,
                code::NO_CONTEXT,
                format!("cannot read the contexts in {}: {why}", path.display()),
            )
        };
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| failed(error.message().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contexts::default()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Replaces the file as a whole, so that a reader never sees half of it.
    pub fn write(&self, home: &Path) -> Result<(), Error> {
        let path = file(home);
        let failed =
            |error: io::Error| Error::io(&format!("cannot write the contexts to {}", path.display()), &error);
        let text = toml::to_string(self).map_err(|error| failed(io::Error::other(error)))?;
        fs::create_dir_all(home).map_err(failed)?;
        let new = home.join(format!(".contexts.{}.new", std::process::id()));
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.and_then(|()| fs::rename(&new, &path)).map_err(failed)
    }

    /// The named context, or the current one.
    pub fn find(&self, name: Option<&str>) -> Option<(&str, &Context)> {
        let name = name.or(self.current.as_deref())?;
        self.contexts.get_key_value(name).map(|(name, context)| (name.as_str(), context))
    }
}

/// Writes the context and makes it the current one.
pub fn save(home: &Path, name: &str, context: Context) -> Result<(), Error> {
    let mut contexts = Contexts::read(home)?;
    contexts.contexts.insert(name.to_owned(), context);
    contexts.current = Some(name.to_owned());
    contexts.write(home)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_saved_context_is_current_and_private() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("hortator");
        assert_eq!(Contexts::read(&home).unwrap(), Contexts::default());
        let context = |port: u16| Context {
            addresses: vec![format!("m1.example.org:{port}").parse().unwrap()],
            token: format!("token-{port}"),
            ca: Some("sha256:00".into()),
            namespace: None,
        };
        save(&home, "prod", context(1)).unwrap();
        save(&home, "dev", context(2)).unwrap();
        let contexts = Contexts::read(&home).unwrap();
        assert_eq!(contexts.find(None), Some(("dev", &context(2))));
        assert_eq!(contexts.find(Some("prod")), Some(("prod", &context(1))));
        assert_eq!(contexts.find(Some("test")), None);
        assert_eq!(fs::metadata(file(&home)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
