//! The shell script of an imported task: read what is needed, take the time, write what is due.
//! Names are of our grammar, so none needs quotes.

use std::fmt::Write as _;

/// Sleeps below this are left out: starting `sleep` takes longer.
const SECONDS_MIN: f64 = 0.0005;
/// Lists are broken into lines of about this length.
const COLUMNS: usize = 100;

/// The script. A file that is missing fails it and is named; outputs appear whole, by rename.
pub(super) fn text(inputs: &[&str], seconds: f64, outputs: &[(&str, u64)]) -> String {
    let mut script = String::from("set -eu\ncd \"$HTR_RUN_DIR\"\n");
    if !inputs.is_empty() {
        let _ = writeln!(script, "set -- {}", broken(inputs));
        script.push_str(
            "for f; do [ -f \"$f\" ] || { echo \"input file $f is missing\" >&2; exit 66; }; done\n",
        );
        script.push_str("cat -- \"$@\" > /dev/null\n");
    }
    if seconds >= SECONDS_MIN {
        let _ = writeln!(script, "sleep {seconds:.3}");
    }
    if !outputs.is_empty() {
        script.push_str(
            "put() { n=\".$1.$HTR_TASK.$HTR_ATTEMPT\"; head -c \"$2\" /dev/zero > \"$n\"; mv -f -- \"$n\" \"$1\"; }\n",
        );
        for (file, bytes) in outputs {
            let _ = writeln!(script, "put {file} {bytes}");
        }
    }
    script
}

fn broken(words: &[&str]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words {
        if column + word.len() > COLUMNS {
            text.push_str(" \\\n  ");
            column = 0;
        } else if column > 0 {
            text.push(' ');
        }
        text.push_str(word);
        column += word.len() + 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_do_only_what_is_due() {
        assert_eq!(text(&[], 0.0, &[]), "set -eu\ncd \"$HTR_RUN_DIR\"\n");
        let script = text(&["a-1"], 0.25, &[("b-2", 9)]);
        assert!(script.contains("set -- a-1\n") && script.contains("sleep 0.250\n"));
        assert!(script.ends_with("put b-2 9\n"));
        let names = vec!["name-abcdef"; 50];
        assert!(text(&names, 0.0, &[]).lines().all(|line| line.len() < 120));
    }
}
