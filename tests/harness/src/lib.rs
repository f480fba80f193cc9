//! What the integration tests share: the real servers they run against, and the stories' own equipment.

pub mod custody;
pub mod fixtures;
pub mod github;
pub mod http;
pub mod provision;
pub mod run_folder;
pub mod said;
pub mod sample;
pub mod servers;
