//! What every command that asks a cluster has at hand: the client, the output and the default namespace.
//! Finds out which cluster is meant, with which token.

use std::path::Path;
use std::rc::Rc;

use hortator_core::id::Name;
use hortator_core::time::Span;

use super::args::{Format, Global};
use super::client::{Client, Patience, Target, Way};
use super::context::{Contexts, Memory, config_home};
use super::error::{Error, Exit, code};
use super::output::Output;
use super::reference;
use crate::config::{Config, Loaded, Role, Sources, load};

#[derive(Debug)]
pub struct Session {
    pub(crate) client: Rc<Client>,
    pub(crate) output: Output,
    pub(crate) namespace: Name,
}

/// Reads the configuration and warns of what is odd in it.
pub(crate) fn configuration(global: &Global) -> Result<Loaded<Config>, Error> {
    let home = config_home();
    let sources = Sources::system(global.config.clone(), home.as_deref());
    let loaded = load(Role::Client, &sources).map_err(|error| {
        Error::new(Exit::Invalid, code::CONFIG, error.to_string()).hint("hortator config check")
    })?;
    if !global.quiet {
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
    }
    Ok(loaded)
}

/// How results look, by flags and configuration.
pub(crate) fn output(global: &Global, config: &Config) -> Result<Output, Error> {
    let configured = match &config.client.output {
        None => None,
        Some(text) => Some(<Format as clap::ValueEnum>::from_str(text, false).map_err(|_| {
            let detail = format!("client.output is {text:?}; forms are table, json, jsonl, name");
            Error::new(Exit::Invalid, code::CONFIG, detail).hint("hortator config show --origin")
        })?),
    };
    Ok(Output::new(global, configured))
}

impl Session {
    /// For a cluster that runs somewhere.
    pub(crate) fn open(global: &Global, config: &Config) -> Result<Session, Error> {
        let Found { target, memory, namespace } = find_target(global, config, config_home().as_deref())?;
        let namespace = match (&global.namespace, namespace) {
            (Some(name), _) => reference::name(name)?,
            (None, Some(name)) if config.client.namespace == crate::api::body::NAMESPACE_DEFAULT => {
                reference::name(&name)?
            }
            (None, _) => reference::name(&config.client.namespace)?,
        };
        let (output, patience) = (output(global, config)?, patience(config));
        let client = Client::new(target, patience, global.verbose > 0).remembering(memory);
        Ok(Session { client: Rc::new(client), output, namespace })
    }

    pub(crate) fn new(
        target: Target,
        config: &Config,
        output: Output,
        namespace: Name,
        verbose: bool,
    ) -> Session {
        Session { client: Rc::new(Client::new(target, patience(config), verbose)), output, namespace }
    }
}

fn patience(config: &Config) -> Patience {
    let time = Span::as_duration;
    Patience {
        connect: time(config.client.connect_timeout),
        request: time(config.client.request_timeout),
        retry: time(config.client.retry_for),
    }
}

/// Which cluster is meant.
struct Found {
    target: Target,
    /// None when the addresses are not a context's.
    memory: Option<Memory>,
    /// The context's.
    namespace: Option<String>,
}

/// Flags and variables win over contexts.
fn find_target(global: &Global, config: &Config, home: Option<&Path>) -> Result<Found, Error> {
    let contexts = home.map(Contexts::read).transpose()?.unwrap_or_default();
    let named = global.context.as_deref().or(config.client.context.as_deref());
    let context = contexts.find(named);
    if let (Some(name), None) = (named, context) {
        let known: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
        let near = hortator_core::reason::nearest(name, known.iter().copied());
        let detail = format!("there is no context {name:?}; contexts now: {}", listed(&known));
        let error = Error::new(Exit::NotFound, code::NO_CONTEXT, detail);
        return Err(match near {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error.hint("`hortator dev` writes the context \"dev\""),
        });
    }
    let mut memory = None;
    let (addresses, source) = match (&global.addr[..], &config.client.addresses[..], context) {
        ([], [], Some((name, context))) => {
            memory = home.map(|home| Memory::new(home, name));
            let more = context.learned.iter().filter(|learned| !context.addresses.contains(learned));
            (context.addresses.iter().chain(more).cloned().collect(), format!("context {name:?}"))
        }
        ([], [], None) => {
            let detail = "no cluster is named: there is no context, no --addr and no HORTATOR_ADDR";
            return Err(Error::new(Exit::Unavailable, code::NO_CONTEXT, detail)
                .hint("start one for trying out: hortator dev"));
        }
        ([], addresses, _) => (addresses.to_vec(), "the configuration".into()),
        (addresses, _, _) => (addresses.to_vec(), "--addr".into()),
    };
    if addresses.is_empty() {
        return Err(Error::new(Exit::Invalid, code::NO_CONTEXT, format!("{source} names no address")));
    }
    let token = find_token(config)?.or_else(|| context.map(|(_, context)| context.token.clone()));
    let token = token.ok_or_else(|| {
        Error::new(Exit::Forbidden, code::NO_CONTEXT, "no token is given, and every request needs one")
            .hint("set HORTATOR_TOKEN or HORTATOR_TOKEN_FILE")
    })?;
    let namespace = context.and_then(|(_, context)| context.namespace.clone());
    let ca = config.client.ca.as_deref().or(context.and_then(|(_, context)| context.ca.as_deref()));
    let way = ca.map_or(Ok(Way::Plain), Way::of_authority)?;
    way.check(&addresses)?;
    Ok(Found { target: Target { addresses, token, way, source }, memory, namespace })
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The secret comes from a variable or a file, never from a flag, which every user of the host could see.
fn find_token(config: &Config) -> Result<Option<String>, Error> {
    if let Ok(token) = std::env::var("HORTATOR_TOKEN")
        && !token.is_empty()
    {
        return Ok(Some(token));
    }
    let Some(path) = &config.client.token_file else {
        return Ok(None);
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => {
            let detail = format!("cannot read the token in {}: {error}", path.display());
            Err(Error::new(Exit::Forbidden, code::NO_CONTEXT, detail))
        }
    }
}
