//! The one command, `custody`.
//!
//! In: a command line. Out: text or JSON, and an exit code that means something. It starts the services of the other crates
//! and asks them; it judges nothing itself. Text from outside never reaches a terminal with its control characters.

mod agents;
mod allocator;
mod answers;
mod args;
mod client;
mod commands;
mod correlator;
mod data;
mod exit;
mod first_look;
mod formats;
mod house;
mod listeners;
mod output;
mod sample;
mod screen;
mod settings;
mod up;

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use args::{Arguments, Command};
use data::DataFolder;
use exit::{Exit, exit_of};
use output::Output;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = match args::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that went away is no failure.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            return exit.into();
        }
    };
    if matches!(arguments.command, Command::Agent(_)) {
        allocator::be_slim();
    }
    let done = match runtime(&arguments.command) {
        Ok(runtime) => runtime.block_on(dispatch(arguments)),
        Err(error) => Err(anyhow::Error::new(error).context("failed to start the runtime")),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            let said = format!("{error:#}");
            let lines = said.lines().chain(exit::is_out_of_space(&said).then_some(exit::OUT_OF_SPACE));
            let lines: Vec<String> = lines.map(fleet_runtime::outside_text::shown).collect();
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("custody: {}\n", lines.join("\n")).as_bytes(),
            );
            exit_of(&error).into()
        }
    }
}

/// Threads beside the first are for what goes on for long. A check ends before they would have helped.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    let mut builder = match command {
        Command::Check(_) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { global, command } = arguments;
    let output = Output::new(global.output);
    let config = global.config.as_deref();
    if let Command::Up(up) = &command {
        return commands::up::run(up, &global, output).await;
    }
    if let Command::Agent(agent) = &command {
        return commands::agent::run(agent, &global, output).await;
    }
    if let Command::Correlator(correlator) = &command {
        return commands::correlator::run(correlator, &global, output).await;
    }
    if let Command::Check(check) = &command {
        return commands::check::run(check, config, output).await;
    }
    if let Command::Fleet { command: Some(args::Fleet::Enroll(enroll)) } = &command {
        return commands::fleet::enroll::run(enroll, output);
    }
    if let Command::Conformance { command } = &command {
        return commands::conformance::run(command).await;
    }
    let data = DataFolder::find(global.data.as_deref())?;
    match &command {
        Command::Up(_)
        | Command::Agent(_)
        | Command::Correlator(_)
        | Command::Check(_)
        | Command::Fleet { command: Some(_) }
        | Command::Conformance { .. } => Ok(Exit::Fine),
        Command::Fleet { command: None } => commands::fleet::view::run(&data, output).await,
        Command::Trace { image } => commands::trace::run(image, &data, output).await,
        Command::Where { image } => commands::where_runs::run(image, &data, output).await,
        Command::Cases { id, all } => commands::cases::run(id.as_deref(), *all, &data, output).await,
        Command::Log { command: args::Log::Verify } => commands::log::verify(&data, output).await,
        Command::Deadletter { command } => commands::deadletter::run(command, &data, output).await,
        Command::Policy { command } => commands::policy::run(command, config, &data, output).await,
        Command::Doctor { bus } => commands::doctor::run(config, bus, &data, output).await,
    }
}
