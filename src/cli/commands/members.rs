//! `hortator cluster …`: forming a cluster, letting nodes in, its masters, and tokens of people.

use hortator_core::access::Role as AccessRole;
use hortator_core::cluster::JoinRole;
use hortator_core::time::Span;
use hortator_proto::api::{MasterDetail, StatusView, TokenView};

use crate::api::body::Page;
use crate::api::cluster::{ChangedBody, TokenBody, TokenMade};
use crate::api::join::{JoinTokenBody, JoinTokenMade};
use crate::cli::args::{AddVerb, ClusterVerb, Global, InitArgs, TokenRole, TokenVerb};
use crate::cli::client::Call;
use crate::cli::commands::config::invalid;
use crate::cli::commands::server::not_started;
use crate::cli::context::{Context, config_home, save};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Form, Listed, Output};
use crate::cli::session::Session;
use crate::config::{AllFile, MasterFile, Role, Sources, load};
use crate::pki::hex;
use crate::server::{Formed, form};

/// `hortator cluster init`: asks nobody, since there is nobody yet.
pub fn init(args: &InitArgs, global: &Global, output: &Output) -> Result<Exit, Error> {
    let (role, file) = configuration(global)?;
    let formed = form(&file, args.name.as_str(), args.shards).map_err(|error| not_started(&error))?;
    let context = keep_context(&formed)?;
    tell_formed(&formed, context, role, global, output)?;
    Ok(Exit::Success)
}

/// What people learn of a new cluster, and how to start it.
pub(super) fn tell_formed(
    formed: &Formed,
    context: Option<String>,
    role: Role,
    global: &Global,
    output: &Output,
) -> Result<(), Error> {
    let Formed { facts, fingerprint, token, token_file, api } = formed;
    let document = serde_json::json!({
        "name": facts.name, "cluster": hex(&facts.cluster), "shards": facts.shards, "authority": fingerprint,
        "api": api, "token": token.text(), "token_file": token_file, "context": context,
    });
    output.one(&document, &facts.name, || {
        format!(
            "cluster\t{}\nid\t{}\nshards\t{}\nauthority\tsha256:{fingerprint}\nadmin token\t{}\n",
            facts.name,
            hex(&facts.cluster),
            facts.shards,
            token.text()
        )
    })?;
    let word = if role == Role::All { "all" } else { "master" };
    let config = global.config.as_ref().map_or(String::new(), |path| format!(" --config {}", path.display()));
    output.hint(&format!("the token is shown this once, and lies in {}", token_file.display()));
    output.hint(&format!("start it: hortator server {word}{config}"));
    Ok(())
}

/// A master's file, or the master's part of one for both.
pub(super) fn configuration(global: &Global) -> Result<(Role, MasterFile), Error> {
    let text = global.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let sources = Sources::system(global.config.clone(), None);
    match Role::of_text(&text) {
        Role::All => {
            let loaded = load::<AllFile>(Role::All, &sources).map_err(invalid)?;
            Ok((Role::All, loaded.config.master()))
        }
        Role::Client | Role::Master | Role::Worker => {
            let loaded = load::<MasterFile>(Role::Master, &sources).map_err(invalid)?;
            Ok((Role::Master, loaded.config))
        }
    }
}

/// So that the other commands just work.
pub(super) fn keep_context(formed: &Formed) -> Result<Option<String>, Error> {
    let Some(home) = config_home() else {
        eprintln!("warning: neither XDG_CONFIG_HOME nor HOME is set, so no context is written");
        return Ok(None);
    };
    let address = formed.api.parse().map_err(|error: crate::cli::address::AddressError| {
        Error::new(Exit::Invalid, code::CONFIG, error.to_string())
    })?;
    let context = Context {
        addresses: vec![address],
        token: formed.token.text().to_owned(),
        ca: Some(format!("sha256:{}", formed.fingerprint)),
        learned: Vec::new(),
        namespace: None,
    };
    save(&home, &formed.facts.name, context)?;
    Ok(Some(formed.facts.name.clone()))
}

