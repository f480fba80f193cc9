//! The judgement: facts in, decisions out.
//!
//! The core knows no runtime, bus, network, store or clock. Its one door is [`ledger::apply`]: live events, replay and
//! tests all go through it, and the same inputs in the same order give the same decisions, byte for byte.

mod chain;
pub mod contracts;
pub mod decision;
pub mod facts;
pub mod input;
pub mod ledger;
pub mod records;
pub mod rules;
pub mod state;
pub mod verdict;
