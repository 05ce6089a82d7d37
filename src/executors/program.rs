//! Finds the interpreter of a task and says what it is called with.
//! Must not start anything.

use std::path::Path;

use hortator_actors::seam::LaunchProgram;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};

use super::start_error::LaunchError;

/// The absolute path of the interpreter: itself when it holds a slash, else the first match in `path`.
pub(super) fn find_interpreter(interpreter: &str, path: &str, worker: &str) -> Result<String, LaunchError> {
    if interpreter.is_empty() || interpreter.contains('\0') {
        return Err(LaunchError::InterpreterName { interpreter: interpreter.into() });
    }
    let refused = |why: String| LaunchError::Interpreter {
        interpreter: interpreter.into(),
        worker: worker.into(),
        why,
    };
    if interpreter.contains('/') {
        if !interpreter.starts_with('/') {
            return Err(refused("is neither a name nor an absolute path, so it does not exist".into()));
        }
        return runnable(interpreter).map(|()| interpreter.to_owned()).map_err(refused);
    }
    let mut not_runnable = None;
    for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
        let candidate = format!("{directory}/{interpreter}");
        match runnable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(why) if Path::new(&candidate).exists() => {
                not_runnable = Some(format!("at {candidate} {why}"))
            }
            Err(_) => {}
        }
    }
    Err(match not_runnable {
        Some(why) => refused(why),
        None => LaunchError::NotInPath {
            interpreter: interpreter.into(),
            worker: worker.into(),
            path: path.into(),
        },
    })
}

/// Or why not, as the end of a sentence.
fn runnable(path: &str) -> Result<(), String> {
    match stat(path) {
        Err(nix::errno::Errno::ENOENT) => return Err("does not exist".into()),
        Err(errno) => return Err(format!("cannot be reached ({})", errno.desc())),
        Ok(found) if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() => {
            return Err("is not a file".into());
        }
        Ok(_) => {}
    }
    access(path, AccessFlags::X_OK).map_err(|_| "may not be executed".into())
}

/// Checks what the interpreter is to read; for a script, what its file is to hold. Windows line ends, on which
/// every Unix interpreter stumbles, become plain ones.
pub(super) fn script_text(program: &LaunchProgram, worker: &str) -> Result<Option<String>, LaunchError> {
    match program {
        LaunchProgram::Script { text, .. } if text.contains('\0') => Err(LaunchError::ScriptNul),
        LaunchProgram::Script { text, .. } if text.contains("\r\n") => Ok(Some(text.replace("\r\n", "\n"))),
        LaunchProgram::Script { .. } => Ok(None),
        LaunchProgram::File { path, .. } if !path.starts_with('/') || path.contains('\0') => {
            Err(LaunchError::FileRelative { path: path.clone() })
        }
        LaunchProgram::File { path, .. } => {
            access(path.as_str(), AccessFlags::R_OK).map(|()| None).map_err(|errno| LaunchError::File {
                path: path.clone(),
                worker: worker.into(),
                why: errno.desc().into(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters() {
        let find = |interpreter: &str| find_interpreter(interpreter, "relative:/nonexistent:/bin", "w1");
        assert_eq!(find("sh").unwrap(), "/bin/sh");
        assert_eq!(find("/bin/sh").unwrap(), "/bin/sh");
        for (interpreter, expect) in [
            ("python9", "is not in the PATH of worker w1 (relative:/nonexistent:/bin)"),
            ("./sh", "neither a name nor an absolute path"),
            ("/nonexistent/sh", "does not exist on worker w1"),
            ("/etc", "is not a file"),
            ("/etc/passwd", "may not be executed"),
            ("/etc/passwd/x", "cannot be reached"),
            ("", "is empty"),
            ("s\0h", "holds a NUL"),
        ] {
            let error = find(interpreter).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn scripts() {
        let script = |text: &str| LaunchProgram::Script { interpreter: "sh".into(), text: text.into() };
        assert_eq!(script_text(&script("a\nb"), "w1").unwrap(), None);
        assert_eq!(script_text(&script("a\r\nb\r"), "w1").unwrap().as_deref(), Some("a\nb\r"));
        assert!(script_text(&script("a\0"), "w1").is_err());
        let file = |path: &str| LaunchProgram::File { interpreter: "sh".into(), path: path.into() };
        assert!(script_text(&file("/etc/passwd"), "w1").is_ok());
        for (path, expect) in [("load.sh", "not an absolute path"), ("/nonexistent", "No such file")] {
            let error = script_text(&file(path), "w1").unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
