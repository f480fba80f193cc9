//! registry-agent
