//! correlator-store
