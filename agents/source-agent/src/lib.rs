//! source-agent
