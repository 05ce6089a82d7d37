//! `hortator help`: a command's help, or the page of a code.
//! The texts of definition codes and reasons are core's; those of the rest are in `codes`.

use clap::CommandFactory;
use hortator_core::definition::Code;
use hortator_core::reason::{CATALOGUE, code_entry};

use crate::cli::args::Cli;
use crate::cli::codes::{self, pages};
use crate::cli::error::{Error, Exit};
use crate::cli::output::Output;

pub fn help(topic: &[String], output: &Output) -> Result<Exit, Error> {
    if let [word] = topic
        && is_code(word)
    {
        output.text(&page(&word.to_ascii_uppercase())?)?;
        return Ok(Exit::Success);
    }
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for word in topic {
        let known: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let Some(found) = command.find_subcommand(word).map(|sub| sub.get_name().to_owned()) else {
            let error = Error::usage(format!("there is no command {word:?}"));
            return Err(match hortator_core::reason::nearest(word, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("hortator help {near}")),
                None => error.hint("hortator help"),
            });
        };
        command = command.find_subcommand_mut(&found).expect("found above");
    }
    output.text(&command.render_long_help().to_string())?;
    Ok(Exit::Success)
}

fn is_code(word: &str) -> bool {
    word.len() >= 4
        && word.starts_with(['H', 'R', 'h', 'r'])
        && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

fn page(code: &str) -> Result<String, Error> {
    if let Some(known) = Code::parse(code) {
        return Ok(format!("{code}: {}\n\n{}\n", known.title(), known.page()));
    }
    if let Some(entry) = code_entry(code) {
        let text = format!("{code} {}: {}\n\nWhat helps: {}\n", entry.name, entry.summary, entry.help);
        return Ok(text + "\nThe actual values: hortator explain RUN[/TASK]\n");
    }
    if let Some(page) = codes::page(code) {
        return Ok(format!("{code}: {}\n\n{}\n", page.title, page.text));
    }
    let all = all_codes();
    let error = Error::usage(format!("there is no code {code}"));
    Err(match hortator_core::reason::nearest(code, all.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("hortator help {near}")),
        None => error,
    })
}

/// Every code that has a page.
pub fn all_codes() -> Vec<String> {
    let definitions = Code::ALL.iter().map(Code::to_string);
    let reasons = CATALOGUE.iter().map(|entry| entry.code.to_owned());
    definitions.chain(reasons).chain(pages().map(|page| page.code.to_owned())).collect()
}
