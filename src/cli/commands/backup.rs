//! `hortator backup save|inspect|restore`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::stream::StreamExt;

use crate::backup::{BackupError, Contents, inspect};
use crate::cli::args::{Global, InspectArgs, RestoreArgs, SaveArgs};
use crate::cli::client::Call;
use crate::cli::commands::members::{configuration, keep_context, tell_formed};
use crate::cli::commands::server::not_started;
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Form, Output};
use crate::cli::session::Session;
use crate::server::restore;

/// `hortator backup save FILE`: under another name until all of it is there and was read again.
pub async fn save(session: &Session, args: &SaveArgs) -> Result<Exit, Error> {
    let (path, part) = (&args.file, beside(&args.file));
    if path.exists() {
        let detail = format!("{} exists, and a backup replaces no file", path.display());
        return Err(Error::new(Exit::Conflict, code::BACKUP_EXISTS, detail).hint("choose another name"));
    }
    let saved = fetch(session, &part).await;
    let checked = saved.and_then(|()| inspect(&part).map_err(refused));
    let contents = match checked {
        Ok(contents) => contents,
        Err(error) => {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    fs::rename(&part, path).and_then(|()| sync_directory(path)).map_err(|error| unwritten(path, &error))?;
    show(&contents, &session.output)?;
    session
        .output
        .hint("it holds what your workflows were given and gave back: keep it as safe as the cluster");
    Ok(Exit::Success)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn fetch(session: &Session, part: &Path) -> Result<(), Error> {
    let mut pieces = session.client.open(Call::get("/backup")).await?;
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(part);
    let mut file = opened.map_err(|error| unwritten(part, &error))?;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            let detail = format!("the master broke off before the backup was complete: {error}");
            Error::new(Exit::Unavailable, code::NO_CONNECTION, detail)
                .hint("ask again, or another master with --addr")
        })?;
        file.write_all(&piece).map_err(|error| unwritten(part, &error))?;
    }
    file.sync_all().map_err(|error| unwritten(part, &error))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    Error::io(&format!("cannot write {}", path.display()), error)
}

/// `hortator backup inspect FILE`
pub fn look(args: &InspectArgs, output: &Output) -> Result<Exit, Error> {
    let contents = inspect(&args.file).map_err(refused)?;
    show(&contents, output)?;
    Ok(Exit::Success)
}

fn show(contents: &Contents, output: &Output) -> Result<(), Error> {
    let Contents { header, contents: groups, counts } = contents;
    let text = || {
        let bytes: u64 = groups.iter().map(|group| group.bytes).sum();
        let rows: u64 = groups.iter().map(|group| group.rows).sum();
        let positions: Vec<String> =
            header.groups.iter().map(|cut| format!("{}:{}", cut.group, cut.index)).collect();
        [
            ("cluster", format!("{} ({})", header.name, header.cluster)),
            ("taken at", output.time(Some(header.taken_at))),
            ("version", format!("{}, feature level {}", header.version, header.feature_level)),
            ("generation", header.generation.to_string()),
            ("shards", header.shards.to_string()),
            ("positions", positions.join(" ")),
            ("workflows", format!("{} in {} versions", counts.workflows, counts.versions)),
            ("runs", format!("{} live, {} finished", counts.runs_live, counts.runs_finished)),
            ("task runs", format!("{}, and {} earlier attempts", counts.task_runs, counts.earlier_attempts)),
            ("history", format!("{} entries", counts.history)),
            ("keys of starts", counts.start_keys.to_string()),
            ("nodes", format!("{} masters, {} workers", counts.masters, counts.workers)),
            ("rows", format!("{rows}, {bytes} bytes, all checksums good")),
        ]
        .map(|(name, value)| format!("{name:<15} {value}\n"))
        .concat()
    };
    match output.form {
        Form::Table => output.text(&text()),
        _ => output.one(contents, &header.name, text),
    }
}

/// `hortator backup restore FILE`: asks nobody, since there is nobody yet.
pub fn make(args: &RestoreArgs, global: &Global, output: &Output) -> Result<Exit, Error> {
    let (role, mut file) = configuration(global)?;
    if let Some(data) = &args.data {
        file.node.data.clone_from(data);
    }
    let name = args.name.as_ref().map(hortator_core::id::Name::as_str);
    let formed = restore(&args.file, &file, name).map_err(|error| match error {
        crate::server::Error::Backup(error) => refused(error),
        other => not_started(&other),
    })?;
    let context = keep_context(&formed)?;
    tell_formed(&formed, context, role, global, output)?;
    output.hint("nothing of the old cluster may run beside it: stop its masters and workers first");
    output.hint("then let nodes in, each with an empty directory: hortator cluster add master, hortator cluster add worker");
    Ok(Exit::Success)
}

fn refused(error: BackupError) -> Error {
    let (exit, code, hint) = match &error {
        BackupError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            (Exit::NotFound, code::FILE, "name the file that hortator backup save has written")
        }
        BackupError::Io { .. } => (Exit::Unexpected, code::IO, "see what the system says of it"),
        BackupError::NotABackup { .. } => {
            (Exit::Invalid, code::BACKUP_KIND, "name the file that hortator backup save has written")
        }
        BackupError::OtherFormat { .. } => (
            Exit::Invalid,
            code::BACKUP_FORMAT,
            "use the version of hortator that has written it, or a newer one",
        ),
        BackupError::CutShort { .. } => {
            (Exit::Invalid, code::BACKUP_SHORT, "copy it again, or use an earlier one")
        }
        BackupError::Damaged { .. } => {
            (Exit::Invalid, code::BACKUP_DAMAGED, "copy it again, or use an earlier one")
        }
    };
    Error::new(exit, code, error.to_string()).hint(hint)
}
