//! GitHub Actions: its webhooks and its REST API.

pub mod answer;
pub mod listen;
pub mod payload;
pub mod translate;
