//! What both GitHub agents share: authenticated webhooks in, bounded read-only look-ups out.
//!
//! In: raw deliveries with their headers, and routes of the REST API. Out: deliveries whose sender is proven and whose
//! body names only what its secret may speak for, and parsed answers or a typed failure. It is the one crate that knows
//! octocrab. It never writes to the forge, never calls a host that the settings do not name, and decides nothing about
//! what a payload means.

pub mod answering;
pub mod api;
pub mod heartbeat;
pub mod intake;
pub mod json;
pub mod payload;
pub mod receiving;
pub mod report;
pub mod scope;
pub mod settings;
pub mod time;
pub mod webhook;
