//! What the exit code of every command means.

use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and nothing to object to.
    Fine,
    /// Done, and there is something to look at: an untrusted digest, an open case, a log that does not verify.
    Finding,
    /// The command line, the settings or the contracts are not right.
    Usage,
    /// Something that is needed does not answer or is in use.
    Unreachable,
    /// Our own disk or program failed.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Finding => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Failed => 4,
        })
    }
}

/// A failure that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Failure { exit: Exit::Usage, message: message.into() }.into()
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> anyhow::Error {
        Failure { exit: Exit::Unreachable, message: message.into() }.into()
    }
}

/// The exit code of an error: its own where it knows one.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.exit,
        None => Exit::Failed,
    }
}
