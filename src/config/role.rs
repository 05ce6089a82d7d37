//! What a configuration file may be for, and which keys it then has.

use super::keys::{ALL, CLIENT, Key, MASTER, WORKER, default_text};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Commands, `dev` and `run FILE`
    Client,
    Master,
    Worker,
    /// A master and a worker in one process
    All,
}

impl Role {
    pub const EVERY: [Role; 4] = [Role::Client, Role::Master, Role::Worker, Role::All];

    /// In the order in which they are shown.
    pub fn keys(self) -> &'static [Key] {
        match self {
            Role::Client => CLIENT,
            Role::Master => MASTER,
            Role::Worker => WORKER,
            Role::All => &ALL,
        }
    }

    /// The file with every key at its default, commented.
    pub fn default_text(self) -> String {
        let title = match self {
            Role::Client => "Configuration of Hortator's commands: ~/.config/hortator/config.toml.",
            Role::Master => "Configuration of a master: hortator server master --config FILE.",
            Role::Worker => "Configuration of a worker: hortator server worker --config FILE.",
            Role::All => "Configuration of a master with a worker: hortator server all --config FILE.",
        };
        default_text(title, self.keys())
    }

    /// As in "the configuration of …".
    pub fn article(self) -> &'static str {
        match self {
            Role::Client => "commands",
            Role::Master => "a master",
            Role::Worker => "a worker",
            Role::All => "a master with a worker",
        }
    }

    /// Whose keys a file has: of those that know most of them, the one that knows least else.
    pub fn of_text(text: &str) -> Role {
        let table: toml::Table = text.parse().unwrap_or_default();
        let known = |role: &Role| {
            let sections = table.iter().filter_map(|(section, content)| Some((section, content.as_table()?)));
            let paths = sections
                .flat_map(|(section, content)| content.keys().map(move |name| format!("{section}.{name}")));
            paths.filter(|path| role.has(path)).count()
        };
        let better = |role: &Role| (known(role), std::cmp::Reverse(role.keys().len()));
        Role::EVERY.into_iter().max_by_key(better).expect("there are roles")
    }

    pub(super) fn has(self, path: &str) -> bool {
        self.keys().iter().any(|key| key.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AllFile, Config, Error, MasterFile, Sources, WorkerFile, load};

    fn load_as(role: Role, sources: &Sources) -> Result<(), Error> {
        match role {
            Role::Client => load::<Config>(role, sources).map(drop),
            Role::Master => load::<MasterFile>(role, sources).map(drop),
            Role::Worker => load::<WorkerFile>(role, sources).map(drop),
            Role::All => load::<AllFile>(role, sources).map(drop),
        }
    }

    fn with(role: Role, text: &str) -> Result<(), Error> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        load_as(role, &Sources { files: vec![], only: Some(path), variables: vec![] })
    }

    /// Every key of the code is in the file and the other way round, with its default and its meaning.
    #[test]
    fn the_files_of_the_repository_are_the_defaults() {
        for (role, file) in [(Role::Master, "configs/master.toml"), (Role::Worker, "configs/worker.toml")] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let word = clap::ValueEnum::to_possible_value(&role).unwrap();
            let how = format!("make it anew: hortator config default --role {} > {file}", word.get_name());
            assert!(text == role.default_text(), "{file} differs from the keys. {how}");
            load_as(role, &Sources { files: vec![], only: Some(path), variables: vec![] }).unwrap();
            assert_eq!(Role::of_text(&text), role);
        }
    }

    #[test]
    fn every_role_has_a_field_for_each_of_its_keys() {
        for role in Role::EVERY {
            with(role, "").unwrap();
            with(role, &role.default_text()).unwrap();
            assert_eq!(Role::of_text(&role.default_text()), role);
            let mut paths: Vec<&str> = role.keys().iter().map(|key| key.path).collect();
            paths.sort_unstable();
            paths.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
        }
    }

    #[test]
    fn what_is_wrong_in_a_nodes_file_is_named() {
        let check = |role, text: &str, parts: &[&str]| {
            let message = with(role, text).expect_err(text).to_string();
            for part in parts {
                assert!(message.contains(part), "{text:?}: {message:?} lacks {part:?}");
            }
        };
        let master = |text, parts: &[&str]| check(Role::Master, text, parts);
        master("[listen]\npers = \"x\"\n", &["node.toml:2", "did you mean \"listen.peers\"?"]);
        master("\n[listen]\napi = \"n1:80\"\n", &["listen.api from ", "node.toml:3", "write IP:PORT"]);
        master("[advertise]\napi = \"n1\"\n", &["is not HOST:PORT"]);
        master("[store]\ncache = \"16\"\n", &["has no unit"]);
        master("[store]\ncache = 16\n", &["store.cache from "]);
        master("[shutdown]\ngrace = \"soon\"\n", &["is not a duration"]);
        master("[worker]\nslots = 1\n", &["a key in the configuration of a worker, not of this"]);
        master("[development]\nmasters = [{ id = 1 }]\n", &["development.masters", "missing field"]);
        master("[log]\nformat = \"xml\"\n", &["log.format", "unknown variant"]);
        check(Role::Worker, "[worker]\ngroups = [\"No Good\"]\n", &["worker.groups from "]);
        check(Role::Worker, "[worker]\nmasters = [\"n1\"]\n", &["worker.masters", "is not HOST:PORT"]);
        check(Role::Worker, "[listen]\npeers = \"127.0.0.1:1\"\n", &["of a master, not of this"]);
    }

    #[test]
    fn variables_override_a_nodes_file_with_lists_and_tables_too() {
        let pairs = [
            ("HORTATOR_WORKER__GROUPS", "default, big"),
            ("HORTATOR_WORKER__LABELS", "{ disk = \"ssd\" }"),
            ("HORTATOR_WORKER__SLOTS", "3"),
            ("HORTATOR_ADDR", "127.0.0.1:1"),
            ("HORTATOR_WORKER__SLOT", "3"),
        ];
        let variables = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let sources = Sources { files: vec![], only: None, variables };
        let loaded = load::<WorkerFile>(Role::Worker, &sources).unwrap();
        let worker = &loaded.config.worker;
        assert_eq!((worker.groups.len(), worker.slots, worker.labels["disk"].as_str()), (2, 3, "ssd"));
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("did you mean HORTATOR_WORKER__SLOTS?"));
    }
}
