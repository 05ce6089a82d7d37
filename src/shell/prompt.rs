//! The prompt at a terminal: editing, history, completion. Must not know what the commands do.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use hortator_proto::api::{ActorsView, RunView, StatusView, WorkflowView};
use reedline::{
    Color, ColumnarMenu, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, default_emacs_keybindings,
};

use super::completion::{Names, SharedNames, Words};
use super::moment::Moment;
use crate::api::body::Page;
use crate::cli::client::{Call, Client, query};
use crate::cli::error::Error;

/// Lines remembered over all sessions of a user.
const HISTORY_LINES: usize = 2_000;
/// Names for completion may be a little old; the prompt waits no longer for newer ones.
const REFRESH_MAX: Duration = Duration::from_millis(300);
/// Newest runs whose ids are completed.
const RUNS_KNOWN: u32 = 50;

pub(super) struct Prompt {
    editor: Reedline,
    names: SharedNames,
}

impl Prompt {
    pub(super) fn new(tree: clap::Command) -> Prompt {
        let names = SharedNames::default();
        let mut keys = default_emacs_keybindings();
        let complete =
            ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu("words".into()), ReedlineEvent::MenuNext]);
        keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
        let menu = Box::new(ColumnarMenu::default().with_name("words"));
        let mut editor = Reedline::create()
            .with_completer(Box::new(Words::new(tree, names.clone())))
            .with_menu(ReedlineMenu::EngineCompleter(menu))
            .with_edit_mode(Box::new(Emacs::new(keys)));
        // A prompt without a history is still a prompt.
        if let Some(path) = history_file()
            && let Ok(history) = FileBackedHistory::with_file(HISTORY_LINES, path)
        {
            editor = editor.with_history(Box::new(history));
        }
        Prompt { editor, names }
    }

    /// Asks for the names that live now.
    pub(super) async fn refresh(&mut self, client: &Client) {
        if let Ok(Ok(names)) = tokio::time::timeout(REFRESH_MAX, names(client)).await {
            *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        }
    }

    /// `prod n1(leads 3/5) @2:812000 ro> `: what is asked, as of when, and whether changes are allowed.
    pub(super) fn text(&self, cluster: &str, used: Option<&str>, moment: &Moment, may_write: bool) -> Text {
        let mut text = cluster.to_owned();
        if let Some(name) = used {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let leads = names.leads.get(name).copied().unwrap_or(0);
            text.push_str(&format!(" {name}(leads {leads}/{})", names.leads.values().sum::<usize>()));
        }
        if *moment != Moment::Now {
            text.push_str(&format!(" {moment}"));
        }
        text.push_str(if may_write { " rw> " } else { " ro> " });
        Text { text, colour: if may_write { Color::Red } else { Color::Green } }
    }

    /// The next line; none when the person leaves.
    pub(super) fn read(&mut self, text: &Text) -> Result<Option<String>, Error> {
        loop {
            match self.editor.read_line(text) {
                Ok(Signal::Success(line)) => return Ok(Some(line)),
                Ok(Signal::CtrlC) => {}
                Ok(_) => return Ok(None),
                Err(error) => return Err(Error::io("cannot read from the terminal", &error)),
            }
        }
    }
}

async fn names(client: &Client) -> Result<Names, Error> {
    let status: StatusView = client.ask(Call::get("/status")).await?;
    let workflows: Page<WorkflowView> = client.ask(Call::get("/workflows")).await?;
    let newest = query(&[("limit", Some(RUNS_KNOWN.to_string()))]);
    let runs: Page<RunView> = client.ask(Call::get(format!("/runs{newest}"))).await?;
    // Only admins see actors.
    let actors = client.ask::<ActorsView>(Call::get("/cluster/actors?by=time")).await;
    let actors = actors.map(|view| view.top).unwrap_or_default();
    Ok(Names {
        leads: status.masters.iter().map(|master| (master.name.clone(), master.leads.len())).collect(),
        actors: actors.into_iter().map(|actor| actor.id).collect(),
        masters: status.masters.into_iter().map(|master| master.name).collect(),
        workers: status.workers.into_iter().map(|worker| worker.name.to_string()).collect(),
        workflows: workflows.items.into_iter().map(|workflow| workflow.name.to_string()).collect(),
        runs: runs.items.into_iter().map(|run| run.id.to_string()).collect(),
    })
}

/// `$XDG_STATE_HOME/hortator/shell-history`, or below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = base.join("hortator");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("shell-history"))
}

/// What stands before a line.
pub(super) struct Text {
    text: String,
    /// Red where changes are allowed.
    colour: Color,
}

impl reedline::Prompt for Text {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.text)
    }

    fn get_prompt_color(&self) -> Color {
        self.colour
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("… ")
    }

    fn render_prompt_history_search_indicator(&self, _: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Borrowed("search: ")
    }
}
