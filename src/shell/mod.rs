//! `hortator shell`: a prompt with the words of the command line, and a few of its own. Read-only until `write on`.
//! It has no way to a cluster but the HTTP API, like any client.

mod completion;
mod moment;
mod prompt;
mod words;

use std::rc::Rc;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use hortator_core::time::Span;
use hortator_proto::api::{MasterDetail, StatusView};
use regex_lite::Regex;

use crate::api::body::Page;
use crate::cli::args::{
    ActorArgs, ActorsArgs, By, ClusterVerb, Command, DebugVerb, FaultVerb, Global, PsArgs, RaftVerb,
    RebalanceArgs, RunVerb, ScheduleVerb, SettingsVerb, ShellArgs, SlowArgs, TokenVerb, WorkerVerb,
    WorkflowVerb,
};
use crate::cli::client::{Call, Client};
use crate::cli::commands::{help, inside};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Form, Output, Sink};
use crate::cli::session::Session;
use moment::Moment;
use prompt::Prompt;
use words::{Goes, Job};

/// Between two looks of `watch` when nobody says.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// `watch` asks no oftener: a look costs a few messages on a master.
const WATCH_EVERY_MIN: Duration = Duration::from_millis(100);
/// Clears the terminal and puts the cursor at the top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// One command of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_subcommand = true, disable_version_flag = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Words,
}

#[derive(Debug, Subcommand)]
enum Words {
    /// List the masters with their addresses
    Masters,
    /// List the groups as the master that is asked has them
    Groups,
    /// Masters and workers
    Nodes,
    /// What goes through the mailboxes of the master that is asked
    #[command(args_conflicts_with_subcommands = true)]
    Actors {
        #[command(flatten)]
        args: ActorsArgs,
        #[command(subcommand)]
        how: Option<ActorsHow>,
    },
    /// One actor of the master that is asked
    Actor {
        #[command(subcommand)]
        verb: ActorVerb,
    },
    /// The fullest mailboxes of the master that is asked
    Mailboxes,
    /// One mailbox, or what came to none
    Mailbox {
        #[command(subcommand)]
        verb: MailboxVerb,
    },
    /// The slowest handlers, entries and syncs
    Slow(SlowArgs),
    /// What is out of the ordinary
    Warnings,
    /// List workers with their load
    Workers,
    /// List runs, newest first
    Runs(PsArgs),
    /// How evenly the masters lead
    Balance,
    /// Spread the shards' leaders now
    Rebalance(RebalanceArgs),
    #[command(flatten)]
    Cli(Box<Command>),
}

#[derive(Debug, Subcommand)]
enum ActorsHow {
    /// Whose they are, as far as their names say
    Tree,
    /// The first ones, as in `actors top by busy`
    Top {
        /// `by`, and mailbox, wait, busy, msgs or slowest
        #[arg(value_name = "by WHAT", num_args = 0..=2)]
        by: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ActorVerb {
    /// Its mailbox, what it handles now, how long its kind takes
    Show(ActorArgs),
    /// What it handles in a while, by message
    Messages {
        #[command(flatten)]
        actor: ActorArgs,
        /// For so long
        #[arg(long = "for", value_name = "SPAN", default_value = "5s")]
        lasts: Span,
    },
    /// Let a shard's deciders begin anew from rows
    Restart(ActorArgs),
}

#[derive(Debug, Subcommand)]
enum MailboxVerb {
    /// How much waits there, how long, and what is handled meanwhile
    Peek(ActorArgs),
    /// Messages that found their actor gone, or its mailbox full
    Dead,
}

/// All that can be said, for completion.
fn tree() -> clap::Command {
    Line::command()
}

/// Whether to go on.
#[derive(Debug, PartialEq)]
enum Next {
    More(Exit),
    Leave,
}

pub(crate) struct Shell<'s> {
    session: &'s Session,
    cluster: String,
    may_write: bool,
    /// The master that is asked, where one was chosen.
    used: Option<(String, Rc<Client>)>,
    /// What runs are shown as of.
    moment: Moment,
    /// Somebody sits at a terminal.
    asks: bool,
}

/// `hortator shell`
pub(crate) async fn shell(session: &Session, args: ShellArgs) -> Result<Exit, Error> {
    let view: StatusView = session.client.ask(Call::get("/status")).await?;
    let asks = args.commands.is_none();
    let shell = Shell {
        session,
        cluster: view.cluster.clone(),
        may_write: args.write,
        used: None,
        moment: Moment::Now,
        asks,
    };
    match args.commands {
        Some(commands) => shell.script(&commands).await,
        None => {
            session.output.text(&format!("{}\n", view.sentence))?;
            shell.converse().await
        }
    }
}

impl Shell<'_> {
    /// Ends at the first command that fails, with its exit code.
    async fn script(mut self, commands: &str) -> Result<Exit, Error> {
        for job in parse(commands)? {
            match self.run(job).await? {
                Next::More(Exit::Success) => {}
                Next::More(other) => return Ok(other),
                Next::Leave => break,
            }
        }
        Ok(Exit::Success)
    }

