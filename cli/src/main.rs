//! The binary `custody`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
