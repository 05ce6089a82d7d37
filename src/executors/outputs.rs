//! Reads what a process wrote to `$HTR_OUTPUT`: lines `name=value`, typed by what the task declares.
//! Must not trust the file: it was made by a script.
//!
//! A value reaches to the end of its line; of several lines with one name the last counts; empty lines are passed
//! over. A value of several lines is written as json.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hortator_core::definition::{OUTPUTS_BYTES_MAX, ValueType};
use nix::fcntl::OFlag;
use serde_json::Value;

/// What is wrong with an output file; tells the script's author where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum OutputsError {
    #[error("$HTR_OUTPUT is {what}; write plain lines name=value to it")]
    NotAFile { what: String },
    #[error(
        "$HTR_OUTPUT is longer than {OUTPUTS_BYTES_MAX} bytes; write large results to a file and its place as an output"
    )]
    TooLong,
    #[error("the outputs take {bytes} bytes as JSON, at most {OUTPUTS_BYTES_MAX} may be kept")]
    TooLongAsJson { bytes: usize },
    #[error("$HTR_OUTPUT line {line} is not UTF-8")]
    NotText { line: usize },
    #[error("$HTR_OUTPUT line {line} ({text:?}) has no =; write name=value")]
    NoValue { line: usize, text: String },
    #[error(
        "$HTR_OUTPUT line {line}: the task declares no output {name:?}; add it under outputs, or do not write it"
    )]
    Undeclared { line: usize, name: String },
    #[error("$HTR_OUTPUT line {line}: {name}={text:?} is not {expected}")]
    Type { line: usize, name: String, text: String, expected: &'static str },
    #[error("output {name:?} is declared but was not written; write {name}=VALUE to $HTR_OUTPUT")]
    Missing { name: String },
}

/// The outputs of an attempt that exited with 0. A file that does not exist is an empty one.
pub(super) fn read_outputs(
    path: &Path,
    declared: &BTreeMap<String, ValueType>,
) -> Result<BTreeMap<String, Value>, OutputsError> {
    let bytes = read_bounded(path)?;
    let mut outputs = BTreeMap::new();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = index + 1;
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| OutputsError::NotText { line })?;
        if text.is_empty() {
            continue;
        }
        let (name, text) =
            text.split_once('=').ok_or_else(|| OutputsError::NoValue { line, text: shorten(text) })?;
        let kind =
            declared.get(name).ok_or_else(|| OutputsError::Undeclared { line, name: shorten(name) })?;
        let value = typed(*kind, text).map_err(|expected| OutputsError::Type {
            line,
            name: name.into(),
            text: shorten(text),
            expected,
        })?;
        outputs.insert(name.to_owned(), value);
    }
    if let Some(name) = declared.keys().find(|name| !outputs.contains_key(*name)) {
        return Err(OutputsError::Missing { name: name.clone() });
    }
    let json = serde_json::to_vec(&outputs).expect("values with text keys are JSON");
    match json.len() {
        bytes if bytes > OUTPUTS_BYTES_MAX => Err(OutputsError::TooLongAsJson { bytes }),
        _ => Ok(outputs),
    }
}

/// Follows no link, waits for no pipe, reads no more than the bound.
fn read_bounded(path: &Path) -> Result<Vec<u8>, OutputsError> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let not_a_file = |what: String| OutputsError::NotAFile { what };
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(not_a_file(format!("unreadable ({error})"))),
    };
    let meta = file.metadata().map_err(|error| not_a_file(format!("unreadable ({error})")))?;
    if !meta.is_file() {
        return Err(not_a_file("not a plain file".into()));
    }
    if meta.len() > OUTPUTS_BYTES_MAX as u64 {
        return Err(OutputsError::TooLong);
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    let bound = OUTPUTS_BYTES_MAX as u64 + 1;
    file.take(bound).read_to_end(&mut bytes).map_err(|error| not_a_file(format!("unreadable ({error})")))?;
    if bytes.len() > OUTPUTS_BYTES_MAX { Err(OutputsError::TooLong) } else { Ok(bytes) }
}

/// The value, or what it should have been.
fn typed(kind: ValueType, text: &str) -> Result<Value, &'static str> {
    match kind {
        ValueType::String => Ok(text.into()),
        ValueType::Int => text.parse::<i64>().map(Value::from).map_err(|_| "a whole number of 64 bits"),
        ValueType::Float => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::from).ok_or("a number")
        }
        ValueType::Bool => text.parse::<bool>().map(Value::from).map_err(|_| "true or false"),
        ValueType::Json => serde_json::from_str(text).map_err(|_| "JSON on one line"),
    }
}

/// Fits into a message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(text: &[u8], expect: Result<&str, &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        check_path(file.path(), expect);
    }

    fn check_path(path: &Path, expect: Result<&str, &str>) {
        use ValueType::{Bool, Float, Int, Json, String};
        let declared = [("s", String), ("i", Int), ("f", Float), ("b", Bool), ("j", Json)];
        let declared = declared.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
        match (read_outputs(path, &declared), expect) {
            (Ok(outputs), Ok(expect)) => assert_eq!(serde_json::to_string(&outputs).unwrap(), expect),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (got, expect) => panic!("{got:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn typed_values() {
        check(
            b"s=a = b \xe4\xb8\xad\r\n\ni=-7\nf=1.5\nb=true\nj={\"k\":[1]}\ni=8",
            Ok(r#"{"b":true,"f":1.5,"i":8,"j":{"k":[1]},"s":"a = b 中"}"#),
        );
        check(b"", Err("\"b\" is declared but was not written"));
        check(b"i=1e3", Err("line 1: i=\"1e3\" is not a whole number"));
        check(b"i=9223372036854775808", Err("not a whole number"));
        check(b"f=NaN", Err("not a number"));
        check(b"b=yes", Err("not true or false"));
        check(b"j={", Err("not JSON"));
        check(b"\nx=1", Err("line 2: the task declares no output \"x\""));
        check(b"junk", Err("has no ="));
        check(b"s=\xff", Err("line 1 is not UTF-8"));
        check(&[b"s=".as_slice(), &vec![b'x'; OUTPUTS_BYTES_MAX]].concat(), Err("longer than 65536"));
        check(&[b"i=1\nf=1\nb=true\nj=1\ns=".as_slice(), &vec![1; 20_000]].concat(), Err("as JSON"));
        check(&[b"j=".as_slice(), &vec![b'['; 60_000]].concat(), Err("not JSON"));
    }

    #[test]
    fn what_is_not_a_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("dir")).unwrap();
        symlink("/etc/passwd", at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        check_path(&at("dir"), Err("not a plain file"));
        check_path(&at("link"), Err("unreadable"));
        check_path(&at("fifo"), Err("not a plain file"));
        check_path(&at("sparse"), Err("longer than"));
        check_path(&at("nothing"), Err("was not written"));
    }
}
