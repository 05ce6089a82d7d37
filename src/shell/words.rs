//! A line of the shell taken apart: commands between `;`, filters after `|`, words with quotes.
//! Must not know any command.

/// A command and what its output goes through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) words: Vec<String>,
    pub(super) filters: Vec<Vec<String>>,
    pub(super) goes: Goes,
}

/// Where the output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Goes {
    #[default]
    Here,
    /// Into a file in place of what is there.
    File(String),
}

/// The line makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("a quote is not closed")]
    Quote,
    #[error("there is nothing before or after a `|`")]
    Pipe,
    #[error("one name of a file follows a `>`, at the end of the command")]
    File,
}

pub(super) fn parse(line: &str) -> Result<Vec<Job>, LineError> {
    let mut jobs = Vec::new();
    for command in split(line, ';')? {
        let (command, goes) = target(&command)?;
        let mut parts = Vec::new();
        for part in split(&command, '|')? {
            parts.push(words(&part)?);
        }
        match &mut parts[..] {
            [only] if only.is_empty() => {}
            parts if parts.iter().any(Vec::is_empty) => return Err(LineError::Pipe),
            [first, filters @ ..] => {
                jobs.push(Job { words: std::mem::take(first), filters: filters.to_vec(), goes });
            }
            [] => {}
        }
    }
    Ok(jobs)
}

/// What stands before a `>`, and the file after it.
fn target(command: &str) -> Result<(String, Goes), LineError> {
    let mut parts = split(command, '>')?.into_iter();
    let before = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (None, _) => Ok((before, Goes::Here)),
        (Some(file), None) => match <[String; 1]>::try_from(words(&file)?) {
            Ok([file]) if !words(&before)?.is_empty() => Ok((before, Goes::File(file))),
            _ => Err(LineError::File),
        },
        (Some(_), Some(_)) => Err(LineError::File),
    }
}

/// At the sign, outside of quotes.
fn split(text: &str, sign: char) -> Result<Vec<String>, LineError> {
    let (mut parts, mut quote) = (vec![String::new()], None);
    for letter in text.chars() {
        match (quote, letter) {
            (None, letter) if letter == sign => {
                parts.push(String::new());
                continue;
            }
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            _ => {}
        }
        parts.last_mut().expect("one at least").push(letter);
    }
    match quote {
        Some(_) => Err(LineError::Quote),
        None => Ok(parts),
    }
}

/// At blanks, outside of quotes, which are taken off.
fn words(text: &str) -> Result<Vec<String>, LineError> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in text.chars() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => found.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if letter == open => quote = None,
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    found.extend(word);
    match quote {
        Some(_) => Err(LineError::Quote),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(words: &[&str], filters: &[&[&str]]) -> Job {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let filters = filters.iter().map(|words| owned(words)).collect();
        Job { words: owned(words), filters, goes: Goes::Here }
    }

    fn to(file: &str, job: Job) -> Job {
        Job { goes: Goes::File(file.to_owned()), ..job }
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("", Ok(vec![])),
            (" ; ;", Ok(vec![])),
            ("status", Ok(vec![job(&["status"], &[])])),
            (
                "runs -n 2; explain a@latest/b",
                Ok(vec![job(&["runs", "-n", "2"], &[]), job(&["explain", "a@latest/b"], &[])]),
            ),
            ("runs | grep 'a|b; c' | json", Ok(vec![job(&["runs"], &[&["grep", "a|b; c"], &["json"]])])),
            (
                "cancel x --reason \"it's \"wrong",
                Ok(vec![job(&["cancel", "x", "--reason", "it's wrong"], &[])]),
            ),
            ("start a -i x=''", Ok(vec![job(&["start", "a", "-i", "x="], &[])])),
            (
                "runs | json > 'my runs'; status",
                Ok(vec![to("my runs", job(&["runs"], &[&["json"]])), job(&["status"], &[])]),
            ),
            ("runs>out", Ok(vec![to("out", job(&["runs"], &[]))])),
            ("runs | grep '>'", Ok(vec![job(&["runs"], &[&["grep", ">"]])])),
            ("runs >", Err(LineError::File)),
            ("> out", Err(LineError::File)),
            ("runs > a b", Err(LineError::File)),
            ("runs > a > b", Err(LineError::File)),
            ("runs |", Err(LineError::Pipe)),
            ("| json", Err(LineError::Pipe)),
            ("grep 'a", Err(LineError::Quote)),
        ] {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }
}
