//! Which run of which process answers. A process notes its text in its data folder and sends it with what it answers to its
//! operator, so that whoever found the note can tell an answer of that process from one of whatever has its port by now. It
//! tells runs apart and keeps no secret.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

/// The header of an answer in which the text is.
pub const INSTANCE_HEADER: &str = "custody-instance";

/// One run of a process: its number, and the nanosecond at which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(Arc<str>);

impl Default for Instance {
    fn default() -> Instance {
        Instance(format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond()).into())
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Instance {
    /// Says it in an answer.
    pub fn sign(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(INSTANCE_HEADER, value);
        }
    }
}
