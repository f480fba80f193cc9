//! correlator-core
