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

    pub(crate) fn failed(message: impl Into<String>) -> anyhow::Error {
        Failure { exit: Exit::Failed, message: message.into() }.into()
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

/// What a person does about a full disk.
pub(crate) const OUT_OF_SPACE: &str = "there is no room for the data folder (the disk is full, or a quota or a limit on the size \
                                       of files is reached): make room and run it again; what was taken in is kept";
/// ENOSPC, EDQUOT and EFBIG, as the standard library ends the texts of such errors.
const OUT_OF_SPACE_ENDS: [&str; 3] = ["(os error 28)", "(os error 122)", "(os error 27)"];

/// Whether a failure says that there is no room. Databases keep the system's error as text, so that its text is looked at.
pub(crate) fn is_out_of_space(said: &str) -> bool {
    OUT_OF_SPACE_ENDS.iter().any(|end| said.contains(end))
}
