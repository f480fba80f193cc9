//! Every command that a document shows is one that the command line takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::*;

/// README's way to run from source, and the command itself.
const BEGINNINGS: [&str; 2] = ["custody ", "cargo run --release -- "];

#[test]
fn every_command_in_a_document_is_one() {
    let mut commands = 0;
    let mut refused = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (line, command) in commands_of(&text) {
            commands += 1;
            if let Err(error) = Arguments::try_parse_from(words(&command)) {
                refused.push(format!("{}:{line}: {command}\n{error}", document.display()));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(commands > 30, "only {commands} commands were found: the documents are not read right");
}

/// A terminal that people have. clap wraps at its width, and a command that it breaks is none any more.
const COLUMNS: usize = 80;

#[test]
fn no_example_of_the_help_is_broken_by_its_wrapping() {
    let mut broken = Vec::new();
    let mut examples = 0;
    for command in commands(Arguments::command()) {
        let mut command = command.term_width(COLUMNS);
        let help = command.render_long_help().to_string();
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut is_continued = false;
        for line in written.lines().filter(|line| line.starts_with("  ")) {
            examples += 1;
            if !help.lines().any(|shown| shown == line) {
                broken.push(format!("{}: wrapped at {COLUMNS} columns: {line}", command.get_name()));
            }
            if !is_continued && !line.starts_with("  custody ") {
                broken.push(format!("{}: no command: {line}", command.get_name()));
            }
            is_continued = line.ends_with('\\');
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(examples > 30, "only {examples} lines of examples were found");
}

/// A command and everything below it.
fn commands(command: clap::Command) -> Vec<clap::Command> {
    let below: Vec<clap::Command> = command.get_subcommands().cloned().flat_map(commands).collect();
    [vec![command], below].concat()
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runbooks = fs::read_dir(root.join("runbooks")).unwrap().map(|entry| entry.unwrap().path());
    let tops =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "deploy/streams/server/README.md"]
            .map(|name| root.join(name));
    tops.into_iter().chain(runbooks).collect()
}

/// The commands in blocks of `sh` and between backticks, with their lines.
fn commands_of(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block: Option<bool> = None;
    for (at, line) in text.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(fence == "sh") };
            continue;
        }
        let candidates: Vec<&str> = match block {
            Some(true) => vec![line.split(" #").next().unwrap_or_default().trim()],
            Some(false) => continue,
            None => line.split('`').skip(1).step_by(2).collect(),
        };
        for candidate in candidates {
            let arguments = BEGINNINGS.iter().find_map(|beginning| candidate.strip_prefix(beginning));
            found.extend(arguments.map(|arguments| (at + 1, format!("custody {}", arguments.trim()))));
        }
    }
    found
}

/// The words of a command. What stands between `<` and `>` is one word that a person replaces: a number where it is called so.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0;
    for letter in command.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            ' ' if depth == 0 => words.push(String::new()),
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    let number = |word: String| if word == "number" { "1".to_owned() } else { word };
    words.into_iter().filter(|word| !word.is_empty()).map(number).collect()
}

#[test]
fn commands_are_told_from_other_lines() {
    let text = "`custody up` and `custody.toml`\n```sh\ncustody trace <image>:<release tag>  # why\ntests/run\n```\n\
                ```text\ncustody nonsense\n```\n";
    let expected = [(1, "custody up".to_owned()), (3, "custody trace <image>:<release tag>".to_owned())];
    assert_eq!(commands_of(text), expected);
    assert_eq!(words("custody trace <image>:<release tag>"), ["custody", "trace", "image:release tag"]);
    assert!(Arguments::try_parse_from(words("custody where")).is_err());
}