    async fn converse(mut self) -> Result<Exit, Error> {
        let mut prompt = Prompt::new(tree());
        loop {
            prompt.refresh(&self.client()).await;
            let used = self.used.as_ref().map(|(name, _)| name.as_str());
            let text = prompt.text(&self.cluster, used, &self.moment, self.may_write);
            let Some(line) = prompt.read(&text)? else { return Ok(Exit::Success) };
            let jobs = match parse(&line) {
                Ok(jobs) => jobs,
                Err(error) => {
                    eprintln!("{error}");
                    continue;
                }
            };
            for job in jobs {
                match self.run(job).await {
                    Ok(Next::More(_)) => {}
                    Ok(Next::Leave) => return Ok(Exit::Success),
                    Err(error) if error.is_silent() => {}
                    Err(error) => {
                        eprintln!("{error}");
                        break;
                    }
                }
            }
        }
    }

    async fn run(&mut self, job: Job) -> Result<Next, Error> {
        let job = with_its_bar(job);
        match job.words[0].as_str() {
            "exit" | "quit" => Ok(Next::Leave),
            "write" => self.write(&job.words[1..]).map(Next::More),
            "watch" => self.watch(job).await.map(Next::More),
            "time" => self.timed(job).await.map(Next::More),
            "use" => self.choose(&job.words[1..]).await.map(Next::More),
            "at" | "now" | "step" => {
                self.moment = self.moment.moved(&job.words)?;
                Ok(Next::More(Exit::Success))
            }
            _ => self.filtered(&job).await.map(Next::More),
        }
    }

