//! correlator-service
