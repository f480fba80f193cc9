//! What the environment says instead of flags.
//!
//! In: a command line, and the variables that its flags name. Out: the arguments. An empty variable is as one that is not
//! set, and a flag that only the environment gave contradicts nothing that a person typed.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Arguments;

/// Reads a command line, beginning with the name of the program.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Arguments, clap::Error> {
    let mut command = without_empty_variables(Arguments::command());
    let matches = command.try_get_matches_from_mut(words)?;
    refuse_the_bus_of_a_sample(&mut command, &matches)?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        match value.is_some_and(|value| value.is_empty()) {
            true => argument.env(Resettable::Reset),
            false => argument,
        }
    });
    command.mut_subcommands(without_empty_variables)
}

/// The recording is played on a bus in its folder: servers that somebody typed are refused, those of the environment are for
/// the other commands.
fn refuse_the_bus_of_a_sample(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(up) = matches.subcommand_matches("up") else { return Ok(()) };
    if up.get_flag("sample") && up.value_source("bus") == Some(ValueSource::CommandLine) {
        let said = "the argument '--sample' cannot be used with '--bus <URL>'";
        return Err(command.error(ErrorKind::ArgumentConflict, said));
    }
    Ok(())
}