    /// Changes are allowed by whoever can name the cluster.
    fn write(&mut self, words: &[String]) -> Result<Exit, Error> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["off"] => self.may_write = false,
            ["on"] if self.asks => {
                eprint!("Changes go to the cluster at once. Type its name to allow them: ");
                let mut name = String::new();
                let read = std::io::stdin().read_line(&mut name);
                read.map_err(|error| Error::io("cannot read from the terminal", &error))?;
                return self.allow(name.trim());
            }
            ["on", name] => return self.allow(name),
            _ => return Err(Error::usage("write `write on CLUSTER` or `write off`")),
        }
        Ok(Exit::Success)
    }

    fn allow(&mut self, name: &str) -> Result<Exit, Error> {
        if name != self.cluster {
            let detail =
                format!("the cluster is called {:?}, not {name:?}; nothing may be changed", self.cluster);
            return Err(Error::usage(detail));
        }
        self.may_write = true;
        Ok(Exit::Success)
    }

    /// `watch [SPAN] [COUNTx] COMMAND`: again and again, until Ctrl-C or so often.
    async fn watch(&mut self, mut job: Job) -> Result<Exit, Error> {
        job.words.remove(0);
        let (mut every, mut count) = (WATCH_EVERY, u32::MAX);
        if let Some(span) = job.words.first().and_then(|word| word.parse::<Span>().ok()) {
            every = span.as_duration().max(WATCH_EVERY_MIN);
            job.words.remove(0);
        }
        if let Some(times) = job.words.first().and_then(|word| word.strip_suffix('x')?.parse().ok()) {
            count = times;
            job.words.remove(0);
        }
        if job.words.is_empty() {
            return Err(Error::usage("write `watch [SPAN] [COUNTx] COMMAND`, as in `watch 2s runs`"));
        }
        for round in 1..=count {
            if self.session.output.form == Form::Table {
                self.session.output.text(CLEAR)?;
            }
            let exit = self.filtered(&job).await?;
            if exit != Exit::Success || round == count {
                return Ok(exit);
            }
            tokio::select! {
                biased;
                ended = crate::cli::interrupted() => {
                    ended?;
                    return Ok(Exit::Success);
                }
                () = tokio::time::sleep(every) => {}
            }
        }
        Ok(Exit::Success)
    }

    /// Whoever is asked: the master that was chosen, or any.
    fn client(&self) -> Rc<Client> {
        self.used.as_ref().map_or_else(|| self.session.client.clone(), |(_, client)| client.clone())
    }

    /// `use MASTER`, also `use node MASTER`; `use any`
    async fn choose(&mut self, words: &[String]) -> Result<Exit, Error> {
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "node").collect();
        let [name] = words[..] else { return Err(Error::usage("write `use MASTER` or `use any`")) };
        if name == "any" {
            self.used = None;
            return Ok(Exit::Success);
        }
        let page: Page<MasterDetail> = self.session.client.ask(Call::get("/cluster/masters")).await?;
        let fits = |master: &&MasterDetail| master.name.as_str() == name || format!("n{}", master.id) == name;
        let Some(master) = page.items.iter().find(fits) else {
            let known: Vec<&str> = page.items.iter().map(|master| master.name.as_str()).collect();
            let detail = format!("there is no master {name:?}; masters now: {}", known.join(", "));
            return Err(Error::new(Exit::NotFound, code::NO_MASTER, detail));
        };
        let address = master.api.parse().map_err(|_| {
            let detail = format!("{} has no API address that others reach", master.name);
            Error::new(Exit::NotFound, code::NO_MASTER, detail)
                .hint("a cluster in one process answers at one master")
        })?;
        self.used = Some((master.name.to_string(), Rc::new(self.session.client.only(address))));
        Ok(Exit::Success)
    }

    /// `time COMMAND`
    async fn timed(&mut self, mut job: Job) -> Result<Exit, Error> {
        job.words.remove(0);
        if job.words.is_empty() {
            return Err(Error::usage("write `time COMMAND`, as in `time status`"));
        }
        let began = std::time::Instant::now();
        let exit = self.filtered(&job).await;
        self.session.output.hint(&format!("it took {:?}", began.elapsed()));
        exit
    }

    /// Does a command and passes what it prints through the filters.
    async fn filtered(&self, job: &Job) -> Result<Exit, Error> {
        if job.filters.is_empty() && job.goes == Goes::Here {
            return self.command(&job.words, self.output()).await;
        }
        if job.words.iter().any(|word| ["-f", "--follow"].contains(&word.as_str())) {
            let detail =
                "what follows has no end, so nothing of it would come out of a filter or into a file";
            return Err(Error::usage(detail).hint("events -f FILTER filters by itself"));
        }
        let mut output = Output { sink: Sink::kept(), ..self.output() };
        let mut patterns = Vec::new();
        for filter in &job.filters {
            match &filter.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["json"] => output.form = Form::Json,
                ["grep", pattern] => patterns.push(Regex::new(pattern).map_err(|error| {
                    Error::usage(format!("{pattern:?} is no regular expression: {error}"))
                })?),
                other => {
                    let detail = format!("there is no filter {:?}", other.join(" "));
                    return Err(Error::usage(detail).hint("filters are: grep PATTERN, json"));
                }
            }
        }
        let kept = output.sink.clone();
        let exit = self.command(&job.words, output).await?;
        let text = kept.take();
        let lines = text.lines().filter(|line| patterns.iter().all(|pattern| pattern.is_match(line)));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        match &job.goes {
            Goes::Here => self.session.output.text(&text)?,
            Goes::File(path) => std::fs::write(path, &text).map_err(|error| {
                Error::new(Exit::Unexpected, code::FILE, format!("cannot write {path:?}: {error}"))
            })?,
        }
        Ok(exit)
    }

    /// How results look here; ages are counted from now.
    fn output(&self) -> Output {
        Output { now: Output::time_now(), ..self.session.output.clone() }
    }

    async fn command(&self, words: &[String], mut output: Output) -> Result<Exit, Error> {
        let line = match Line::try_parse_from(words) {
            Ok(line) => line,
            Err(error) if error.use_stderr() => {
                let text = error.render().to_string();
                let detail = text.trim_start_matches("error: ").trim_end().to_owned();
                return Err(Error::usage(detail));
            }
            // Help that was asked for.
            Err(error) => {
                output.text(&error.render().to_string())?;
                return Ok(Exit::Success);
            }
        };
        if let Some(format) = line.global.output {
            output.form = Form::from(format);
        }
        output.headers &= !line.global.no_headers;
        let session = Session { client: self.client(), output, namespace: self.session.namespace.clone() };
        let command = match line.command {
            Words::Masters => Command::Cluster { verb: ClusterVerb::Members },
            Words::Groups => Command::Raft { verb: RaftVerb::Groups },
            Words::Nodes => {
                crate::cli::ask(&session, Command::Cluster { verb: ClusterVerb::Members }).await?;
                Command::Worker { verb: WorkerVerb::List }
            }
            Words::Actors { how: Some(ActorsHow::Tree), .. } => return inside::tree(&session).await,
            Words::Actors { args, how: None } => return inside::actors(&session, &args).await,
            Words::Actors { args, how: Some(ActorsHow::Top { by }) } => {
                let by = top_by(&by)?;
                return inside::actors(&session, &ActorsArgs { by, ..args }).await;
            }
            Words::Actor { verb: ActorVerb::Show(args) }
            | Words::Mailbox { verb: MailboxVerb::Peek(args) } => {
                Command::Debug { verb: DebugVerb::Actor(args) }
            }
            Words::Actor { verb: ActorVerb::Messages { actor, lasts } } => {
                Command::Debug { verb: DebugVerb::Messages { actor, lasts } }
            }
            Words::Actor { verb: ActorVerb::Restart(args) } => {
                Command::Debug { verb: DebugVerb::Restart(args) }
            }
            Words::Mailbox { verb: MailboxVerb::Dead } => Command::Debug { verb: DebugVerb::DeadLetters },
            Words::Slow(args) => Command::Debug { verb: DebugVerb::Slow(args) },
            Words::Warnings => Command::Debug { verb: DebugVerb::Warnings },
            Words::Mailboxes => {
                return inside::actors(&session, &ActorsArgs { by: By::Mailbox, top: 20 }).await;
            }
            Words::Workers => Command::Worker { verb: WorkerVerb::List },
            Words::Runs(args) => Command::Ps(args),
            Words::Balance => return inside::balance(&session).await,
            Words::Rebalance(args) => Command::Cluster { verb: ClusterVerb::Rebalance(args) },
            Words::Cli(command) => *command,
        };
        if let Command::Help { topic } = &command {
            return match topic.is_empty() {
                true => {
                    session.output.text(&tree().render_help().to_string())?;
                    session.output.text(OWN_WORDS)?;
                    Ok(Exit::Success)
                }
                false => help::help(topic, &session.output),
            };
        }
        let command = self.moment.applied(command)?;
        match kind(&command) {
            Kind::Elsewhere => {
                let detail =
                    format!("{:?} is no command for the shell: it does not only ask a cluster", words[0]);
                Err(Error::usage(detail).hint("commands of the shell: help"))
            }
            Kind::Changes if !self.may_write => {
                let detail = format!("the shell is read-only, and `{}` changes something", words.join(" "));
                let hint = format!("allow changes: write on {}", self.cluster);
                Err(Error::new(Exit::Forbidden, code::READ_ONLY, detail).hint(hint))
            }
            Kind::Changes | Kind::Looks => crate::cli::ask(&session, command).await,
        }
    }
}

