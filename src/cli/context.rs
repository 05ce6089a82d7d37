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
    /// Where masters said that they all are, the last time that one was asked; tried beside `addresses`, which stay as
    /// they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Most addresses that are learned: more masters than a cluster may have.
const LEARNED_MAX: usize = 16;

/// Where a command keeps what it learns of its cluster.
#[derive(Clone, Debug)]
pub struct Memory {
    home: PathBuf,
    context: String,
}

impl Memory {
    pub fn new(home: &Path, context: &str) -> Memory {
        Memory { home: home.to_owned(), context: context.to_owned() }
    }

    /// Keeps where the masters are, `HOST:PORT` with commas between. Other commands may write the file at the same time,
    /// so it is read again, and left alone when it says the same.
    pub fn learn(&self, masters: &str) -> Result<(), Error> {
        let parsed: Result<Vec<Address>, _> = masters.split(',').take(LEARNED_MAX).map(str::parse).collect();
        // Of a later version, perhaps.
        let Ok(mut learned) = parsed else { return Ok(()) };
        learned.sort_unstable();
        let _alone = lock(&self.home)?;
        let mut contexts = Contexts::read(&self.home)?;
        match contexts.contexts.get_mut(&self.context) {
            Some(context) if context.learned != learned => {
                context.learned = learned;
                contexts.write(&self.home)
            }
            _ => Ok(()),
        }
    }
}

/// Held while the file is read and written again.
fn lock(home: &Path) -> Result<nix::fcntl::Flock<fs::File>, Error> {
    let path = home.join("contexts.lock");
    let failed =
        |error: io::Error| Error::io(&format!("cannot lock the contexts with {}", path.display()), &error);
    fs::create_dir_all(home).map_err(failed)?;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, errno)| failed(errno.into()))
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
    let _alone = lock(home)?;
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
            learned: Vec::new(),
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

    #[test]
    fn what_masters_say_is_kept_beside_what_was_given() {
        let home = tempfile::tempdir().unwrap();
        let given: Vec<Address> = vec!["m.example.org:1".parse().unwrap()];
        let context = Context {
            addresses: given.clone(),
            token: "t".into(),
            ca: None,
            learned: Vec::new(),
            namespace: None,
        };
        save(home.path(), "prod", context).unwrap();
        let memory = Memory::new(home.path(), "prod");
        for (said, known) in [
            ("10.0.0.2:1,10.0.0.1:1", "10.0.0.1:1 10.0.0.2:1"),
            ("", "10.0.0.1:1 10.0.0.2:1"),
            ("nonsense", "10.0.0.1:1 10.0.0.2:1"),
            ("10.0.0.3:1", "10.0.0.3:1"),
        ] {
            memory.learn(said).unwrap();
            let contexts = Contexts::read(home.path()).unwrap();
            let (_, context) = contexts.find(None).unwrap();
            let learned: Vec<String> = context.learned.iter().map(Address::to_string).collect();
            assert_eq!((&context.addresses, learned.join(" ").as_str()), (&given, known), "{said:?}");
        }
        // A context that was removed meanwhile does not come back.
        Memory::new(home.path(), "gone").learn("10.0.0.1:1").unwrap();
        assert_eq!(Contexts::read(home.path()).unwrap().contexts.len(), 1);
    }
}
