//! cluster-agent
