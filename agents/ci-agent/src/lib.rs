//! ci-agent