/// Appended to the help.
const OWN_WORDS: &str = "\nOf the shell itself:\n  write on|off          allow changes, or no more\n  \
                         watch [SPAN] COMMAND  again and again, until Ctrl-C\n  COMMAND | grep RE     lines that match\n  \
                         COMMAND | json        as a document\n  COMMAND > FILE        into a file of this host\n  time COMMAND          and how long it took\n  \
                         use MASTER|any        ask that master only\n  \
                         at POSITION|TIME      runs as they were then; step N, now\n  exit                  leave\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Looks,
    Changes,
    /// It needs no cluster, or starts one.
    Elsewhere,
}

/// What is not known to look only counts as a change.
fn kind(command: &Command) -> Kind {
    match command {
        Command::Status
        | Command::Doctor
        | Command::Ps(_)
        | Command::Logs(_)
        | Command::Events(_)
        | Command::Diff(_)
        | Command::Explain(_)
        | Command::Whoami => Kind::Looks,
        Command::Cluster { verb: ClusterVerb::Rebalance(args) } if args.dry_run => Kind::Looks,
        Command::Debug { verb } => match verb {
            DebugVerb::Restart(_) => Kind::Changes,
            DebugVerb::Actors(_)
            | DebugVerb::Actor(_)
            | DebugVerb::Messages { .. }
            | DebugVerb::Slow(_)
            | DebugVerb::DeadLetters
            | DebugVerb::Warnings => Kind::Looks,
        },
        Command::Run(args) => match args.verb {
            None => Kind::Elsewhere,
            Some(
                RunVerb::Show(_)
                | RunVerb::Tasks(_)
                | RunVerb::Events(_)
                | RunVerb::At(_)
                | RunVerb::Replay(_),
            ) => Kind::Looks,
            Some(RunVerb::Start(_) | RunVerb::Cancel(_) | RunVerb::Retry(_)) => Kind::Changes,
        },
        Command::Fault { verb: FaultVerb::List } => Kind::Looks,
        Command::Raft { verb } => match verb {
            RaftVerb::Transfer { .. } | RaftVerb::Snapshot { .. } => Kind::Changes,
            RaftVerb::Groups
            | RaftVerb::Show { .. }
            | RaftVerb::Log { .. }
            | RaftVerb::WhatIf { .. }
            | RaftVerb::Verify { .. } => Kind::Looks,
        },
        Command::Schedule { verb } => match verb {
            ScheduleVerb::Trigger(_) | ScheduleVerb::Enable(_) | ScheduleVerb::Disable(_) => Kind::Changes,
            ScheduleVerb::List { .. }
            | ScheduleVerb::Show(_)
            | ScheduleVerb::Next { .. }
            | ScheduleVerb::History { .. } => Kind::Looks,
        },
        Command::Worker { verb: WorkerVerb::List | WorkerVerb::Show(_) }
        | Command::Settings { verb: SettingsVerb::Show }
        | Command::Cluster { verb: ClusterVerb::Members | ClusterVerb::Token { verb: TokenVerb::List } }
        | Command::Workflow {
            verb: WorkflowVerb::List { .. } | WorkflowVerb::Show { .. } | WorkflowVerb::Durations { .. },
        } => Kind::Looks,
        Command::Cluster { verb: ClusterVerb::Init(_) }
        | Command::Workflow {
            verb: WorkflowVerb::Validate { .. } | WorkflowVerb::Graph(_) | WorkflowVerb::Test(_),
        }
        | Command::Backup { .. }
        | Command::Shell(_)
        | Command::Dev(_)
        | Command::Import { .. }
        | Command::Bench(_)
        | Command::Server { .. }
        | Command::Config { .. }
        | Command::Schema { .. }
        | Command::Completion(_)
        | Command::Version
        | Command::Help { .. } => Kind::Elsewhere,
        #[allow(unreachable_patterns, reason = "what is added later changes something until it is listed")]
        _ => Kind::Changes,
    }
}

/// `fault partition n1 | n2` has a bar of its own, which is no filter.
fn with_its_bar(mut job: Job) -> Job {
    let divides = job.words[0] == "fault" && job.words.iter().any(|word| word == "partition");
    if divides && !job.words.iter().any(|word| word == "for") && !job.filters.is_empty() {
        job.words.push("|".into());
        job.words.append(&mut job.filters.remove(0));
    }
    job
}

fn top_by(words: &[String]) -> Result<By, Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let what = match words[..] {
        [] => return Ok(By::Mailbox),
        ["by", what] | [what] => what,
        _ => return Err(Error::usage("write `actors top by mailbox|wait|busy|msgs|slowest`")),
    };
    <By as clap::ValueEnum>::from_str(what, false).map_err(|_| {
        let detail = format!("actors are not ordered by {what:?}");
        Error::usage(detail).hint("orders are: mailbox, wait, busy, msgs, slowest")
    })
}

fn parse(line: &str) -> Result<Vec<Job>, Error> {
    words::parse(line).map_err(|error| Error::usage(format!("{line:?} is no command: {error}")))
}
