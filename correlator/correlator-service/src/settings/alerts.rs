//! The checked settings of one webhook for alerts.

use std::time::Duration;

use fleet_runtime::settings::Secret;
use reqwest::Url;

use crate::pause::Pauses;

/// One webhook.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    pub(crate) name: String,
    pub(crate) url: Url,
    /// The bytes of the key, in base64, without `whsec_`.
    pub(crate) secret: Secret,
    pub(crate) reach: Reach,
    pub(crate) certificates: Vec<reqwest::Certificate>,
    pub(crate) runbooks_url: Option<Url>,
    pub(crate) timeout: Duration,
    pub(crate) pauses: Pauses,
    pub(crate) refusals_max: u32,
    pub(crate) give_up_after: Duration,
}

impl AlertSettings {
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Which addresses may be called beside public ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) private: bool,
    pub(crate) loopback: bool,
}
