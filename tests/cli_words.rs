//! The command line as it is written: what parses as what, that every command has help with an example, that every
//! code has a page. Nothing is run here.

use clap::{CommandFactory, Parser};
use hortator::cli::args::{Cli, Command, RunVerb};
use hortator::cli::codes::pages;
use hortator::cli::commands::help::all_codes;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn after_run_a_known_verb_is_a_verb_and_anything_else_a_file() {
    let file = |line: &str| match parse(line).unwrap().command {
        Command::Run(args) if args.verb.is_none() => args.file.file.unwrap().display().to_string(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(file("hortator run etl.workflow.yaml"), "etl.workflow.yaml");
    assert_eq!(file("hortator run ./show"), "./show");
    assert_eq!(file("hortator run shows -i a=b --follow -o json"), "shows");
    assert_eq!(file("hortator run -"), "-");
    let verb = |line: &str| match parse(line).unwrap().command {
        Command::Run(args) => args.verb.unwrap_or_else(|| panic!("{line} is a file")),
        other => panic!("{line}: {other:?}"),
    };
    assert!(matches!(verb("hortator run show etl@latest"), RunVerb::Show(_)));
    assert!(matches!(verb("hortator run tasks etl@latest --failed"), RunVerb::Tasks(_)));
    assert!(matches!(verb("hortator run retry etl@latest --failed"), RunVerb::Retry(_)));
    assert!(parse("hortator run").is_err());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "hortator",
        "hortator frobnicate",
        "hortator start",
        "hortator start etl -i novalue",
        "hortator start etl --priority urgent",
        "hortator start etl --timeout 30",
        "hortator ps --state done",
        "hortator retry X",
        "hortator dev --masters 0",
        "hortator bench --tasks 0",
        "hortator bench --tasks 100001",
        "hortator import wfcommons t.json --time-scale -1",
        "hortator logs X --attempt 2",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    assert_eq!(parse("hortator --help").unwrap_err().exit_code(), 0);
}

#[test]
fn inputs_and_global_flags_go_anywhere() {
    let cli = parse("hortator start etl -i a=b=c -i n=1 -o json --addr 127.0.0.1:1 --no-headers").unwrap();
    let Command::Start(args) = cli.command else { panic!() };
    assert_eq!(args.inputs, [("a".into(), "b=c".into()), ("n".into(), "1".into())]);
    assert!(cli.global.no_headers && cli.global.addr.len() == 1);
}

#[test]
fn every_command_has_help_with_an_example() {
    fn walk(command: &clap::Command, path: &str, seen: &mut usize) {
        assert!(command.get_about().is_some() || command.get_long_about().is_some(), "{path} has no help");
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains(path), "the help of {path:?} has no example that begins with it: {after:?}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let obvious =
                ["shell", "shape", "kind", "format", "workflow"].contains(&argument.get_id().as_str());
            assert!(argument.get_help().is_some() || obvious, "{path} {} has no help", argument.get_id());
        }
        *seen += 1;
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()), seen);
        }
    }
    let mut seen = 0;
    let command = Cli::command();
    command.clone().debug_assert();
    walk(&command, "hortator", &mut seen);
    assert!(seen > 30, "{seen}");
}

/// Every example of the help parses.
#[test]
fn examples_are_commands() {
    fn walk(command: &clap::Command) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in after.lines().filter(|line| line.starts_with("  hortator ")) {
            let part = line.trim().split(" | ").next().unwrap().split(" > ").next().unwrap();
            let words = part.split(' ').map(|word| word.trim_matches('\''));
            // A quoted value with blanks is one word to a shell; here its first word will do.
            let words: Vec<&str> = words.filter(|word| *word != "day").collect();
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{part}: {error}");
            }
        }
        command.get_subcommands().for_each(walk);
    }
    walk(&Cli::command());
}

#[test]
fn every_code_has_one_page_and_every_used_code_a_page() {
    let mut codes = all_codes();
    codes.sort();
    let count = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), count, "a code is used twice");
    assert!(pages().all(|page| page.text.len() > 20 && !page.title.ends_with('.')));
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = Vec::new();
    for part in ["src", "actors/src", "raft/src", "proto/src", "core/src"] {
        collect(&root.join(part), &mut used);
    }
    assert!(used.len() > 20);
    for (code, file) in used {
        assert!(codes.binary_search(&code).is_ok(), "{code} in {file} has no page: src/cli/codes.rs");
    }
}

/// The `"H1234"` of source files.
fn collect(directory: &std::path::Path, used: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, used);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split('"').filter(|part| part.len() == 5 && part.starts_with('H')) {
                if part[1..].bytes().all(|byte| byte.is_ascii_digit()) {
                    used.push((part.into(), path.display().to_string()));
                }
            }
        }
    }
}