/// The verbs that ask a cluster.
pub async fn ask(session: &Session, verb: ClusterVerb) -> Result<Exit, Error> {
    match verb {
        ClusterVerb::Init(_) => unreachable!("handled before a cluster is asked"),
        ClusterVerb::Add { node: AddVerb::Master { name, add } } => {
            join_token(session, JoinRole::Master { name }, "master", add.valid_for).await
        }
        ClusterVerb::Add { node: AddVerb::Worker { add } } => {
            join_token(session, JoinRole::Worker, "worker", add.valid_for).await
        }
        ClusterVerb::Members => {
            let page: Page<MasterDetail> = session.client.ask(Call::get("/cluster/masters")).await?;
            session.output.list(&page.items)?;
            if session.output.form == Form::Table {
                let view: StatusView = session.client.ask(Call::get("/status")).await?;
                session.output.text(&super::cluster::relayed(&view.relayed))?;
            }
            Ok(Exit::Success)
        }
        ClusterVerb::Remove { id } => {
            let call = Call::delete(format!("/cluster/masters/{id}"));
            let answer: ChangedBody = session.client.ask(call).await?;
            told(session, &answer, "leaves", "has left or is leaving already")?;
            session.output.hint("see it go: hortator cluster members");
            Ok(Exit::Success)
        }
        ClusterVerb::Rebalance(args) => super::inside::rebalance(session, &args).await,
        ClusterVerb::Token { verb } => token(session, verb).await,
    }
}

async fn join_token(
    session: &Session,
    role: JoinRole,
    word: &str,
    valid_for: Option<Span>,
) -> Result<Exit, Error> {
    let body = JoinTokenBody { role, valid_for: valid_for.map(|span| span.to_string()) };
    let made: JoinTokenMade = session.client.ask(Call::post_json("/cluster/join-tokens", &body)).await?;
    // Not as an argument: `ps` shows those to every user of the host.
    let command = format!(
        "HORTATOR_JOIN_TOKEN={} hortator server {word} --config /etc/hortator/{word}.toml",
        made.token
    );
    let document = serde_json::json!({ "id": made.id, "token": made.token, "command": command });
    session.output.one(&document, &made.id, || format!("{command}\n"))?;
    session.output.hint("run this on the new machine; the token lets in one node and is shown once");
    Ok(Exit::Success)
}

async fn token(session: &Session, verb: TokenVerb) -> Result<Exit, Error> {
    match verb {
        TokenVerb::Create { name, role, valid_for } => {
            let valid_for = valid_for.map(|span| span.to_string());
            let body = TokenBody { name, role: access(role), valid_for };
            let made: TokenMade = session.client.ask(Call::post_json("/cluster/tokens", &body)).await?;
            session.output.one(&made, made.name.as_str(), || format!("{}\n", made.token))?;
            session.output.hint("the token is shown this once");
        }
        TokenVerb::List => {
            let page: Page<TokenView> = session.client.ask(Call::get("/cluster/tokens")).await?;
            session.output.list(&page.items)?;
        }
        TokenVerb::Revoke { name } => {
            let call = Call::delete(format!("/cluster/tokens/{name}"));
            let answer: ChangedBody = session.client.ask(call).await?;
            told(session, &answer, "is revoked", "was revoked already")?;
        }
    }
    Ok(Exit::Success)
}

fn told(session: &Session, answer: &ChangedBody, changed: &str, same: &str) -> Result<(), Error> {
    let words = if answer.changed { changed } else { same };
    session.output.one(answer, &answer.name, || format!("{} {words}\n", answer.name))
}

fn access(role: TokenRole) -> AccessRole {
    match role {
        TokenRole::Viewer => AccessRole::Viewer,
        TokenRole::Operator => AccessRole::Operator,
        TokenRole::Admin => AccessRole::Admin,
    }
}

impl Listed for MasterDetail {
    const HEADERS: &'static [&'static str] = &["ID", "NAME", "STATE", "PEERS", "WORKERS", "API", "SINCE"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            format!("n{}", self.id).into(),
            self.name.to_string().into(),
            Field::State(self.state.clone()),
            self.peer.clone().into(),
            self.worker.clone().into(),
            self.api.clone().into(),
            output.time(Some(self.added_at)).into(),
        ]
    }

    fn name(&self) -> String {
        format!("n{}", self.id)
    }
}

impl Listed for TokenView {
    const HEADERS: &'static [&'static str] = &["NAME", "ROLE", "STATE", "SINCE", "UNTIL"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.name.to_string().into(),
            format!("{:?}", self.role).to_lowercase().into(),
            Field::State(self.state.clone()),
            output.time(Some(self.created_at)).into(),
            output.time(self.expires_at).into(),
        ]
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}
